//! services/context-builder.
