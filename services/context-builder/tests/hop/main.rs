//! The role between a real nats-server and the simulated Bitbucket: mentions go in, run records and jobs come out.

mod answers;
mod edits;
mod going_back;
#[expect(
    clippy::unwrap_used,
    reason = "what fails in the world of a test fails the test"
)]
mod looks;
mod overtaken;
mod queue;
mod refusals;
mod requests;
#[expect(
    clippy::unwrap_used,
    reason = "what fails in the world of a test fails the test"
)]
mod setup;
#[expect(
    clippy::unwrap_used,
    reason = "what fails in the world of a test fails the test"
)]
mod stand_in;
mod watchdog;
mod who;
#[expect(
    clippy::unwrap_used,
    reason = "what fails in the world of a test fails the test"
)]
mod world;
