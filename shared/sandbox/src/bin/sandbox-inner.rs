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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
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
