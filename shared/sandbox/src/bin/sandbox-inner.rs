//! What the product's executable does under its hidden names, for this crate's tests; and a worker that can be killed.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use sandbox::{CellLimits, CellSpec, Mode, Namespaces, Needs, Program, Sandbox, Settings, Stdin};
use tokio::io::AsyncReadExt as _;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("sandbox-exec") => sandbox::inner::main(),
        Some("sandbox-probe") => sandbox::probe::main(),
        Some("level") => match level(std::env::args_os().skip(2).collect()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        },
        Some("worker") => match worker(std::env::args_os().skip(2).collect()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The exit code says it too.
                let _ = writeln!(io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::from(2),
    }
}

/// Arguments: what every cell may read beyond the system's own paths. Prints the number of the strongest level and, on a
/// second line, why it is not a stronger one.
fn level(read_paths: Vec<OsString>) -> io::Result<()> {
    let settings = Settings {
        mode: Mode::Enforce,
        namespaces: Namespaces::Auto,
        user: None,
        read_paths: read_paths.into_iter().map(PathBuf::from).collect(),
        executable: std::env::current_exe()?,
    };
    let sandbox = runtime()?
        .block_on(Sandbox::start(settings))
        .map_err(io::Error::other)?;
    let passed_over = sandbox.passed_over().unwrap_or_default();
    writeln!(io::stdout(), "{}\n{passed_over}", sandbox.level().as_u8())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Arguments: the level's number, the directory with `work`, `home` and `tmp`, the program, its arguments. Copies the
/// program's output to its own.
fn worker(arguments: Vec<OsString>) -> io::Result<()> {
    let mut arguments = arguments.into_iter();
    let mut next = || {
        arguments
            .next()
            .ok_or_else(|| io::Error::other("too few arguments"))
    };
    let (level, directory, program) = (next()?, PathBuf::from(next()?), next()?);
    let settings = Settings {
        mode: if level == "0" { Mode::Off } else { Mode::Enforce },
        namespaces: if level == "2" {
            Namespaces::Always
        } else {
            Namespaces::Never
        },
        user: None,
        read_paths: vec![program.clone().into()],
        executable: std::env::current_exe()?,
    };
    let spec = CellSpec {
        work_tree: directory.join("work"),
        home: directory.join("home"),
        tmp: directory.join("tmp"),
        read_paths: Vec::new(),
        needs: Needs::default(),
        model_listener: false,
        limits: CellLimits::default(),
    };
    let program = Program {
        program,
        args: arguments.collect(),
        env: Vec::new(),
        stdin: Stdin::Null,
    };
    runtime()?.block_on(async {
        let sandbox = Sandbox::start(settings).await.map_err(io::Error::other)?;
        let cell = sandbox.cell(spec).await.map_err(io::Error::other)?;
        let mut running = cell.start(program).await.map_err(io::Error::other)?;
        if let Some(mut stdout) = running.stdout.take() {
            let mut buffer = vec![0; 1024];
            loop {
                match stdout.read(&mut buffer).await? {
                    0 => break,
                    count => io::stdout().write_all(&buffer[..count])?,
                }
            }
        }
        Ok(())
    })
}
