//! The process environment. Read here and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where programs are looked for: PATH, empty where there is none.
pub fn search_path() -> std::ffi::OsString {
    variable_os("PATH").unwrap_or_default()
}

/// An executable file of this name in one of PATH's directories, first match first.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = variable_os("PATH")?;
    // An empty entry means the current directory to a shell; not here.
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// Every variable that is text; those that are not cannot be meant for us.
pub(crate) fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn variable_os(name: &str) -> Option<std::ffi::OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    std::env::var_os(name)
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_found_on_path_and_a_missing_one_is_not() {
        assert!(find_on_path("sh").is_some_and(|file| file.is_absolute()));
        assert_eq!(find_on_path("no-such-program-anywhere"), None);
    }
}
