//! The work tree as the tools see it: paths are resolved by the kernel, which does not let them leave the tree.
//!
//! Checking a path and then opening it would be a race against what a command left running; `openat2` with
//! `RESOLVE_BENEATH` decides and opens in one step, for `..`, absolute paths and symbolic links alike.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;

/// The largest file that is viewed or edited. Source files are smaller; others are for commands.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How often a resolution is repeated that the kernel could not decide because of renames at the same moment.
const RESOLVE_TRIES: usize = 16;

/// An open work tree.
pub(super) struct Tree {
    root: OwnedFd,
    /// The names under which the model may know the root.
    roots: Vec<PathBuf>,
}

/// What a path led to.
pub(super) enum Opened {
    /// A regular file.
    File(TreeFile),
    /// A directory.
    Directory(OwnedFd),
}

/// A regular file of the tree.
pub(super) struct TreeFile(File);

/// Why a path cannot be used, in words for the model.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("leads out of the checkout")]
    Outside,
    #[error("does not exist")]
    Missing,
    #[error("exists; to change it, give the text to replace in old")]
    Exists,
    #[error("is not a regular file")]
    NotAFile,
    #[error("is larger than {FILE_BYTES_MAX} bytes; use bash")]
    TooLarge,
    #[error("does not name a file")]
    Nameless,
    #[error("cannot be used: {0}")]
    Other(#[from] io::Error),
}

impl PathError {
    /// The error with the path in front of it.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{path} {self}")
    }
}

impl From<Errno> for PathError {
    fn from(errno: Errno) -> Self {
        match errno {
            // EXDEV is how RESOLVE_BENEATH refuses.
            Errno::XDEV => Self::Outside,
            Errno::NOENT => Self::Missing,
            Errno::EXIST => Self::Exists,
            // What opening a directory, socket or fifo for writing comes to.
            Errno::ISDIR | Errno::NXIO => Self::NotAFile,
            other => Self::Other(other.into()),
        }
    }
}

impl Tree {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            root,
            roots: vec![path.to_owned(), path.canonicalize()?],
        })
    }

    pub(super) fn open_for_reading(&self, path: &str) -> Result<Opened, PathError> {
        self.open_existing(&self.relative(path)?, OFlags::RDONLY)
    }

    /// As [`Tree::open_for_reading`], for a path that a directory of the tree has listed. A link there is not followed.
    pub(super) fn open_listed(&self, path: &Path) -> Result<Opened, PathError> {
        self.open_existing(path, OFlags::RDONLY | OFlags::NOFOLLOW)
    }

    pub(super) fn open_for_writing(&self, path: &str) -> Result<TreeFile, PathError> {
        match self.open_existing(&self.relative(path)?, OFlags::RDWR)? {
            Opened::File(file) => Ok(file),
            Opened::Directory(_) => Err(PathError::NotAFile),
        }
    }

    /// Creates a file, and the directories it lies in. An existing empty file is taken as new.
    pub(super) fn create(&self, path: &str, content: &[u8]) -> Result<(), PathError> {
        let relative = self.relative(path)?;
        let name = relative.file_name().ok_or(PathError::Nameless)?;
        let parent = self.make_directories(relative.parent().unwrap_or(Path::new("")))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // The usual mode of a new file; the umask takes its part.
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => File::from(file).write_all(content)?,
            Err(Errno::EXIST) => {
                let mut file = self.open_for_writing(path)?;
                if !file.read()?.is_empty() {
                    return Err(PathError::Exists);
                }
                file.overwrite(content)?;
            }
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    fn open_existing(&self, path: &Path, access: OFlags) -> Result<Opened, PathError> {
        // Not blocking, so that a fifo does not hold up the run; then looked at, before anything is read.
        let opened = self.resolve(path, access | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
            FileType::RegularFile => Ok(Opened::File(TreeFile(opened.into()))),
            FileType::Directory => Ok(Opened::Directory(opened)),
            _ => Err(PathError::NotAFile),
        }
    }

    /// Opens a directory, making what is missing of it.
    fn make_directories(&self, path: &Path) -> Result<OwnedFd, PathError> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(PathError::Missing) => {}
            done => return done,
        }
        let name = path.file_name().ok_or(PathError::Nameless)?;
        let parent = self.make_directories(path.parent().unwrap_or(Path::new("")))?;
        match mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
            // There is something of that name: a dangling link, or a directory made at the same moment.
            Ok(()) | Err(Errno::EXIST) => self.resolve(path, OFlags::PATH | OFlags::DIRECTORY),
            Err(errno) => Err(errno.into()),
        }
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, PathError> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut refused = Errno::AGAIN;
        for _ in 0..RESOLVE_TRIES {
            match openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(opened) => return Ok(opened),
                Err(Errno::AGAIN) => {}
                Err(errno) => {
                    refused = errno;
                    break;
                }
            }
        }
        Err(refused.into())
    }

    /// The path from the root. Absolute ones are taken where they begin with the root.
    pub(super) fn relative(&self, path: &str) -> Result<PathBuf, PathError> {
        if path.is_empty() || path.contains('\0') {
            return Err(PathError::Nameless);
        }
        let path = Path::new(path);
        if path.is_relative() {
            return Ok(path.to_owned());
        }
        let inside = self.roots.iter().find_map(|root| path.strip_prefix(root).ok());
        inside.map(Path::to_owned).ok_or(PathError::Outside)
    }
}

impl TreeFile {
    /// The whole content.
    pub(super) fn read(&mut self) -> Result<Vec<u8>, PathError> {
        let mut content = Vec::new();
        // One byte more than allowed: a file that grows while it is read is noticed, and not read on.
        (&self.0).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
        if content.len() as u64 > FILE_BYTES_MAX {
            Err(PathError::TooLarge)
        } else {
            Ok(content)
        }
    }

    /// Replaces the whole content, in place: mode, links and identity of the file stay.
    pub(super) fn overwrite(&mut self, content: &[u8]) -> Result<(), PathError> {
        self.0.rewind()?;
        self.0.write_all(content)?;
        self.0.set_len(content.len() as u64)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
