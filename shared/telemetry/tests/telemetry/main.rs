//! One process is set up once, so these tests share one subscriber.

mod metrics;
mod trace;
