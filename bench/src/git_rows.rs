//! The mirror cache and the push, against the git command, over the same HTTP server.

pub(crate) mod push;
pub(crate) mod work_tree;

mod served;
mod trees;
