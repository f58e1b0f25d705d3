//! Finds an agent's program, and what of the file system it needs to read to run.
//!
//! Programs of npm and of virtual environments are scripts whose interpreter and libraries lie elsewhere. What they need is found by the
//! layout that both have; anything else is the operator's to name.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

use crate::Error;

/// Every cell can read these; links below them may lead elsewhere.
const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// The longest first line of a script that the kernel looks at.
const SHEBANG_BYTES_MAX: u64 = 256;

/// A program that can be started, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The program: absolute, no link unless the system's own.
    pub program: PathBuf,
    /// What it must be able to read, beyond the system's own directories.
    pub read_paths: Vec<PathBuf>,
    /// Where it and its interpreter are, in the order of a PATH.
    pub directories: Vec<PathBuf>,
}

impl Installation {
    /// Finds `program`, on `search_path` unless it has a slash.
    ///
    /// Fails with [`Error::Missing`] where there is none, or where it cannot be executed.
    pub fn find(program: &str, search_path: &OsStr) -> Result<Self, Error> {
        let missing = |reason: &str| Error::Missing {
            program: program.to_owned(),
            reason: reason.to_owned(),
        };
        let found = look_up(OsStr::new(program), search_path);
        let found = found.ok_or_else(|| missing("it was not found"))?;
        if !found.is_absolute() {
            return Err(missing("its path is not absolute"));
        }
        if !is_executable(&found) {
            return Err(missing("it is not an executable file"));
        }
        let mut installation = Self {
            program: PathBuf::new(),
            read_paths: Vec::new(),
            directories: Vec::new(),
        };
        installation.program = installation.add(&found);
        if let Some(interpreter) = interpreter(&installation.program, search_path) {
            let interpreter = interpreter.map_err(|name| Error::Missing {
                program: program.to_owned(),
                reason: format!("its interpreter {} was not found", name.display()),
            })?;
            installation.add(&interpreter);
        }
        Ok(installation)
    }

    /// Adds what one executable takes; returns the path to start it by.
    fn add(&mut self, executable: &Path) -> PathBuf {
        let real = executable
            .canonicalize()
            .unwrap_or_else(|_| executable.to_owned());
        let directory = executable.parent().map(Path::to_owned).unwrap_or_default();
        if !self.directories.contains(&directory) {
            self.directories.push(directory);
        }
        let mut paths = Vec::new();
        for path in [executable, &real] {
            paths.extend(node_modules(path));
            paths.extend(virtual_environment(path));
        }
        paths.extend(python_prefix(&real));
        paths.push(real.clone());
        for path in paths {
            let known = self.read_paths.iter().any(|known| path.starts_with(known));
            if !known && !is_system(&path) {
                self.read_paths.push(path);
            }
        }
        // A virtual environment is told by the path its interpreter is started by.
        let is_environment = virtual_environment(executable).is_some();
        if is_system(executable) || is_environment {
            executable.to_owned()
        } else {
            real
        }
    }
}

/// The first file of that name on the path; a name with a slash is its own answer.
fn look_up(name: &OsStr, search_path: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(|path| path.exists());
    }
    let directories = std::env::split_paths(search_path);
    let mut candidates: Vec<_> = directories.map(|directory| directory.join(name)).collect();
    candidates.retain(|path| path.is_file());
    // As a shell does: what can be executed goes before what cannot.
    let executable = candidates.iter().find(|path| is_executable(path)).cloned();
    executable.or_else(|| candidates.into_iter().next())
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|directory| path.starts_with(directory))
}

