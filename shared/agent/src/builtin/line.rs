//! What passes between the resolver and the agent inside the cell: one line in, lines out, each a JSON value.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::Api;

/// The longest line in: a brief is at most a few hundred kilobytes, and JSON may write a byte as six.
pub(super) const ORDER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The longest line out that is read; [`Last::bounded`] keeps every line far below it.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The longest summary. A reply shows less.
const SUMMARY_BYTES_MAX: usize = 32 * 1024;

/// How many things not done, and how many questions, are kept.
const ITEMS_MAX: usize = 30;

/// The longest of them.
const ITEM_BYTES_MAX: usize = 1024;

/// The line in. It has no `Debug`, because of the key.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// What is asked, as text for a model.
    pub(super) brief: String,
    /// The checkout.
    pub(super) work_tree: PathBuf,
    /// Where the model proxy listens, without path.
    pub(super) base_url: String,
    /// The proxy's throw-away key.
    pub(super) key: String,
    /// The model's name.
    pub(super) model: String,
    /// How the model is asked.
    pub(super) api: Api,
    /// Wall-clock time of the whole run, which is the longest that an answer is waited for.
    pub(super) wall: Duration,
    /// Wall-clock time of one shell command.
    pub(super) command_wall: Duration,
    /// Bytes of one tool's output that the model gets to see.
    pub(super) output_bytes: usize,
    /// What the lines out begin with.
    pub(super) seal: String,
}

/// A line out as it is written. The commands of the model run under the same uid and may find a way to our output; they
/// do not know the seal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sealed {
    /// [`Order::seal`].
    pub(super) seal: String,
    /// What is said.
    #[serde(flatten)]
    pub(super) line: Line,
}

/// A line out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A step in a few words for people.
    Step(String),
    /// The last line.
    Report(Last),
}

/// What the model says at its end, and how that came.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Last {
    /// What was done; where the model was stopped, the last thing it said.
    pub(super) summary: String,
    /// What was asked and not done.
    pub(super) not_done: Vec<String>,
    /// What it needs to know.
    pub(super) questions: Vec<String>,
    /// Why it ended.
    pub(super) ended: LastEnded,
}

/// Why the conversation ended.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LastEnded {
    /// The model said it is finished, by the tool or by an answer in plain text.
    #[default]
    Finished,
    /// The model called its tools wrongly, several times in a row.
    MalformedCalls,
    /// The model answered with neither a tool call nor a whole text, several times in a row.
    NoToolCalls,
    /// The model could not be asked.
    Unanswered(Unanswered),
}

/// Why there is no answer of the model. The proxy knows more, and has tried again where that may help.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unanswered {
    /// The conversation is too long for the model, also without old outputs.
    TooLong {
        /// The beginning of what was said.
        said: String,
    },
    /// The request was refused: by the endpoint, or because the budget is spent.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what was said.
        said: String,
    },
    /// The answer is no answer of a model.
    Garbled {
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or none that lasted until the answer.
    Unreachable {
        /// What the network said.
        reason: String,
    },
}

impl Last {
    /// The same with everything cut to what a line may hold.
    pub(super) fn bounded(mut self) -> Self {
        cut(&mut self.summary, SUMMARY_BYTES_MAX);
        for items in [&mut self.not_done, &mut self.questions] {
            items.truncate(ITEMS_MAX);
            for item in items {
                cut(item, ITEM_BYTES_MAX);
            }
        }
        self
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_report_fits_a_line_however_it_is_escaped() {
        let long = "\u{1}".repeat(3_000_000);
        let last = Last {
            summary: long.clone(),
            not_done: vec![long.clone(); 100],
            questions: vec![long; 100],
            ended: LastEnded::NoToolCalls,
        };
        let line = serde_json::to_string(&Sealed {
            seal: "0".repeat(32),
            line: Line::Report(last.bounded()),
        })
        .unwrap();
        assert!(line.len() < LINE_BYTES_MAX, "{}", line.len());
    }

    #[test]
    fn a_cut_leaves_whole_characters() {
        let mut text = "ä".repeat(10);
        cut(&mut text, 5);
        assert_eq!(text, "ää…");
    }
}
