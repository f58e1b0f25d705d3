//! One task's conversation, from the first message to the report.

use genai::chat::{ChatMessage, ToolResponse};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer::{Call, Turn};
use super::conversation::{self, Window};
use super::model::Model;
use super::prompt;
use super::tools::{Done, Finish, Outcome, Toolbox};
use crate::{Ended, Error, Progress, Report, Task, Usage};

/// How many useless answers in a row end a run: a model that did not understand two explanations will not understand
/// the third.
const USELESS_IN_A_ROW_MAX: u32 = 3;

/// A task being worked on.
pub(super) struct Session<'a> {
    model: &'a Model,
    task: Task,
    /// Cancelled with the task, and when its time is over.
    stop: CancellationToken,
    toolbox: Toolbox,
    progress: mpsc::Sender<Progress>,
    messages: Vec<ChatMessage>,
    window: Window,
    usage: Usage,
    useless_in_a_row: u32,
    finish: Finish,
}

impl<'a> Session<'a> {
    pub(super) fn new(model: &'a Model, task: Task, progress: mpsc::Sender<Progress>) -> Result<Self, Error> {
        let stop = task.cancel.child_token();
        let toolbox = Toolbox::new(&task, stop.clone())?;
        let messages = vec![
            ChatMessage::system(prompt::SYSTEM),
            ChatMessage::user(prompt::task_message(&task)),
        ];
        let (usage, finish) = (Usage::default(), Finish::default());
        Ok(Self {
            model,
            task,
            stop,
            toolbox,
            progress,
            messages,
            window: Window::USUAL,
            usage,
            useless_in_a_row: 0,
            finish,
        })
    }

    /// Works until the end. The time limit cancels `stop` rather than dropping the work, so that a running command is
    /// seen to its end before the report says that the task has ended.
    pub(super) async fn run(mut self) -> Result<Report, Error> {
        let (stop, wall) = (self.stop.clone(), self.task.limits.wall);
        let time_limit = async {
            tokio::time::sleep(wall).await;
            stop.cancel();
            std::future::pending::<Result<Ended, Error>>().await
        };
        let ended = tokio::select! {
            ended = self.work() => ended?,
            never = time_limit => never?,
        };
        let Finish {
            summary,
            not_done,
            questions,
        } = self.finish;
        tracing::info!(run.id = %self.task.run, ?ended, usage = ?self.usage, "the agent has ended");
        Ok(Report {
            summary,
            not_done,
            questions,
            usage: self.usage,
            ended,
            model_errors: 0,
            transcript: Vec::new(),
            cell: None,
        })
    }

    async fn work(&mut self) -> Result<Ended, Error> {
        loop {
            if let Some(ended) = self.limit_reached() {
                return Ok(ended);
            }
            let Some(turn) = self.ask().await? else {
                return Ok(self.stopped());
            };
            self.count(&turn);
            let Turn {
                message,
                text,
                calls,
                whole,
                ..
            } = turn;
            if let Some(text) = &text {
                self.finish.summary.clone_from(text);
            }
            if let Some(message) = message {
                self.messages.push(message);
            }
            let ended = if !calls.is_empty() {
                self.act(calls).await?
            } else if text.is_some() && whole {
                Some(Ended::Finished)
            } else {
                self.explain_useless(text.is_some())
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// The model's next answer; none when stopped meanwhile.
    ///
    /// Windows differ between models and no endpoint tells its own, so a conversation that is refused as too long is
    /// cut and sent again, as long as there is something to cut.
    async fn ask(&mut self) -> Result<Option<Turn>, Error> {
        conversation::cut(&mut self.messages, self.window);
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                answer = self.model.ask(&self.messages) => answer,
            };
            if !matches!(answer, Err(Error::ModelContext { .. })) {
                return answer.map(Some);
            }
            self.window = Window::below(&self.messages);
            if !conversation::cut(&mut self.messages, self.window) {
                return answer.map(Some);
            }
        }
    }

    fn limit_reached(&self) -> Option<Ended> {
        if self.stop.is_cancelled() {
            Some(self.stopped())
        } else if self.usage.turns >= self.task.limits.turns {
            Some(Ended::TurnLimit)
        } else if self.usage.tokens() >= self.task.limits.tokens {
            Some(Ended::TokenLimit)
        } else {
            None
        }
    }

    fn stopped(&self) -> Ended {
        if self.task.cancel.is_cancelled() {
            Ended::Cancelled
        } else {
            Ended::TimeLimit
        }
    }

    fn count(&mut self, turn: &Turn) {
        self.usage.turns += 1;
        self.usage.input_tokens += turn.usage.input_tokens;
        self.usage.cached_input_tokens += turn.usage.cached_input_tokens;
        self.usage.output_tokens += turn.usage.output_tokens;
        self.tell(Progress::Usage(self.usage));
    }

    /// Runs the calls of one answer in order. Each gets its result, also after a malformed one.
    async fn act(&mut self, calls: Vec<Call>) -> Result<Option<Ended>, Error> {
        let mut malformed = false;
        for Call {
            call,
            malformed: unreadable,
        } in calls
        {
            let outcome = match unreadable {
                Some(why) => Outcome::Malformed(why),
                None => self.toolbox.call(&call).await?,
            };
            let result = match outcome {
                Outcome::Done(Done { result, step }) => {
                    self.tell(Progress::Step(step));
                    result
                }
                Outcome::Declined(why) => format!("error: {why}"),
                Outcome::Malformed(why) => {
                    malformed = true;
                    format!("error: this call cannot be understood: {why}. Call the tool again, correctly.")
                }
                Outcome::Finished(finish) => {
                    self.finish = finish;
                    return Ok(Some(Ended::Finished));
                }
                Outcome::Stopped => return Ok(Some(self.stopped())),
            };
            self.messages
                .push(ChatMessage::from(ToolResponse::from_tool_call(&call, result)));
        }
        self.useless_in_a_row = if malformed { self.useless_in_a_row + 1 } else { 0 };
        Ok((self.useless_in_a_row >= USELESS_IN_A_ROW_MAX).then_some(Ended::MalformedCalls))
    }

    /// Answers what is neither a call nor a whole text.
    fn explain_useless(&mut self, cut_off: bool) -> Option<Ended> {
        let why = if cut_off {
            "Your answer was cut off at its length limit. Go on in smaller steps: one tool call per answer."
        } else {
            "Your answer was empty. Call one of the tools; when you are done, call finish."
        };
        self.messages.push(ChatMessage::user(why));
        self.useless_in_a_row += 1;
        (self.useless_in_a_row >= USELESS_IN_A_ROW_MAX).then_some(Ended::NoToolCalls)
    }

    /// Progress is for watching: a receiver that is behind or gone does not hold up the work.
    fn tell(&self, progress: Progress) {
        if let Err(error) = self.progress.try_send(progress) {
            tracing::trace!(run.id = %self.task.run, %error, "progress not delivered");
        }
    }
}
