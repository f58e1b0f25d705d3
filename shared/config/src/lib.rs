//! shared/config.
