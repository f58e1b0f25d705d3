//! How large a tree may be: a repository of a few kilobytes can unpack to more than any disk holds
//! (reliability-security.md row 18).

/// Limits of a tree that is written out or read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeLimits {
    /// Files, symbolic links and directories. Large monorepos have a few hundred thousand.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of one file; a server that takes larger ones into git is rare, and an agent cannot use them.
    pub blob_bytes: u64,
    /// Directories within one another. Deeper than this, paths outgrow what the kernel takes.
    pub depth: usize,
    /// Bytes of a path; Linux takes at most 4,096 including what is before the work tree.
    pub path_bytes: usize,
    /// Files an agent may add: more is a build directory that nothing ignores.
    pub changed_files: u64,
    /// Bytes of all changed files together, which are pushed and end in everybody's clone.
    pub changed_bytes: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            entries: 500_000,
            bytes: 8_192 * MIB,
            blob_bytes: 256 * MIB,
            depth: 128,
            path_bytes: 3_000,
            changed_files: 10_000,
            changed_bytes: 64 * MIB,
        }
    }
}
