//! Which level is taken: the strongest that is to be had, and none below one that leaks.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed; this binary has nothing but tests"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Output;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Looks for a sandbox in a process of its own, which may lack the system calls `denied` and has its temporary files in
/// `tmp`.
fn look(denied: &[libc::c_long], tmp: &Path, read_paths: &[&Path]) -> Output {
    let rules: BTreeMap<_, _> = denied.iter().map(|call| (*call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let denial = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denial, architecture).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a worker that is another process")]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sandbox-inner"));
    command.arg("level").args(read_paths).env("TMPDIR", tmp);
    // SAFETY: between fork and exec it makes system calls with what was made before, and nothing else.
    #[expect(unsafe_code, reason = "what is denied has to be denied to this child alone")]
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&filter).map_err(std::io::Error::other));
    }
    command.output().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A directory that every user can pass through.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    directory
}

#[test]
fn the_strongest_level_is_taken_and_none_is_passed_over() {
    let tmp = directory();
    let found = look(&[], tmp.path(), &[]);
    assert_eq!(lines(&found.stdout), ["2", ""], "{:?}", lines(&found.stderr));
}

#[test]
fn where_there_can_be_no_root_of_its_own_level_1_is_taken_and_it_is_said_why() {
    let tmp = directory();
    let found = look(&[libc::SYS_pivot_root], tmp.path(), &[]);
    let [level, why] = <[String; 2]>::try_from(lines(&found.stdout)).unwrap();
    assert_eq!(level, "1", "{:?}", lines(&found.stderr));
    assert!(
        why.starts_with("level 2 (") && why.contains("entering the new root"),
        "{why}"
    );
}

#[test]
fn a_leak_at_level_2_is_no_reason_to_take_level_1() {
    let tmp = directory();
    // The targets are planted below it.
    let found = look(&[], tmp.path(), &[tmp.path()]);
    let [why] = <[String; 1]>::try_from(lines(&found.stderr)).unwrap();
    assert!(!found.status.success() && found.stdout.is_empty(), "{found:?}");
    assert!(
        why.starts_with("level 2 (") && why.contains("leaks") && why.contains("read_other_run"),
        "{why}"
    );
    assert!(!why.contains("level 1"), "it was not tried: {why}");
}
