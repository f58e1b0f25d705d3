//! The built-in agent's program against a scripted model: real HTTP, real shells, real files.

mod apis;
mod cell;
mod endpoint;
mod in_cell;
mod limits;
mod model;
mod order;
mod tools;
mod world;
