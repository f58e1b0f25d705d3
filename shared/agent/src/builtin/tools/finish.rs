//! `finish{summary, not_done, questions}`: the end of the work.

use serde::{Deserialize, Deserializer};

/// What the model says at its end.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Finish {
    /// What was done.
    pub(crate) summary: String,
    /// What was asked and not done.
    #[serde(default, deserialize_with = "lenient_list")]
    pub(crate) not_done: Vec<String>,
    /// What it needs to know.
    #[serde(default, deserialize_with = "lenient_list")]
    pub(crate) questions: Vec<String>,
}

/// Models write one item as a bare string, and none as null.
fn lenient_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Items {
        List(Vec<String>),
        One(String),
        None(()),
    }
    Ok(match Items::deserialize(deserializer)? {
        Items::List(items) => items,
        Items::One(item) => vec![item],
        Items::None(()) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_taken_however_they_are_written() {
        for (written, items) in [
            (json!({"summary": "s"}), &[][..]),
            (json!({"summary": "s", "questions": null}), &[]),
            (json!({"summary": "s", "questions": "why?"}), &["why?"]),
            (
                json!({"summary": "s", "questions": ["why?", "who?"]}),
                &["why?", "who?"],
            ),
        ] {
            let finish: Finish = serde_json::from_value(written).unwrap();
            assert_eq!(finish.questions, items);
        }
    }
}
