//! shared/git.
