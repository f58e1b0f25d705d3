//! The crate against real git over smart HTTP: `git http-backend` behind a server that insists on the token.

mod server;
mod world;

mod fetching;
mod hostile;
mod merging;
mod patches;
mod pushing;
mod work_tree;
