//! The built-in agent against a scripted model: real HTTP, real shells, real files.

mod limits;
mod model;
mod network;
mod tools;
mod world;