/// Who runs a script; none where the file is no script, the name where there is nobody of that name.
fn interpreter(script: &Path, search_path: &OsStr) -> Option<Result<PathBuf, OsString>> {
    let mut first = Vec::new();
    let file = File::open(script).ok()?;
    file.take(SHEBANG_BYTES_MAX).read_to_end(&mut first).ok()?;
    let line = first.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let mut name = words.next()?;
    if Path::new(name).file_name() == Some(OsStr::new("env")) {
        name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    Some(look_up(OsStr::new(name), search_path).ok_or_else(|| OsString::from(name)))
}

/// The outermost `node_modules` above a path: npm puts what a package needs beside it, or above.
fn node_modules(path: &Path) -> Option<PathBuf> {
    let mut above = PathBuf::new();
    for component in path.components() {
        above.push(component);
        if component == Component::Normal(OsStr::new("node_modules")) {
            return Some(above);
        }
    }
    None
}

/// The virtual environment whose `bin` a program is in.
fn virtual_environment(program: &Path) -> Option<PathBuf> {
    let root = program.parent()?.parent()?;
    root.join("pyvenv.cfg").is_file().then(|| root.to_owned())
}

/// Where the standard library of a Python interpreter is.
fn python_prefix(interpreter: &Path) -> Option<PathBuf> {
    let name = interpreter.file_name()?.to_str()?;
    let root = interpreter.parent()?.parent()?;
    let library = root.join("lib").join(name);
    (name.starts_with("python") && library.is_dir()).then(|| root.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Files with their texts; those with a `#!` can be executed.
    fn installed(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        (folder, root)
    }

    #[test]
    fn a_program_of_npm_brings_its_packages_and_its_node() {
        let (_folder, root) = installed(&[
            ("lib/node_modules/agent/cli.js", "#!/usr/bin/env node\n"),
            ("node/bin/node", "#!binary"),
        ]);
        std::fs::create_dir(root.join("bin")).unwrap();
        symlink("../lib/node_modules/agent/cli.js", root.join("bin/agent")).unwrap();
        let path = std::env::join_paths([root.join("bin"), root.join("node/bin")]).unwrap();
        let found = Installation::find("agent", &path).unwrap();
        assert_eq!(found.program, root.join("lib/node_modules/agent/cli.js"));
        assert_eq!(
            found.read_paths,
            [root.join("lib/node_modules"), root.join("node/bin/node")]
        );
        assert_eq!(found.directories, [root.join("bin"), root.join("node/bin")]);
    }

    #[test]
    fn a_program_of_a_virtual_environment_brings_it_and_its_python() {
        let (_folder, root) = installed(&[
            ("venv/pyvenv.cfg", "home = elsewhere\n"),
            ("python/bin/python3.12", "#!binary"),
            ("python/lib/python3.12/os.py", ""),
        ]);
        std::fs::create_dir(root.join("venv/bin")).unwrap();
        symlink(root.join("python/bin/python3.12"), root.join("venv/bin/python")).unwrap();
        let script = root.join("venv/bin/agent");
        let shebang = format!("#!{}\n", root.join("venv/bin/python").display());
        std::fs::write(&script, shebang).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let found = Installation::find(script.to_str().unwrap(), OsStr::new("")).unwrap();
        assert_eq!(found.program, script);
        assert_eq!(found.read_paths, [root.join("venv"), root.join("python")]);
    }

    #[test]
    fn what_cannot_be_started_is_named_with_its_reason() {
        let (_folder, root) = installed(&[("plain", "text"), ("script", "#!/usr/bin/env no-such-thing\n")]);
        let path = root.clone().into_os_string();
        for (program, reason) in [
            ("absent", "was not found"),
            ("/absent/agent", "was not found"),
            ("plain", "not an executable file"),
            ("script", "interpreter no-such-thing"),
            ("", "was not found"),
        ] {
            let error = Installation::find(program, &path).unwrap_err();
            assert!(matches!(error, Error::Missing { .. }), "{error:?}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        let directory = Installation::find(root.to_str().unwrap(), &path).unwrap_err();
        assert!(directory.to_string().contains("not an executable file"));
    }

    #[test]
    fn a_program_of_the_system_is_started_by_its_own_name() {
        let found = Installation::find("sh", OsStr::new("/usr/bin:/bin")).unwrap();
        assert!(found.program.ends_with("sh") && found.read_paths.is_empty());
    }
}
