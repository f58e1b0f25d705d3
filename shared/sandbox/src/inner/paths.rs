//! What of the system every cell may read.

use std::fs;
use std::path::{Path, PathBuf};

/// Programs and libraries. Where these are symbolic links into `/usr`, the links are made again.
pub(super) const SYSTEM: [&str; 8] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
];

/// What programs want of `/etc`. Not all of it: the rest may hold secrets, our own configuration among them.
const ETC: [&str; 23] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki",
    "profile",
    "protocols",
    "services",
    "ssl",
    "terminfo",
];

/// The same where the version is part of the name: `java-17-openjdk`, `python3.11`.
const ETC_PREFIXES: [&str; 4] = ["java", "python3", "perl", "jvm"];

/// Devices that hold nothing and give nothing away.
pub(super) const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// Who is who, which at level 2 is told by files of the cell's own.
pub(super) const ACCOUNTS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf"];

/// From which language runtimes size their pools and heaps.
pub(super) const SIZES: [&str; 4] = [
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Those entries of `/etc` that exist here.
pub(super) fn etc() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ETC.iter().map(|name| Path::new("/etc").join(name)).collect();
    for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name
            .to_str()
            .is_some_and(|name| ETC_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        {
            found.push(entry.path());
        }
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}
