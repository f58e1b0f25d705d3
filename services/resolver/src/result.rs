//! What an agent hands over beside its words: the fenced block `openhands-result` at the end of its last message, with
//! one JSON object. Read by what can be read of it: an agent's slip must cost one entry, not the whole work.

use pipeline::effect::EFFECTS_MAX;
use pipeline::ids::CommentId;
use serde_json::Value;

/// The block's info string.
const INFO: &str = "openhands-result";
/// A longer block is not read: a record with everything in it could not be written.
const BLOCK_BYTES_MAX: usize = 512 * 1024;

/// An agent's last message, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// What people read: the message without the block.
    pub(crate) words: String,
    /// What the block says.
    pub(crate) handed: Handed,
    /// What could not be read, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// The block's content. Its texts are the agent's: data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Remarks on lines.
    pub(crate) findings: Vec<Remark>,
    /// Answers in threads.
    pub(crate) answers: Vec<Answer>,
    /// A title for the pull request.
    pub(crate) title: Option<String>,
    /// A description for it.
    pub(crate) description: Option<String>,
}

/// A remark on lines of a file as it is in the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    /// The file.
    pub(crate) path: String,
    /// The first line, from 1.
    pub(crate) first: u32,
    /// The last line, not before the first.
    pub(crate) last: u32,
    /// What is said.
    pub(crate) text: String,
    /// What the lines should be instead.
    pub(crate) suggestion: Option<String>,
}

/// An answer in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The thread's first comment, as the agent says.
    pub(crate) thread: CommentId,
    /// What is answered.
    pub(crate) text: String,
    /// Whether the change does what the thread asks for, as the agent says.
    pub(crate) settled: bool,
}

/// Takes a message apart. Of several blocks the last one counts; none of them is shown to people. Without a block, or with
/// one that is no JSON object, the text is all there is, and a note says so.
pub(crate) fn parse(message: &str) -> Parsed {
    let (words, blocks) = without_blocks(message);
    let Some(block) = blocks.last() else {
        return Parsed {
            words,
            notes: vec!["The agent handed over no result beside its words.".to_owned()],
            ..Parsed::default()
        };
    };
    let value = (block.len() <= BLOCK_BYTES_MAX)
        .then(|| serde_json::from_str::<Value>(block).ok())
        .flatten()
        .filter(Value::is_object);
    let Some(value) = value else {
        return Parsed {
            words: message.trim().to_owned(),
            notes: vec!["The result that the agent handed over could not be read.".to_owned()],
            ..Parsed::default()
        };
    };
    let mut notes = Vec::new();
    let handed = Handed {
        findings: entries(&value, "findings", &mut notes, remark),
        answers: entries(&value, "answers", &mut notes, answer),
        title: text(&value, "title"),
        description: text(&value, "description"),
    };
    Parsed { words, handed, notes }
}

/// The message without its blocks, and their contents. A block that is never closed goes on to the end.
fn without_blocks(message: &str) -> (String, Vec<String>) {
    let (mut words, mut blocks) = (String::new(), Vec::new());
    // The fence of the block that is open, and whether it is ours.
    let mut open: Option<(&str, bool)> = None;
    for line in message.split_inclusive('\n') {
        let fence = fence(line);
        match (open, fence) {
            (None, Some((marks, info))) => {
                let ours = info == INFO;
                open = Some((marks, ours));
                if ours {
                    blocks.push(String::new());
                    continue;
                }
            }
            (Some((opened, ours)), Some((marks, ""))) if marks.starts_with(opened) => {
                open = None;
                if ours {
                    continue;
                }
            }
            _ => {}
        }
        match (open, blocks.last_mut()) {
            (Some((_, true)), Some(block)) => block.push_str(line),
            _ => words.push_str(line),
        }
    }
    (words.trim().to_owned(), blocks)
}

/// The marks of a line that opens or closes a fenced block, and what stands behind them.
fn fence(line: &str) -> Option<(&str, &str)> {
    /// Fewer are no fence.
    const MARKS_MIN: usize = 3;
    let line = line.trim();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let marks = line.len() - line.trim_start_matches(mark).len();
    (marks >= MARKS_MIN).then(|| (&line[..marks], line[marks..].trim()))
}

fn entries<T>(
    value: &Value,
    key: &str,
    notes: &mut Vec<String>,
    read: impl Fn(&Value) -> Option<T>,
) -> Vec<T> {
    let listed = value.get(key).and_then(Value::as_array);
    let listed = listed.map_or(&[][..], Vec::as_slice);
    let mut entries: Vec<T> = listed.iter().filter_map(read).collect();
    let unreadable = listed.len() - entries.len();
    if unreadable > 0 {
        notes.push(format!("{unreadable} of the agent's {key} could not be read."));
    }
    if entries.len() > EFFECTS_MAX {
        notes.push(format!(
            "The agent had {} {key}; the first {EFFECTS_MAX} are told.",
            entries.len()
        ));
        entries.truncate(EFFECTS_MAX);
    }
    entries
}

