//! The built-in agent's program against a scripted model: real HTTP, real shells, real files.

mod apis;
mod limits;
mod model;
mod order;
mod tools;
mod world;
