//! Context: what an agent is told, gathered from Bitbucket and written down as a brief.

pub(crate) mod brief;
pub(crate) mod framing;
pub(crate) mod gather;
pub(crate) mod material;
pub(crate) mod occasion;
pub(crate) mod open_threads;
pub(crate) mod reopened;

mod budget;
mod diff;
mod hidden;
mod sections;
mod visible;
