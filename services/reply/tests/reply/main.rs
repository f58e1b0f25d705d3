//! The reply role against a real nats-server and the simulated Bitbucket. Run records are written as the other roles
//! write them; what is looked at is what a person would see, and how often Bitbucket was asked.

mod away;
#[cfg(test)]
mod effects;
mod once;
mod people;
mod plain;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod world;
