//! What the product's executable does under its hidden names, for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("sandbox-exec") => sandbox::inner::main(),
        Some("sandbox-probe") => sandbox::probe::main(),
        _ => ExitCode::from(2),
    }
}
