//! services/webhook-ingest.
