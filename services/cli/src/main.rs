//! The executable `openhands-resolver`: one subcommand per role, `up` for all of them, and what operators ask.

mod arguments;
mod check;
mod coding_agent;
mod inner;
mod reach;
mod roles;
mod runs;
mod say;
mod up;
mod workshop;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::arguments::{Arguments, Command, ConfigCommand};

/// The configuration is wrong; nothing was started.
const EXIT_CONFIGURATION: u8 = 2;

/// At the end, how long threads that block may take to notice that they were told to stop. Whatever they hold is
/// given back by the kernel, and what they leave half done is cleared by the next start.
const BLOCKING_WORK_MAX: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if let Some(code) = inner::dispatch() {
        return code;
    }
    // The one TLS provider. A second install in one process would be refused, and there is none.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return say::failure("a TLS provider is installed already");
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say::failure(&format!("cannot start the runtime: {error}")),
    };
    let code = runtime.block_on(dispatch(arguments));
    // Dropping the runtime would wait for git work that was told to stop and sits in a read.
    runtime.shutdown_timeout(BLOCKING_WORK_MAX);
    code
}

async fn dispatch(arguments: Arguments) -> ExitCode {
    let config = match config::load(arguments.command.config_path()) {
        Ok(config) => config,
        Err(problems) => return say::wrong_configuration(&problems),
    };
    if matches!(arguments.command, Command::Up(_) | Command::Role(_))
        && let Err(error) = sandbox::protect_this_process()
    {
        // Roles hold secrets: agents and other programs of this user must not read their memory.
        return say::failure(&format!("cannot protect this process from others: {error}"));
    }
    let ended = match arguments.command {
        Command::Up(_) => return up::up(config).await,
        Command::Role(role) => return roles::role(role.role(), config).await,
        Command::Config {
            command: ConfigCommand::Check(_),
        } => return check::check(&config).await,
        Command::Runs { command } => runs::run(command, &config).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::failure(&format!("{error:#}")),
    }
}
