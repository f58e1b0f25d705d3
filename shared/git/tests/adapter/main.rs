//! The crate against real git over smart HTTP: `git http-backend` behind a server that insists on the token.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed; this binary has nothing but tests"
)]

mod server;
mod world;

mod apart;
mod fetching;
mod hostile;
mod joining;
mod merging;
mod overlays;
mod patches;
mod proxies;
mod pushing;
mod silence;
mod stacking;
mod tls;
mod work_tree;
