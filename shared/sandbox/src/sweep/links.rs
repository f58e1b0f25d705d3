//! Hard links: a file that has another name outside the tree may be somebody else's content.

use std::collections::HashMap;

use rustix::fs::Stat;

/// Files with several names, by device and inode.
#[derive(Default)]
pub(super) struct Links {
    seen: HashMap<(u64, u64), Linked>,
}

struct Linked {
    names: u64,
    paths: Vec<Vec<u8>>,
}

impl Links {
    /// Notes a file of the tree.
    pub(super) fn see(&mut self, stat: &Stat, path: Vec<u8>) {
        let names = stat.st_nlink;
        if names > 1 {
            let linked = self.seen.entry((stat.st_dev, stat.st_ino)).or_insert(Linked {
                names,
                paths: Vec::new(),
            });
            linked.paths.push(path);
        }
    }

    /// The paths whose file has a name that was not seen.
    pub(super) fn leading_out(self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = self
            .seen
            .into_values()
            .filter(|linked| (linked.paths.len() as u64) < linked.names)
            .flat_map(|linked| linked.paths)
            .collect();
        paths.sort_unstable();
        paths
    }
}
