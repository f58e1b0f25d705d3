//! The resolver's side: starts our own executable in the cell, gives it its order and reads its lines.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use pipeline::ids::RunId;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::unix::pipe::Sender;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::api::Api;
use super::line::{LINE_BYTES_MAX, Last, LastEnded, Line, Order, Sealed, Unanswered};
use crate::driver::{Driver, Launch, Said, Streams, tell};
use crate::lines::Lines;
use crate::text;
use crate::{Ended, Error, Progress};

/// The hidden subcommand of our executable, which calls [`super::builtin_main`].
const SUBCOMMAND: &str = "builtin-agent";

/// How long the started program may take to read its order, which is the first thing it does.
const ORDER_WAIT: Duration = Duration::from_secs(30);

/// Enough that a command cannot guess it within a run.
const SEAL_BYTES: usize = 16;

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
        let order = self.order(launch);
        if let Some(stdin) = streams.stdin {
            give(run, stdin, &order).await?;
        }
        hear(run, &order.seal, streams.stdout, progress)
            .await
            .map_or_else(|| Ok(crashed()), |last| said(run, last))
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
            seal: hex::encode(rand::random::<[u8; SEAL_BYTES]>()),
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

/// Reads the program's lines up to its report, and tells its steps; none where the output ends without a report. Lines
/// that are no line of the program are counted and left out.
async fn hear(
    run: &RunId,
    seal: &str,
    output: impl AsyncRead + Unpin,
    progress: &mpsc::Sender<Progress>,
) -> Option<Last> {
    let mut lines = Lines::new(output, LINE_BYTES_MAX);
    let mut garbage: u64 = 0;
    let last = loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break None,
            Err(error) => {
                tracing::warn!(run.id = %run, %error, "the built-in agent's output cannot be read");
                break None;
            }
        };
        // Each line begins with the end of one, in case somebody else has left half a line there.
        if line.is_empty() {
            continue;
        }
        let sealed = serde_json::from_slice(&line)
            .ok()
            .filter(|line: &Sealed| line.seal == seal);
        match sealed.map(|sealed| sealed.line) {
            Some(Line::Step(step)) => {
                if let Some(step) = text::step(&step) {
                    tell(progress, Progress::Step(step));
                }
            }
            Some(Line::Report(last)) => break Some(last.bounded()),
            None => garbage += 1,
        }
    };
    garbage += lines.too_long();
    if garbage > 0 {
        tracing::warn!(run.id = %run, garbage, "the built-in agent printed what is no line of it");
    }
    last
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// More than any test prints.
    const STEPS_MAX: usize = 100;

    async fn heard(printed: &[u8]) -> (Result<Said, Error>, Vec<String>) {
        let run = RunId::new("r-0123456789ab").unwrap();
        let (progress, mut told) = mpsc::channel(STEPS_MAX);
        let last = hear(&run, "s3al", printed, &progress).await;
        let said = last.map_or_else(|| Ok(crashed()), |last| said(&run, last));
        let steps = std::iter::from_fn(|| told.try_recv().ok()).map(|told| match told {
            Progress::Step(step) => step,
            Progress::Usage(usage) => panic!("{usage:?}"),
        });
        (said, steps.collect())
    }

    fn report(ended: serde_json::Value) -> String {
        json!({"seal": "s3al", "report": {"summary": "s", "not_done": ["n"], "questions": ["q"], "ended": ended}}).to_string()
    }

    #[tokio::test]
    async fn steps_are_told_and_what_follows_the_report_is_not_read() {
        let printed = format!(
            "{{\"seal\": \"s3al\", \"step\": \"one\\n\\u001b[2J\"}}\n{}\n{{\"seal\": \"s3al\", \"step\": \"two\"}}\n",
            report(json!("finished"))
        );
        let (said, steps) = heard(printed.as_bytes()).await;
        let expected = Said {
            summary: "s".to_owned(),
            not_done: vec!["n".to_owned()],
            questions: vec!["q".to_owned()],
            ended: Some(Ended::Finished),
        };
        assert_eq!(said.unwrap(), expected);
        assert_eq!(steps, ["one [2J"]);
    }

    #[tokio::test]
    async fn an_output_without_a_report_is_a_crash() {
        for printed in [
            "",
            "{\"seal\": \"s3al\", \"step\": \"one\"}\n",
            "{\"seal\": \"s3al\", \"report\": {\"summary\"",
            "{\"seal\": \"s3al\", \"report\": 1}\n",
            &report(json!("finished")).replace("s3al", "s4al"),
            &report(json!("finished")).replace("seal", "sael"),
        ] {
            let (said, _) = heard(printed.as_bytes()).await;
            assert_eq!(said.unwrap().ended, Some(Ended::Crashed), "{printed}");
        }
    }

    #[tokio::test]
    async fn garbage_of_any_length_is_left_out() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let printed = [
            b"\xff\n\n[]\n",
            long.as_slice(),
            b"\n",
            report(json!("no_tool_calls")).as_bytes(),
            b"\n",
        ]
        .concat();
        let (said, steps) = heard(&printed).await;
        assert_eq!(said.unwrap().ended, Some(Ended::NoToolCalls));
        assert!(steps.is_empty());
    }

    #[tokio::test]
    async fn why_there_was_no_answer_is_kept_where_nobody_else_knows_it() {
        let unanswered = |why| report(json!({"unanswered": why}));
        let garbled = unanswered(json!({"garbled": {"reason": "r"}}));
        let (said, _) = heard(garbled.as_bytes()).await;
        assert!(matches!(said, Err(Error::ModelAnswer { .. })), "{said:?}");
        let too_long = unanswered(json!({"too_long": {"said": "r"}}));
        let (said, _) = heard(too_long.as_bytes()).await;
        assert!(matches!(said, Err(Error::ModelContext { .. })), "{said:?}");
        for why in [
            json!({"refused": {"status": 400, "said": "no"}}),
            json!({"unreachable": {"reason": "gone"}}),
        ] {
            let (said, _) = heard(unanswered(why).replace("\"s\"", "\"\"").as_bytes()).await;
            let said = said.unwrap();
            assert_eq!(said.ended, Some(Ended::Crashed));
            assert!(said.summary.starts_with("the model c"), "{said:?}");
        }
    }
}
