//! Context: what an agent is told, gathered from Bitbucket and written down as a brief.

pub(crate) mod brief;
pub(crate) mod gather;
pub(crate) mod material;

mod budget;
mod diff;
mod framing;
mod sections;
mod visible;
