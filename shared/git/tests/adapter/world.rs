//! A server with one repository, somebody who pushes to it, and a cache of mirrors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use git::{
    Cache, CacheLimits, Change, CommitRequest, Depth, Error, Identity, Mirror, PushError, Remote, TreeLimits,
};
use pipeline::ids::{CommitId, InstanceId, RepositoryId};
use tempfile::TempDir;

use crate::server::{Server, TOKEN};

pub(crate) const BRANCH: &str = "refs/heads/feature/x";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) cache: Cache,
    pub(crate) directory: TempDir,
}

impl World {
    /// One repository with `a.txt`, `run.sh` (executable), `link` and `src/b.txt` on `main` and on `feature/x`.
    pub(crate) fn new() -> Self {
        Self::served_by(Server::start)
    }

    /// As [`World::new`], by another server than the usual.
    pub(crate) fn served_by(start: impl FnOnce(&Path) -> Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("server");
        fs::create_dir_all(&root).unwrap();
        git(&root, &["init", "-q", "--bare", "-b", "main", "proj/demo.git"]);
        git(
            &root.join("proj/demo.git"),
            &["config", "http.receivepack", "true"],
        );
        // As Bitbucket: what is advertised to nobody is not sent to anybody.
        git(
            &root.join("proj/demo.git"),
            &["config", "uploadpack.allowReachableSHA1InWant", "false"],
        );
        git(
            directory.path(),
            &[
                "clone",
                "-q",
                root.join("proj/demo.git").to_str().unwrap(),
                "author",
            ],
        );
        let cache = Cache::new(&directory.path().join("data"), CacheLimits::default());
        let world = Self {
            server: start(&root),
            cache,
            directory,
        };
        let author = world.author();
        git(&author, &["checkout", "-q", "-b", "main"]);
        fs::create_dir(author.join("src")).unwrap();
        fs::write(author.join("a.txt"), "one\ntwo\nthree\n").unwrap();
        fs::write(author.join("src/b.txt"), "b\n").unwrap();
        fs::write(author.join("run.sh"), "#!/bin/sh\n").unwrap();
        git(&author, &["update-index", "--add", "--chmod=+x", "run.sh"]);
        fs::set_permissions(
            author.join("run.sh"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        std::os::unix::fs::symlink("src/b.txt", author.join("link")).unwrap();
        world.author_commits("Start");
        git(&author, &["push", "-q", "origin", "HEAD:main", "HEAD:feature/x"]);
        world
    }

    pub(crate) fn author(&self) -> PathBuf {
        self.directory.path().join("author")
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.directory.path().join("server/proj/demo.git")
    }

    /// Commits everything in the author's clone.
    pub(crate) fn author_commits(&self, message: &str) -> CommitId {
        git(&self.author(), &["add", "-A"]);
        git(&self.author(), &["commit", "-q", "--allow-empty", "-m", message]);
        rev(&self.author(), "HEAD")
    }

    /// Writes a file, commits and pushes it to the branch.
    pub(crate) fn author_pushes(&self, path: &str, content: &str) -> CommitId {
        let file = self.author().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
        let commit = self.author_commits(&format!("Change {path}"));
        git(
            &self.author(),
            &["push", "-q", "-f", "origin", &format!("HEAD:{BRANCH}")],
        );
        commit
    }

    /// The branch's head in the server's repository.
    pub(crate) fn server_head(&self) -> CommitId {
        rev(&self.bare(), BRANCH)
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote {
            url: format!("{}/proj/demo.git", self.server.url),
            token: TOKEN.to_owned().into(),
            ca_pem: None,
            proxy: None,
        }
    }

    pub(crate) fn mirror(&self) -> Box<dyn Mirror> {
        let instance = InstanceId::of_base_url(&self.server.url);
        self.cache.mirror(&instance, RepositoryId(84)).unwrap()
    }

    /// Makes a commit of one change in a checkout of the branch, and pushes it.
    pub(crate) fn change_and_push(
        &self,
        mirror: &dyn Mirror,
        remote: &Remote,
    ) -> Result<CommitId, PushError> {
        let (head, tree) = self.check_out_from(mirror, remote).unwrap();
        fs::write(tree.join("a.txt"), "changed\n").unwrap();
        let new = commit(mirror, &head, &tree);
        mirror.push(remote, BRANCH, &head, &new)?;
        Ok(new)
    }

    pub(crate) fn fetch(&self, mirror: &dyn Mirror) -> Result<CommitId, Error> {
        mirror.fetch(&self.remote(), BRANCH, Depth::Shallow(1), &AtomicBool::new(false))
    }

    /// Fetches the branch and checks it out into a new directory.
    pub(crate) fn check_out(&self, mirror: &dyn Mirror) -> (CommitId, PathBuf) {
        self.check_out_from(mirror, &self.remote()).unwrap()
    }

    fn check_out_from(&self, mirror: &dyn Mirror, remote: &Remote) -> Result<(CommitId, PathBuf), Error> {
        let go = AtomicBool::new(false);
        let head = mirror.fetch(remote, BRANCH, Depth::Shallow(1), &go)?;
        let directory = self.directory.path().join(format!("tree-{}", head.short()));
        fs::create_dir(&directory).unwrap();
        mirror.check_out(&head, &directory, &TreeLimits::default(), &go)?;
        Ok((head, directory))
    }
}

/// Who commits here.
pub(crate) fn bot() -> Identity {
    Identity {
        name: "Open <Hands>".to_owned(),
        email: "bot@example.test".to_owned(),
    }
}

/// Who commits in the author's clone.
pub(crate) fn alice() -> Identity {
    Identity {
        name: "Alice".to_owned(),
        email: "alice@example.test".to_owned(),
    }
}

pub(crate) fn request(parent: &CommitId, directory: &Path, changes: Vec<Change>) -> CommitRequest {
    CommitRequest {
        parent: parent.clone(),
        directory: directory.to_owned(),
        changes,
        author: bot(),
        committer: bot(),
        message: "Fix it\n\nAs asked.\n\nRequested-by: alice\nRun-Id: r-0123456789ab\n".to_owned(),
        time: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
        merges: None,
    }
}

/// Runs git and returns what it printed; panics with its words if it fails.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let (ok, text) = try_git(directory, arguments);
    assert!(ok, "git {arguments:?}: {text}");
    text
}

#[expect(
    clippy::disallowed_methods,
    reason = "git itself is what we are compared with"
)]
pub(crate) fn try_git(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args([
            "-c",
            "user.name=Alice",
            "-c",
            "user.email=alice@example.test",
            "-c",
            "core.autocrlf=false",
        ])
        .args(arguments)
        .output()
        .unwrap();
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// The commit a name stands for.
pub(crate) fn rev(repository: &Path, name: &str) -> CommitId {
    CommitId::new(git(repository, &["rev-parse", name]).trim()).unwrap()
}

/// What changed in the directory since the commit.
pub(crate) fn changes(mirror: &dyn Mirror, head: &CommitId, directory: &Path) -> Vec<Change> {
    mirror
        .changes(head, directory, &TreeLimits::default())
        .unwrap()
        .changes
}

/// Everything that changed in the directory, as a commit.
pub(crate) fn commit(mirror: &dyn Mirror, head: &CommitId, directory: &Path) -> CommitId {
    let changes = changes(mirror, head, directory);
    mirror.commit(&request(head, directory, changes)).unwrap()
}
