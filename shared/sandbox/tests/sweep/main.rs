//! The sweep of trees that agents left behind, the hostile ones above all.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its tree has failed; this binary has nothing but tests"
)]

mod hostile;
mod limits;
mod swap;
mod tree;
