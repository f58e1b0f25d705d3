//! The worker against a real nats-server. Every test has a server of its own, started the way `up` starts it.

#![expect(
    clippy::unwrap_used,
    reason = "every function here is part of a test, also where no attribute says so"
)]

mod drift;
mod managed;
mod publishing;
mod reading;
mod records;
mod server_dies;
mod settlement;
mod shutdown;
mod takeover;
mod world;