fn remark(value: &Value) -> Option<Remark> {
    let first = number(value, "line").filter(|line| *line > 0)?;
    let path = text(value, "path")?;
    Some(Remark {
        path: path.trim().trim_start_matches("./").to_owned(),
        first,
        last: number(value, "last_line").map_or(first, |last| last.max(first)),
        text: text(value, "text")?,
        // One that is empty takes the lines away, which is something else than none.
        suggestion: value
            .get("suggestion")
            .and_then(Value::as_str)
            .map(|lines| lines.trim_end_matches(['\r', '\n']).to_owned()),
    })
}

fn answer(value: &Value) -> Option<Answer> {
    let thread = value.get("thread")?;
    let thread = thread.as_u64().or_else(|| thread.as_str()?.trim().parse().ok())?;
    Some(Answer {
        thread: CommentId(thread),
        text: text(value, "text")?,
        settled: value.get("settled").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// A line number, also as text.
fn number(value: &Value, key: &str) -> Option<u32> {
    let value = value.get(key)?;
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    u32::try_from(number).ok()
}

/// A text with words in it.
fn text(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_block_is_read_and_the_words_around_it_stay() {
        let parsed = parse(
            "Two things.\n\n```openhands-result\n{\"findings\": [{\"path\": \"./src/a.rs\", \"line\": 3, \"last_line\": \"4\", \
             \"text\": \"off by one\", \"suggestion\": \"    a + 1\\n\"}], \"answers\": [{\"thread\": 12, \"text\": \"done\", \
             \"settled\": true}], \"title\": \" T \", \"more\": 1}\n```\n",
        );
        assert_eq!(parsed.words, "Two things.");
        assert_eq!(parsed.notes, Vec::<String>::new());
        assert_eq!(
            parsed.handed,
            Handed {
                findings: vec![Remark {
                    path: "src/a.rs".into(),
                    first: 3,
                    last: 4,
                    text: "off by one".into(),
                    suggestion: Some("    a + 1".into()),
                }],
                answers: vec![Answer {
                    thread: CommentId(12),
                    text: "done".into(),
                    settled: true,
                }],
                title: Some("T".into()),
                description: None,
            }
        );
    }

    #[test]
    fn what_cannot_be_read_costs_itself_alone() {
        let parsed = parse(
            "x\n~~~~ openhands-result\n{\"findings\": [{\"path\": \"a\", \"line\": 0, \"text\": \"t\"}, 7, \
             {\"path\": \"a\", \"line\": 5, \"last_line\": 2, \"text\": \"t\"}], \"answers\": {}}",
        );
        assert_eq!(parsed.handed.findings.len(), 1);
        assert_eq!(
            (parsed.handed.findings[0].first, parsed.handed.findings[0].last),
            (5, 5)
        );
        assert_eq!(parsed.notes, ["2 of the agent's findings could not be read."]);
    }

    #[test]
    fn a_block_that_is_no_object_stays_text_and_one_inside_another_block_is_none() {
        for message in [
            "a\n```openhands-result\n[1]\n```",
            "a\n```openhands-result\n{\"findings\": [\n```",
        ] {
            let parsed = parse(message);
            assert_eq!(parsed.words, message);
            assert_eq!(parsed.notes.len(), 1);
            assert_eq!(parsed.handed, Handed::default());
        }
        let quoted = "````text\n```openhands-result\n{\"title\": \"x\"}\n```\n````";
        let parsed = parse(quoted);
        assert_eq!((parsed.words.as_str(), parsed.handed.title), (quoted, None));
    }

    #[test]
    fn the_last_block_counts_and_no_block_is_shown() {
        let parsed = parse(
            "a\n```openhands-result\n{\"title\": \"one\"}\n```\nb\n```openhands-result\n{\"title\": \"two\"}\n```\nc",
        );
        assert_eq!(parsed.words, "a\nb\nc");
        assert_eq!(parsed.handed.title.as_deref(), Some("two"));
    }

    #[test]
    fn a_long_list_is_cut_and_that_is_said() {
        let entry = "{\"thread\": 1, \"text\": \"t\"}";
        let list = vec![entry; EFFECTS_MAX + 1].join(",");
        let parsed = parse(&format!("```openhands-result\n{{\"answers\": [{list}]}}\n```"));
        assert_eq!(parsed.handed.answers.len(), EFFECTS_MAX);
        assert_eq!(parsed.notes.len(), 1);
    }

    proptest! {
        #[test]
        fn any_message_is_taken_apart(message in "(?s)(.|\n|```|~~~|openhands-result|[{}\\[\\]\":,]|\"findings\"|\"line\"){0,200}") {
            let parsed = parse(&message);
            prop_assert!(parsed.words.len() <= message.len());
        }

        #[test]
        fn any_object_is_read(json in "[{}\\[\\]\":,0-9a-z -]{0,120}") {
            let parsed = parse(&format!("words\n\n```openhands-result\n{json}\n```\n"));
            prop_assert!(parsed.words.starts_with("words"));
        }
    }
}
