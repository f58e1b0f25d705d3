//! shared/sandbox.
