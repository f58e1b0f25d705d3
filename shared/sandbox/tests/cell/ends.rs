//! How a run ends, and that nothing of it stays.
