//! What servers have said they can do. In protocol version 2 that is independent of the repository's state, so asking
//! again before every request only costs a round trip and, at the server, a process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An upgrade of the server is noticed after this long at the latest; sooner when an answer cannot be understood.
const AGE_MAX: Duration = Duration::from_mins(10);
/// Repositories remembered; each takes a few hundred bytes.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of an advertisement that is remembered.
const BYTES_MAX: usize = 16 * 1024;

/// Advertisements of version 2, by the URL they were asked for at.
#[derive(Debug, Default)]
pub(crate) struct Advertised(Mutex<HashMap<String, (Instant, Vec<u8>)>>);

impl Advertised {
    /// What was said at the URL, if it is recent.
    pub(crate) fn get(&self, url: &str) -> Option<Vec<u8>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(url)
            .filter(|(said_at, _)| said_at.elapsed() < AGE_MAX)
            .map(|(_, said)| said.clone())
    }

    /// Remembers an advertisement of version 2; older versions list refs in it, which change.
    pub(crate) fn put(&self, url: &str, said: &[u8]) {
        let is_version_2 = said.windows(14).any(|window| window == b"000eversion 2\n");
        if !is_version_2 || said.len() > BYTES_MAX {
            return;
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(url.to_owned(), (Instant::now(), said.to_owned()));
    }

    /// Forgets what was said about a repository.
    pub(crate) fn forget(&self, repository_url: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|url, _| !url.starts_with(repository_url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_2_is_remembered() {
        let advertised = Advertised::default();
        let url = "https://host/scm/p/r.git/info/refs?service=git-upload-pack";
        advertised.put(
            url,
            b"001e# service=git-upload-pack\n0000003f1234 HEAD\0multi_ack\n0000",
        );
        assert_eq!(advertised.get(url), None);
        let version_2 = b"001e# service=git-upload-pack\n0000000eversion 2\n0000";
        advertised.put(url, version_2);
        assert_eq!(advertised.get(url).as_deref(), Some(&version_2[..]));
        advertised.forget("https://host/scm/p/r.git");
        assert_eq!(advertised.get(url), None);
    }
}
