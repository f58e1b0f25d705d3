//! services/mention-parser.
