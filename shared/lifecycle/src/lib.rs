//! shared/lifecycle.
