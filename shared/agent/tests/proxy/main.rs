//! The model proxy over real sockets, between a client and a scripted endpoint.

mod budget;
mod errors;
mod exit;
mod network;
mod smuggling;
mod streams;
mod transcript;
mod usage;
mod world;
