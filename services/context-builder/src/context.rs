//! Context: what an agent is told, gathered from Bitbucket and written down as a brief.

pub(crate) mod brief;
pub(crate) mod gather;

mod budget;
mod diff;
mod material;
mod sections;
mod visible;
