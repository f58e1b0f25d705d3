//! A repository of the size of a grown product's, made from a seed: the same commits on every machine.
//!
//! 2,500 source files in 250 directories, and 7,000 commits that each change three files of one area. Packed as a
//! server's housekeeping leaves it, and kept as a bundle under `target/`, because making it takes longer than using it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::tests::git_cli::git;
use ::tests::setup::{FILE, FILE_ON_BRANCH, FILE_ON_MAIN};
use anyhow::{Context, Result, ensure};

/// Named in the bundle's file name: a new shape needs a new number, or an old bundle would be taken for it.
const SHAPE: u32 = 1;
const SEED: u64 = 0x6f68_2d62_656e_6368;
/// Objects that the repository has at least.
const OBJECTS_MIN: u64 = 60_000;
const AREAS: usize = 25;
const PARTS: usize = 10;
const FILES: usize = 10;
const COMMITS: usize = 7_000;
/// Lines of a file at first; its commits add some.
const LINES: std::ops::Range<usize> = 60..240;
/// Files one commit changes.
const FILES_PER_COMMIT: usize = 3;
const WORDS: usize = 600;
/// 2024-01-01T00:00:00Z, and ten minutes between commits.
const FIRST_COMMIT_AT: u64 = 1_704_067_200;
const COMMIT_INTERVAL: u64 = 600;

/// The branch everything starts from.
pub(crate) const MAIN: &str = "main";

/// A file of the repository, by number; below 2,500.
pub(crate) fn path(number: usize) -> String {
    let (area, part, file) = (
        number / (PARTS * FILES) % AREAS,
        number / FILES % PARTS,
        number % FILES,
    );
    format!("src/area_{area:02}/part_{part}/file_{file}.rs")
}

/// The bundle with `main` and the pull request's branch; made when it is not there yet.
pub(crate) async fn bundle() -> Result<PathBuf> {
    let directory = cache_directory()?;
    std::fs::create_dir_all(&directory)?;
    let bundle = directory.join(format!("shape-{SHAPE}.bundle"));
    if bundle.exists() {
        return Ok(bundle);
    }
    eprintln!("making a repository with more than {OBJECTS_MIN} objects, once");
    let work = tempfile::tempdir_in(&directory)?;
    let objects = make(work.path(), COMMITS).await?;
    ensure!(
        objects >= OBJECTS_MIN,
        "the repository has {objects} objects only"
    );
    let made = work.path().join("made.bundle");
    let made_name = made
        .to_str()
        .context("the target directory's path is not UTF-8")?;
    git(
        work.path(),
        &["bundle", "create", "--quiet", made_name, "--branches"],
    )
    .await?;
    std::fs::rename(&made, &bundle)?;
    Ok(bundle)
}

/// `target/bench-repositories`, beside the directory of the profile that this program was built with.
fn cache_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .nth(2)
        .context("the program is not in a target directory")?;
    Ok(target.join("bench-repositories"))
}

/// Makes the bare repository in an empty directory; its number of objects.
async fn make(directory: &Path, commits: usize) -> Result<u64> {
    git(
        directory,
        &["init", "--quiet", "--bare", "--initial-branch", MAIN, "."],
    )
    .await?;
    let into = directory.to_owned();
    tokio::task::spawn_blocking(move || import(&into, commits)).await??;
    git(directory, &["repack", "-a", "-d", "-f", "--quiet"]).await?;
    let counted = git(directory, &["rev-list", "--objects", "--all", "--count"]).await?;
    counted.trim().parse().context("git counts objects")
}

fn import(directory: &Path, commits: usize) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark's repository is made by git"
    )]
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .spawn()
        .context("git cannot be started")?;
    let stdin = child.stdin.take().context("git has a standard input")?;
    let written = History::new(BufWriter::new(stdin)).write(commits);
    // Its own message, on standard error, is the better one.
    let status = child.wait()?;
    ensure!(status.success(), "git fast-import: {status}");
    written
}

