//! What the file system does to the figures.

use std::path::{Path, PathBuf};

/// A sentence about the file system of `directory`, where it is one that makes work trees slow.
pub(crate) fn warning(directory: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let device = ext4_device(&mounts, &directory.canonicalize().ok()?)?;
    let options = std::fs::read_to_string(format!("/proc/fs/ext4/{device}/options")).ok()?;
    if has_journal(&options) {
        return None;
    }
    Some(format!(
        "{} is on an ext4 without a journal. There the kernel passes over every inode that was deleted within the \
         last minutes for each new file, so work trees get slower the more were removed before, by the resolver and \
         by others. TMPDIR=<directory on another disk file system> leaves that out.",
        directory.display()
    ))
}

/// The device under `path`, by its name in `/proc/fs/ext4`, where that is an ext4.
fn ext4_device(mounts: &str, path: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let (place, source) = line.split_once(" - ")?;
        let place = PathBuf::from(place.split(' ').nth(4)?);
        path.starts_with(&place).then_some((place, source))
    });
    // Of two mounts on one place the later hides the earlier, which max_by_key also prefers.
    let (_, source) = mounted.max_by_key(|(place, _)| place.components().count())?;
    let mut words = source.split(' ');
    let (kind, device) = (words.next()?, words.next()?);
    (kind == "ext4").then(|| device.trim_start_matches("/dev/").to_owned())
}

/// A journal has a mode, which ext4 lists among the options.
fn has_journal(options: &str) -> bool {
    options.lines().any(|line| line.starts_with("data="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                          30 22 0:5 / /dev/shm rw - tmpfs tmpfs rw\n\
                          41 22 7:0 / /srv/big rw shared:9 - ext4 /dev/loop0 rw\n";

    #[test]
    fn the_innermost_mount_decides() {
        let device = |path: &str| ext4_device(MOUNTS, Path::new(path));
        assert_eq!(device("/tmp/x").as_deref(), Some("vda"));
        assert_eq!(device("/srv/big/x").as_deref(), Some("loop0"));
        assert_eq!(device("/srv/bigger").as_deref(), Some("vda"));
        assert_eq!(device("/dev/shm/x"), None);
    }

    #[test]
    fn a_journal_shows_as_its_mode() {
        assert!(has_journal("rw\ndelalloc\ndata=ordered\n"));
        assert!(!has_journal("rw\ndelalloc\nnojournal_checksum\n"));
    }
}
