//! services/reply.