/// Writes the history as `git fast-import` reads it.
struct History<W> {
    out: W,
    random: Random,
    words: Vec<String>,
    files: Vec<Vec<String>>,
    commits: u64,
}

impl<W: Write> History<W> {
    fn new(out: W) -> Self {
        let mut random = Random(SEED);
        let words = (0..WORDS).map(|_| random.word()).collect();
        Self {
            out,
            random,
            words,
            files: Vec::new(),
            commits: 0,
        }
    }

    fn write(mut self, commits: usize) -> Result<()> {
        self.commit(MAIN, "Start")?;
        self.file(FILE, FILE_ON_MAIN)?;
        self.file("README.md", "# Demo\n")?;
        for number in 0..AREAS * PARTS * FILES {
            let length = self.random.below(LINES.len()) + LINES.start;
            let lines = (0..length).map(|_| self.line()).collect();
            self.files.push(lines);
            self.write_file(number)?;
        }
        for number in 1..commits {
            self.commit(MAIN, &format!("Change {number}"))?;
            self.change()?;
        }
        let branch = ::tests::setup::branch(1);
        writeln!(self.out, "reset refs/heads/{branch}\nfrom refs/heads/{MAIN}\n")?;
        self.commit(&branch, "Subtract instead of add")?;
        self.file(FILE, FILE_ON_BRANCH)?;
        Ok(self.out.flush()?)
    }

    /// Begins a commit on top of the branch.
    fn commit(&mut self, branch: &str, message: &str) -> Result<()> {
        let at = FIRST_COMMIT_AT + self.commits * COMMIT_INTERVAL;
        self.commits += 1;
        let length = message.len();
        Ok(writeln!(
            self.out,
            "commit refs/heads/{branch}\ncommitter Alice <alice@example.test> {at} +0000\ndata {length}\n{message}"
        )?)
    }

    fn file(&mut self, path: &str, text: &str) -> Result<()> {
        Ok(writeln!(
            self.out,
            "M 100644 inline {path}\ndata {}\n{text}",
            text.len()
        )?)
    }

    fn write_file(&mut self, number: usize) -> Result<()> {
        let text = self.files[number].concat();
        self.file(&path(number), &text)
    }

    /// Changes a few lines in a few files of one area, as people do.
    fn change(&mut self) -> Result<()> {
        let area = self.random.below(AREAS) * PARTS * FILES;
        for _ in 0..FILES_PER_COMMIT {
            let number = area + self.random.below(PARTS * FILES);
            let at = self.random.below(self.files[number].len());
            let line = self.line();
            if self.random.below(4) == 0 {
                self.files[number].insert(at, line);
            } else {
                self.files[number][at] = line;
            }
            self.write_file(number)?;
        }
        Ok(())
    }

    fn line(&mut self) -> String {
        let mut word = || self.words[self.random.below(WORDS)].as_str();
        let (name, function, first) = (word(), word(), word());
        let second = self.random.below(1000);
        format!("    let {name} = {function}({first}, {second});\n")
    }
}

/// Splitmix64: the same numbers wherever and with whatever this is built.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`. The bias of the remainder does not matter for file contents.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("usize is at most 64 bits");
        usize::try_from(self.next() % limit).expect("smaller than a usize")
    }

    fn word(&mut self) -> String {
        let letters = 3 + self.below(9);
        (0..letters)
            .map(|_| char::from(b"abcdefghiklmnoprstuw"[self.below(20)]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_seed_makes_the_same_commits() {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let directory = tempfile::tempdir().unwrap();
            let objects = make(directory.path(), 5).await.unwrap();
            assert!(objects > 2_750, "{objects} objects");
            heads.push(
                git(directory.path(), &["rev-parse", MAIN, "feature/1"])
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(heads[0], heads[1]);
    }

    #[test]
    fn every_number_is_another_file() {
        let paths: std::collections::BTreeSet<_> = (0..AREAS * PARTS * FILES).map(path).collect();
        assert_eq!(paths.len(), 2_500);
    }
}
