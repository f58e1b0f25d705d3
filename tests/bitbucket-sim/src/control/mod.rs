//! The control API below `/sim/v1`: worlds, faults, what was asked and delivered, the clock.

pub(crate) mod clock;
pub(crate) mod document;
pub(crate) mod faults;
pub(crate) mod load;
pub(crate) mod plan;
pub(crate) mod requests;
mod routes;
pub(crate) mod snapshot;
pub(crate) mod take;

pub(crate) use routes::serve;
