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
        self.open_existing(path, OFlags::RDONLY)
    }

    pub(super) fn open_for_writing(&self, path: &str) -> Result<TreeFile, PathError> {
        match self.open_existing(path, OFlags::RDWR)? {
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

    fn open_existing(&self, path: &str, access: OFlags) -> Result<Opened, PathError> {
        let path = self.relative(path)?;
        // Not blocking, so that a fifo does not hold up the run; then looked at, before anything is read.
        let opened = self.resolve(&path, access | OFlags::NONBLOCK | OFlags::NOCTTY)?;
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
    fn relative(&self, path: &str) -> Result<PathBuf, PathError> {
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
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct World {
        dir: tempfile::TempDir,
        tree: Tree,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let work_tree = dir.path().join("tree");
        std::fs::create_dir_all(work_tree.join("src")).expect("made");
        std::fs::write(work_tree.join("src/a.rs"), "inside").expect("written");
        std::fs::write(dir.path().join("secret"), "outside").expect("written");
        std::fs::create_dir(dir.path().join("elsewhere")).expect("made");
        let tree = Tree::open(&work_tree).expect("opened");
        World { dir, tree }
    }

    fn read(world: &World, path: &str) -> Result<String, String> {
        match world
            .tree
            .open_for_reading(path)
            .map_err(|error| error.of(path))?
        {
            Opened::File(mut file) => file
                .read()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|error| error.of(path)),
            Opened::Directory(_) => Ok("directory".to_owned()),
        }
    }

    #[test]
    fn paths_inside_are_opened_however_they_are_written() {
        let world = world();
        let absolute = world.dir.path().join("tree/src/a.rs");
        for path in [
            "src/a.rs",
            "./src/a.rs",
            "src/../src/a.rs",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(read(&world, path).as_deref(), Ok("inside"), "{path}");
        }
        assert_eq!(read(&world, ".").as_deref(), Ok("directory"));
        symlink("a.rs", world.dir.path().join("tree/src/link")).unwrap();
        assert_eq!(read(&world, "src/link").as_deref(), Ok("inside"));
    }

    #[test]
    fn paths_that_lead_outside_are_refused_however_they_are_written() {
        let world = world();
        let outside = world.dir.path().join("secret");
        let tree = world.dir.path().join("tree");
        symlink("../secret", tree.join("up")).unwrap();
        symlink(&outside, tree.join("absolute")).unwrap();
        symlink("..", tree.join("parent")).unwrap();
        for path in [
            "../secret",
            "src/../../secret",
            "up",
            "absolute",
            "parent/secret",
            outside.to_str().unwrap(),
            "/etc/passwd",
        ] {
            assert_eq!(
                read(&world, path),
                Err(format!("{path} leads out of the checkout"))
            );
            assert!(world.tree.open_for_writing(path).is_err(), "{path}");
        }
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "outside");
    }

    #[test]
    fn nothing_is_created_outside() {
        let world = world();
        let tree = world.dir.path().join("tree");
        symlink("../elsewhere", tree.join("away")).unwrap();
        symlink("../new", tree.join("dangling")).unwrap();
        for path in [
            "../new",
            "away/new",
            "away/deep/new",
            "dangling",
            "src/../../new",
            "dangling/new",
        ] {
            assert!(world.tree.create(path, b"x").is_err(), "{path}");
        }
        assert!(!world.dir.path().join("new").exists());
        assert_eq!(
            std::fs::read_dir(world.dir.path().join("elsewhere"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn a_file_is_created_with_its_directories_but_never_over_another() {
        let world = world();
        world.tree.create("a/b/c.txt", b"new").unwrap();
        assert_eq!(read(&world, "a/b/c.txt").as_deref(), Ok("new"));
        assert!(matches!(
            world.tree.create("src/a.rs", b"x"),
            Err(PathError::Exists)
        ));
        world.tree.create("empty", b"").unwrap();
        world.tree.create("empty", b"filled").unwrap();
        assert_eq!(read(&world, "empty").as_deref(), Ok("filled"));
        for path in ["", "a/..", "src"] {
            assert!(world.tree.create(path, b"x").is_err(), "{path:?}");
        }
    }

    #[test]
    fn overwriting_keeps_the_mode_and_leaves_no_rest() {
        let world = world();
        let path = world.dir.path().join("tree/src/a.rs");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut file = world.tree.open_for_writing("src/a.rs").unwrap();
        assert_eq!(file.read().unwrap(), b"inside");
        file.overwrite(b"in").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "in");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let world = world();
        let fifo = world.dir.path().join("tree/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read(&world, "fifo"), Err("fifo is not a regular file".to_owned()));
        assert!(matches!(
            world.tree.open_for_writing("fifo"),
            Err(PathError::NotAFile)
        ));
        assert!(matches!(
            world.tree.open_for_writing("src"),
            Err(PathError::NotAFile)
        ));
        assert_eq!(read(&world, "missing"), Err("missing does not exist".to_owned()));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let world = world();
        let file = File::create(world.dir.path().join("tree/big")).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(read(&world, "big").unwrap_err().contains("is larger than"));
    }
}
