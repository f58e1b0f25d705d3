//! The program that reads work trees, for this crate's own tests; in the product it is a subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    git::read_changes_main()
}
