//! services/resolver.
