//! Webhook deliveries: payload flavours, signature, queue, circuit breaker.

mod breaker;
pub(crate) mod deliver;
mod flavour;
pub(crate) mod payload;
pub(crate) mod record;
pub(crate) mod send;
