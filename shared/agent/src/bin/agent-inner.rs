//! The subcommands that the product's executable has for the inside of cells, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("sandbox-exec") => sandbox::inner::main(),
        Some("sandbox-probe") => sandbox::probe::main(),
        Some("builtin-agent") => agent::builtin_main(),
        _ => ExitCode::FAILURE,
    }
}
