//! One task's conversation, from the first message to the report. It runs inside the cell.

use std::io;

use super::answer::{Asked, Turn};
use super::conversation::{self, Message, ToolResult, Window};
use super::line::{Last, LastEnded, Line, Order, Unanswered};
use super::model::Model;
use super::prompt;
use super::sizes::Sizes;
use super::tools::{Done, Finish, Outcome, Toolbox};

/// How many useless answers in a row end a run: a model that did not understand two explanations will not understand
/// the third.
const USELESS_IN_A_ROW_MAX: u32 = 3;

/// How many calls of one answer are run. Models ask for a handful.
const CALLS_MAX: usize = 50;

/// How much the results of one answer's calls may have together, a quarter of the window: they cannot be dropped before
/// the model has seen them.
const RESULTS_BYTES_MAX: usize = 100_000;

/// A task being worked on.
pub(super) struct Session<S> {
    model: Model,
    toolbox: Toolbox,
    /// Takes the lines out.
    say: S,
    messages: Vec<Message>,
    window: Window,
    useless_in_a_row: u32,
    finish: Finish,
}

impl<S: FnMut(Line) -> io::Result<()>> Session<S> {
    pub(super) fn new(order: &Order, model: Model, toolbox: Toolbox, say: S) -> Self {
        Self {
            model,
            toolbox,
            say,
            messages: vec![Message::User(prompt::task_message(order))],
            window: Window::of(Sizes::of(&order.model).window),
            useless_in_a_row: 0,
            finish: Finish::default(),
        }
    }

    /// Works until the end and tells it. Fails when nobody takes the lines any more.
    ///
    /// Turns, tokens, money and time are not looked at: the proxy refuses when they are used up, and the cell ends.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let ended = self.work().await?;
        let Finish {
            summary,
            not_done,
            questions,
        } = self.finish;
        let last = Last {
            summary,
            not_done,
            questions,
            ended,
        };
        (self.say)(Line::Report(last.bounded()))
    }

    async fn work(&mut self) -> io::Result<LastEnded> {
        loop {
            let turn = match self.ask().await {
                Ok(turn) => turn,
                Err(unanswered) => return Ok(LastEnded::Unanswered(unanswered)),
            };
            let Turn {
                message,
                text,
                calls,
                whole,
            } = turn;
            if let Some(text) = &text {
                self.finish.summary.clone_from(text);
            }
            self.messages.extend(message);
            let ended = if !calls.is_empty() {
                self.act(calls).await?
            } else if text.is_some() && whole {
                Some(LastEnded::Finished)
            } else {
                self.explain_useless(text.is_some())
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// The model's next answer.
    ///
    /// Windows differ between models and no endpoint tells its own, so a conversation that is refused as too long is
    /// cut and sent again, as long as there is something to cut.
    async fn ask(&mut self) -> Result<Turn, Unanswered> {
        conversation::cut(&mut self.messages, self.window);
        loop {
            let answer = self.model.ask(&self.messages).await;
            if !matches!(answer, Err(Unanswered::TooLong { .. })) {
                return answer;
            }
            self.window = Window::below(&self.messages);
            if !conversation::cut(&mut self.messages, self.window) {
                return answer;
            }
        }
    }

    /// Runs the calls of one answer in order. Each gets its result, also after a malformed one.
    async fn act(&mut self, calls: Vec<Asked>) -> io::Result<Option<LastEnded>> {
        let (mut malformed, mut failed, mut bytes) = (false, false, 0);
        let mut results = Vec::new();
        for (index, asked) in calls.into_iter().enumerate() {
            let outcome = if index >= CALLS_MAX {
                Outcome::Declined(format!("not done: one answer calls at most {CALLS_MAX} tools"))
            } else if bytes > RESULTS_BYTES_MAX {
                Outcome::Declined(
                    "not done: the calls before it had too much output; call it again".to_owned(),
                )
            } else {
                self.run_one(&asked).await
            };
            let (text, done) = match outcome {
                Outcome::Done(Done { result, step }) => {
                    (self.say)(Line::Step(step))?;
                    (result, true)
                }
                Outcome::Declined(why) => (format!("error: {why}"), false),
                Outcome::Malformed(why) => {
                    malformed = true;
                    let text = format!(
                        "error: this call cannot be understood: {why}. Call the tool again, correctly."
                    );
                    (text, false)
                }
                // What was asked for before the end did not happen as the model thought when it wrote its summary.
                Outcome::Finished(_) if failed => {
                    let text =
                        "error: not finished, as another call of the same answer failed. See to that first.";
                    (text.to_owned(), false)
                }
                Outcome::Finished(finish) => {
                    self.finish = finish;
                    return Ok(Some(LastEnded::Finished));
                }
            };
            failed |= !done;
            bytes += text.len();
            results.push(ToolResult {
                id: asked.call.id,
                text,
                failed: !done,
            });
        }
        self.messages.push(Message::Results(results));
        self.useless_in_a_row = if malformed { self.useless_in_a_row + 1 } else { 0 };
        Ok((self.useless_in_a_row >= USELESS_IN_A_ROW_MAX).then_some(LastEnded::MalformedCalls))
    }

    async fn run_one(&self, asked: &Asked) -> Outcome {
        match &asked.malformed {
            Some(why) => Outcome::Malformed(why.clone()),
            None => self.toolbox.call(&asked.call).await,
        }
    }

    /// Answers what is neither a call nor a whole text.
    fn explain_useless(&mut self, cut_off: bool) -> Option<LastEnded> {
        let why = if cut_off {
            "Your answer was cut off at its length limit. Go on in smaller steps: one tool call per answer."
        } else {
            "Your answer was empty. Call one of the tools; when you are done, call finish."
        };
        self.messages.push(Message::User(why.to_owned()));
        self.useless_in_a_row += 1;
        (self.useless_in_a_row >= USELESS_IN_A_ROW_MAX).then_some(LastEnded::NoToolCalls)
    }
}
