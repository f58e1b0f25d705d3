//! Scenarios: what people and servers do, and what people see. One binary; run one with `./dev scenario <name>`.

#[path = "../architecture.rs"]
mod architecture;
