//! Runs the battery: in a cell, and as the control outside of any.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::listeners::{Listeners, greet, greet_elsewhere};
use super::targets::{CANARY_VARIABLE, Targets};
use super::{Examination, SelfTestError};
use crate::cell::{CellSpec, How, Program, Stdin};
use crate::level::{Sandbox, Settings};
use crate::limits::CellLimits;
use crate::probe::SUBCOMMAND;
use crate::probe::plan::{Line, NO, Plan, Tried, YES};

/// How long a battery may take. It takes some ten milliseconds; a machine under load takes longer, but not for ever.
const WALL: Duration = Duration::from_secs(60);

/// What a battery may print: some 150 lines.
const OUTPUT_BYTES: u64 = 1024 * 1024;

/// Attacks from inside a cell of the sandbox.
pub(super) async fn confined(
    sandbox: &Sandbox,
    examination: &Examination,
) -> Result<Vec<Tried>, SelfTestError> {
    let user = sandbox.user_at(sandbox.level());
    let targets = Targets::plant(sandbox.settings(), user)
        .await
        .map_err(SelfTestError::Plant)?;
    let mut plan = targets.plan().map_err(SelfTestError::Plant)?;
    let mut cell = sandbox
        .cell(CellSpec {
            work_tree: plan.cell.work_tree.clone(),
            home: plan.cell.home.clone(),
            tmp: plan.cell.tmp.clone(),
            read_paths: examination.read_paths.clone(),
            needs: examination.needs.clone(),
            model_listener: true,
            limits: CellLimits {
                wall: WALL,
                output_bytes: OUTPUT_BYTES,
                ..CellLimits::default()
            },
        })
        .await?;
    let proxy = cell
        .take_listener()
        .map(|listener| greet(listener, plan.model_greeting.clone()));
    let _proxy = proxy.transpose().map_err(SelfTestError::Plant)?;
    plan.model_port = cell.model_port();
    let elsewhere = greet_elsewhere(plan.model_port.unwrap_or(0), plan.canary.clone());
    let elsewhere = elsewhere.map_err(SelfTestError::Plant)?;
    plan.other_host = elsewhere.as_ref().map(|(port, _)| *port);
    let mut running = cell
        .start(Program {
            program: sandbox.settings().executable.clone().into(),
            args: vec![SUBCOMMAND.into(), in_words(&plan)?.into()],
            env: Vec::new(),
            stdin: Stdin::Piped,
        })
        .await?;
    let (Some(stdin), Some(stdout)) = (running.stdin.take(), running.stdout.take()) else {
        return Err(incomplete("the battery has no streams"));
    };
    let cancel = CancellationToken::new();
    // Together: the end is what enforces the limits while the battery is talked to.
    let (tried, end) = tokio::join!(
        converse(&targets.listeners, stdin, stdout),
        running.ended(&cancel)
    );
    match (end?.how, tried) {
        (How::Exited(0), Ok(tried)) => Ok(tried),
        (How::Exited(0), Err(error)) => Err(incomplete(&error.to_string())),
        (how, _) => Err(incomplete(&format!("{how:?}"))),
    }
}

/// Attacks from outside, as the worker itself.
pub(super) async fn unconfined(settings: &Settings) -> Result<Vec<Tried>, SelfTestError> {
    let targets = Targets::plant(settings, None)
        .await
        .map_err(SelfTestError::Plant)?;
    let mut plan = targets.plan().map_err(SelfTestError::Plant)?;
    let elsewhere = greet_elsewhere(0, plan.canary.clone()).map_err(SelfTestError::Plant)?;
    plan.other_host = elsewhere.as_ref().map(|(port, _)| *port);
    plan.killer = Some(plan.bystander.pid);
    #[expect(
        clippy::disallowed_methods,
        reason = "the control is the one child that must not be confined"
    )]
    let mut command = tokio::process::Command::new(&settings.executable);
    let mut child = command
        .args([SUBCOMMAND, &in_words(&plan)?])
        .current_dir(&plan.cell.work_tree)
        .env(CANARY_VARIABLE, &plan.canary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(SelfTestError::Plant)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(incomplete("the control has no streams"));
    };
    let control = async {
        let tried = converse(&targets.listeners, stdin, stdout).await?;
        Ok::<_, io::Error>((tried, child.wait().await?))
    };
    match timeout(WALL, control).await {
        Ok(Ok((tried, status))) if status.success() => Ok(tried),
        Ok(Ok((_, status))) => Err(incomplete(&format!("the control ended with {status}"))),
        Ok(Err(error)) => Err(incomplete(&format!("the control: {error}"))),
        Err(_) => Err(incomplete("the control hangs")),
    }
}

fn incomplete(reason: &str) -> SelfTestError {
    SelfTestError::Incomplete {
        reason: reason.to_owned(),
    }
}

fn in_words(plan: &Plan) -> Result<String, SelfTestError> {
    serde_json::to_string(plan).map_err(|error| SelfTestError::Plant(error.into()))
}

/// Reads the battery's lines to their end and answers its questions.
async fn converse(
    listeners: &Listeners,
    mut stdin: impl AsyncWrite + Unpin,
    stdout: impl AsyncRead + Unpin,
) -> io::Result<Vec<Tried>> {
    let mut lines = BufReader::new(stdout).lines();
    let mut tried = Vec::new();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Line::Tried(one) => tried.push(one),
            Line::Asked(question) => {
                let answer = if listeners.answer(&question).await {
                    YES
                } else {
                    NO
                };
                stdin.write_all(format!("{answer}\n").as_bytes()).await?;
            }
        }
    }
    Ok(tried)
}
