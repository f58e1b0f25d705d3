//! shared/telemetry.
