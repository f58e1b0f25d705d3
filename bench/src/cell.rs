//! The start of a program in the sandbox, over a plain spawn of the same program.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sandbox::{CellLimits, CellSpec, How, Level, Mode, Namespaces, Needs, Program, Sandbox, Settings, Stdin};
use tests::child::program;
use tokio_util::sync::CancellationToken;

use crate::samples::Samples;
use crate::table::{Goal, Row, spread};

/// Starts of each in one round: one alone is a matter of luck.
const STARTS_PER_ROUND: usize = 10;
/// Does nothing, so that all that is measured is the start and the end.
const NOTHING: &str = "/bin/true";
/// Over a plain spawn.
const GOAL_MS: f64 = 30.0;
/// A program that does nothing and takes longer hangs.
const WALL: Duration = Duration::from_secs(20);

/// A row for each level that this machine allows.
pub(crate) async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for namespaces in [Namespaces::Auto, Namespaces::Never] {
        let sandbox = Sandbox::start(Settings {
            mode: Mode::Enforce,
            namespaces,
            user: None,
            read_paths: Vec::new(),
            executable: program("openhands-resolver")?,
        });
        let sandbox = sandbox.await.context("the sandbox")?;
        if namespaces == Namespaces::Auto && sandbox.level() == Level::One {
            continue;
        }
        rows.push(starts(&sandbox, rounds).await?);
    }
    Ok(rows)
}

async fn starts(sandbox: &Sandbox, rounds: usize) -> Result<Row> {
    let directory = tempfile::tempdir()?;
    // Agents may have a user of their own.
    open(directory.path())?;
    for name in ["tree", "home", "tmp"] {
        std::fs::create_dir(directory.path().join(name))?;
        open(&directory.path().join(name))?;
    }
    let (mut confined, mut plain) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        for _ in 0..STARTS_PER_ROUND {
            let (in_cell, spawned) = (in_cell(sandbox, directory.path()).await?, spawned().await?);
            // The first round fills the machine's caches for both.
            if round > 0 {
                confined.add_ms(in_cell);
                plain.add_ms(spawned);
            }
        }
    }
    let over = confined.median() - plain.median();
    let level = sandbox.level().as_u8();
    let name = format!("start in the sandbox, level {level}, over a plain spawn, p50");
    let note = format!(
        "{} starts, {} against {}",
        confined.len(),
        spread(&confined),
        spread(&plain)
    );
    Ok(Row::value(&name, "ms", over, Goal::AtMost(GOAL_MS)).noting(note))
}

/// From the wish for a cell to the confirmed end of everything in it.
async fn in_cell(sandbox: &Sandbox, directory: &Path) -> Result<Duration> {
    let started = Instant::now();
    let cell = sandbox.cell(CellSpec {
        work_tree: directory.join("tree"),
        home: directory.join("home"),
        tmp: directory.join("tmp"),
        read_paths: Vec::new(),
        needs: Needs::default(),
        model_listener: true,
        limits: CellLimits {
            wall: WALL,
            ..CellLimits::default()
        },
    });
    let program = Program {
        program: NOTHING.into(),
        args: Vec::new(),
        env: Vec::new(),
        stdin: Stdin::Null,
    };
    let mut running = cell.await?.start(program).await?;
    let end = running.ended(&CancellationToken::new()).await?;
    let took = started.elapsed();
    ensure!(end.how == How::Exited(0), "it ended by {:?}", end.how);
    Ok(took)
}

async fn spawned() -> Result<Duration> {
    let started = Instant::now();
    #[expect(clippy::disallowed_methods, reason = "what the sandbox is compared with")]
    let mut child = tokio::process::Command::new(NOTHING)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let status = child.wait().await?;
    let took = started.elapsed();
    ensure!(status.success(), "it ended with {status}");
    Ok(took)
}

fn open(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        directory,
        std::fs::Permissions::from_mode(0o777),
    )?)
}
