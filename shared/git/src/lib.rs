#![doc = include_str!("../README.md")]

pub use cache::{Cache, CacheLimits};
pub use change::{Change, ChangeKind, Changes, Mode};
pub use commit::{CommitRequest, Identity, Merges};
pub use error::{Error, PushError};
pub use limits::TreeLimits;
pub use merge::{Conflicts, Joined, Merged};
pub use mirror::{Depth, Mirror};
pub use overlay::{How, Overlaid, Overlay};
pub use patch::{BinaryFile, Patch};
pub use read_changes::{READ_CHANGES, ReadRequest, Reader, read_changes_main};
pub use ref_name::pull_request_ref;
pub use remote::Remote;
pub use tree_file::TreeFile;

mod ancestors;
mod cache;
mod change;
mod checkout;
mod commit;
mod error;
mod failure;
mod fetch;
mod filter;
mod history;
mod limits;
mod merge;
mod mirror;
mod object;
mod overlay;
mod parallel;
mod patch;
mod push;
mod read_changes;
mod ref_name;
mod remote;
mod tree;
mod tree_file;
