//! Deliveries over real HTTP into a real nats-server: what is stored, what is answered, and in which cases nothing is.

mod accepted;
mod limits;
mod outage;
mod refused;
mod wire;
mod world;
