//! shared/worker.
