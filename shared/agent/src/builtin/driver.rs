//! The resolver's side: starts our own executable in the cell, gives it its order and reads its lines.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::ids::RunId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::api::Api;
use super::line::{LINE_BYTES_MAX, Last, LastEnded, Line, Order, Unanswered};
use crate::driver::{Driver, Launch, Said, Streams, tell};
use crate::lines::Lines;
use crate::text;
use crate::{Ended, Error, Progress};

/// The hidden subcommand of our executable, which calls [`super::builtin_main`].
const SUBCOMMAND: &str = "builtin-agent";

/// How long the started program may take to read its order, which is the first thing it does.
const ORDER_WAIT: Duration = Duration::from_secs(30);

/// The built-in agent as a back end.
pub(crate) struct Builtin {
    api: Api,
}

impl Builtin {
    /// The agent that asks its model through `api`.
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }
}

#[async_trait]
impl Driver for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    fn needs(&self) -> sandbox::Needs {
        sandbox::Needs::default()
    }

    fn read_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    async fn prepare(&self, launch: &Launch<'_>) -> Result<sandbox::Program, Error> {
        Ok(sandbox::Program {
            program: launch.executable.into(),
            args: vec![SUBCOMMAND.into()],
            // What the cell sets is what its commands get.
            env: Vec::new(),
            stdin: sandbox::Stdin::Piped,
        })
    }

    async fn drive(
        &self,
        launch: &Launch<'_>,
        streams: Streams,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Said, Error> {
        let run = &launch.task.run;
        if let Some(stdin) = streams.stdin {
            give(run, stdin, &self.order(launch)).await?;
        }
        let mut lines = Lines::new(streams.stdout, LINE_BYTES_MAX);
        let mut garbage: u64 = 0;
        let last = loop {
            match lines.next().await {
                Ok(Some(line)) => match serde_json::from_slice(&line) {
                    Ok(Line::Step(step)) => {
                        if let Some(step) = text::step(&step) {
                            tell(progress, Progress::Step(step));
                        }
                    }
                    Ok(Line::Report(last)) => break Some(last.bounded()),
                    Err(_) => garbage += 1,
                },
                Ok(None) => break None,
                Err(error) => {
                    tracing::warn!(run.id = %run, %error, "the built-in agent's output cannot be read");
                    break None;
                }
            }
        };
        garbage += lines.too_long();
        if garbage > 0 {
            tracing::warn!(run.id = %run, garbage, "the built-in agent printed what is no line of it");
        }
        last.map_or_else(|| Ok(crashed()), |last| said(run, last))
    }
}

impl Builtin {
    fn order(&self, launch: &Launch<'_>) -> Order {
        let limits = launch.task.limits;
        Order {
            brief: launch.task.brief.clone(),
            work_tree: launch.task.work_tree.clone(),
            base_url: launch.base_url.clone(),
            key: launch.key.clone(),
            model: launch.model.to_owned(),
            api: self.api,
            wall: limits.wall,
            command_wall: limits.command_wall,
            output_bytes: limits.output_bytes,
        }
    }
}

/// Writes the order and closes the pipe. A program that does not read it has crashed, which its output tells.
async fn give(run: &RunId, mut stdin: Sender, order: &Order) -> Result<(), Error> {
    let line = serde_json::to_vec(order).map_err(|error| Error::Launcher {
        reason: format!("the order cannot be written as JSON: {error}"),
    })?;
    match timeout(ORDER_WAIT, stdin.write_all(&line)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(run.id = %run, %error, "the built-in agent takes no order"),
        Err(_) => tracing::warn!(run.id = %run, "the built-in agent does not read its order"),
    }
    Ok(())
}

fn crashed() -> Said {
    Said {
        ended: Some(Ended::Crashed),
        ..Said::default()
    }
}

/// What a report comes to. Where the model was not reached or refused, the proxy knows better why, and whether that is
/// the budget's end.
fn said(run: &RunId, mut last: Last) -> Result<Said, Error> {
    let ended = match last.ended {
        LastEnded::Finished => Ended::Finished,
        LastEnded::MalformedCalls => Ended::MalformedCalls,
        LastEnded::NoToolCalls => Ended::NoToolCalls,
        LastEnded::Unanswered(Unanswered::TooLong { said }) => return Err(Error::ModelContext { said }),
        LastEnded::Unanswered(Unanswered::Garbled { reason }) => return Err(Error::ModelAnswer { reason }),
        LastEnded::Unanswered(Unanswered::Refused { status, said }) => crashed_for(
            run,
            &mut last.summary,
            format!("the model call was refused with {status}: {said}"),
        ),
        LastEnded::Unanswered(Unanswered::Unreachable { reason }) => crashed_for(
            run,
            &mut last.summary,
            format!("the model could not be asked: {reason}"),
        ),
    };
    Ok(Said {
        summary: last.summary,
        not_done: last.not_done,
        questions: last.questions,
        ended: Some(ended),
    })
}

/// Keeps the reason where the model has not said anything yet.
fn crashed_for(run: &RunId, summary: &mut String, why: String) -> Ended {
    tracing::info!(run.id = %run, why, "the built-in agent broke off");
    if summary.is_empty() {
        *summary = why;
    }
    Ended::Crashed
}
