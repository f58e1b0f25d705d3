//! Command: what a mention asks for, or why it asks for nothing that can be done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::options::{OPTIONS, OptionName, Options};
use crate::verbs::{Argument, Verb};

/// What a mention asks for. Written by versions without verbs, it is `{"verb":"request","text":"..."}`, which still reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// The verb, [`Verb::Request`] where there is none.
    pub verb: Verb,
    /// The text behind verb, argument and options, as Markdown source; empty where there is none.
    pub text: String,
    /// What the verb is about, where it takes more than text: a run's id, `all`, a build's key. In lower case where case
    /// says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// What narrows it.
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub options: Box<Options>,
    /// Why nothing is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<GrammarRefusal>>,
    /// A verb other than a control verb that a lone word nearly spells; the command is free text all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearly: Option<Box<NearMiss>>,
    /// Options that stand inside the text, where they are text; the reply names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options_in_text: Vec<OptionName>,
    /// Verbs of further mentions in the comment, which do not count; the reply names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_verbs: Vec<Verb>,
}

/// A word that is one slip away from a verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NearMiss {
    /// What was typed, in lower case and with nothing that means something in a reply.
    pub word: String,
    /// What may have been meant, as it is typed: `stop`, `cancel`.
    pub meant: String,
}

/// Why a command starts nothing. Foreign text in it was made harmless by the parser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum GrammarRefusal {
    /// No option is called this.
    UnknownOption {
        /// What was typed behind `--`: letters, digits, `-` and `_`, cut.
        name: String,
    },
    /// The option's value is none, or may not be.
    BadValue {
        /// The option.
        option: OptionName,
        /// What is wrong and what is right, in words of ours that follow the option's name.
        why: String,
    },
    /// The option was given twice with different values.
    Twice {
        /// The option.
        option: OptionName,
    },
    /// The verb does not take the option.
    NotHere {
        /// The option.
        option: OptionName,
        /// The verb.
        verb: Verb,
    },
    /// A lone word one slip away from a verb that controls runs, or such a verb among words that say nothing.
    NearMiss(NearMiss),
    /// What stands where the verb takes an id looks like one and is none.
    NoId {
        /// The verb.
        verb: Verb,
        /// What was typed, in lower case, cut, and with nothing that means something in a reply.
        word: String,
    },
}

/// A command's fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CommandDigest(pub String);

/// What the fingerprint covers, in the order and form it always had, so that a record of an older build keeps its own.
#[derive(Serialize)]
struct Canonical<'a> {
    verb: Verb,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: &'a Options,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a GrammarRefusal>,
}

impl Command {
    /// A command that is nothing but a verb and a text.
    pub fn of_verb(verb: Verb, text: impl Into<String>) -> Self {
        Self {
            verb,
            text: text.into(),
            argument: None,
            options: Box::default(),
            refused: None,
            nearly: None,
            options_in_text: Vec::new(),
            ignored_verbs: Vec::new(),
        }
    }

    /// Free text.
    pub fn request(text: impl Into<String>) -> Self {
        Self::of_verb(Verb::Request, text)
    }

    /// A command that starts nothing.
    pub fn refused(why: GrammarRefusal) -> Self {
        Self {
            refused: Some(Box::new(why)),
            ..Self::request("")
        }
    }

    /// What is asked for, in words: the verb as it is called, what it is about, and the text.
    pub fn asked(&self) -> String {
        let mut said = self.verb.name().to_owned();
        let argument = self.argument.as_deref().unwrap_or_default();
        for part in [argument, &self.text] {
            if !said.is_empty() && !part.is_empty() {
                // What begins a list, a quote or a block of code does so at the beginning of its line.
                let is_block = part.starts_with(|c: char| c.is_whitespace() || "-*+>#|".contains(c))
                    || part.starts_with("```")
                    || part.starts_with("~~~");
                said.push(if is_block { '\n' } else { ' ' });
            }
            said.push_str(part);
        }
        said
    }

    /// Equal for commands that ask for the same, so that an edit elsewhere in the comment changes nothing.
    pub fn digest(&self) -> CommandDigest {
        let canonical = Canonical {
            verb: self.verb,
            text: &self.text,
            argument: self.argument.as_deref(),
            options: &self.options,
            refused: self.refused.as_deref(),
        };
        let bytes = serde_json::to_vec(&canonical).expect("a command has string keys");
        CommandDigest(hex::encode(&Sha256::digest(bytes)[..16]))
    }

    /// The first option that is not built yet.
    pub fn option_not_built(&self) -> Option<OptionName> {
        self.options
            .given()
            .into_iter()
            .find(|option| !option.row().built)
    }

    /// Whether a run comes of it, which waits its turn. What does not is answered at once.
    pub fn starts_a_run(&self) -> bool {
        self.refused.is_none()
            && self.verb.is_queued()
            && self.verb.is_built()
            && self.option_not_built().is_none()
    }

    /// Whether it ends runs: of a comment that is edited to this, also the one that has begun.
    pub fn stops(&self) -> bool {
        self.refused.is_none() && self.verb == Verb::Stop
    }

    /// What the reply adds about how the comment was read, a sentence each in Markdown of ours.
    pub fn remarks(&self) -> Vec<String> {
        let nearly = self.nearly.as_ref().map(|near| {
            format!(
                "`{}` was taken as free text; to use the verb, type `{}`.",
                near.word, near.meant
            )
        });
        let ignored = (!self.ignored_verbs.is_empty()).then(|| {
            let names: Vec<String> = self
                .ignored_verbs
                .iter()
                .map(|verb| format!("`{}`", verb.name()))
                .collect();
            format!(
                "The comment has further mentions; only one counts. Not done: {}.",
                names.join(", ")
            )
        });
        nearly
            .into_iter()
            .chain(self.remark_on_options())
            .chain(ignored)
            .collect()
    }

    fn remark_on_options(&self) -> Option<String> {
        let names: Vec<String> = self
            .options_in_text
            .iter()
            .map(|option| format!("`--{}`", option.row().key))
            .collect();
        let (stand, were) = match names.len() {
            0 => return None,
            1 => ("stands", "was"),
            _ => ("stand", "were"),
        };
        Some(format!(
            "{} {stand} inside the text and {were} taken as text; options stand right behind the verb or at the end of the mention's line.",
            names.join(", ")
        ))
    }
}

impl GrammarRefusal {
    /// Why nothing was started and what to type instead, in Markdown of ours.
    pub fn sentence(&self) -> String {
        const PROSE: &str =
            "To write about an option instead of giving one, put `--` and a blank before your text.";
        match self {
            Self::UnknownOption { name } => {
                let built = OPTIONS.iter().filter(|row| row.built);
                let known: Vec<String> = built.map(|row| format!("`--{}`", row.key)).collect();
                let known = match known.as_slice() {
                    [] => "There are no options yet.".to_owned(),
                    known => format!("The options are {}.", known.join(", ")),
                };
                format!("There is no option `--{name}`, so nothing was started. {known} {PROSE}")
            }
            Self::BadValue { option, why } => {
                format!("`--{}` {why}, so nothing was started. {PROSE}", option.row().key)
            }
            Self::Twice { option } => format!(
                "`--{}` was given twice with different values, so nothing was started.",
                option.row().key
            ),
            Self::NotHere { option, verb } => {
                let key = option.row().key;
                let what = match verb {
                    Verb::Request => "a request in free text".to_owned(),
                    verb => format!("`{}`", verb.name()),
                };
                format!("`--{key}` does not go with {what}, so nothing was started.")
            }
            Self::NearMiss(NearMiss { word, meant }) => format!(
                "`{word}` is not a command: did you mean `{meant}`? Nothing was started and nothing was stopped."
            ),
            Self::NoId { verb, word } => {
                let what = match verb.row().argument {
                    Argument::Plan if !word.starts_with("r-") => {
                        "neither a run's id nor seven or more digits of a commit's"
                    }
                    _ => "not a run's id",
                };
                format!(
                    "`{word}` is {what}, so nothing was started and nothing was stopped. A run's id stands at the end of its reply."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Budget;

    #[test]
    fn a_command_of_a_build_without_verbs_reads_and_keeps_its_digest() {
        let old = r#"{"verb":"request","text":"please add a test"}"#;
        let command: Command = serde_json::from_str(old).unwrap();
        assert_eq!(command, Command::request("please add a test"));
        assert_eq!(serde_json::to_string(&command).unwrap(), old);
        assert_eq!(command.digest().0, hex::encode(&Sha256::digest(old)[..16]));
    }

    #[test]
    fn the_digest_covers_what_is_asked_for_and_not_what_is_remarked() {
        let fix = Command::of_verb(Verb::Fix, "a");
        let changed = [
            Command::of_verb(Verb::Test, "a"),
            Command::of_verb(Verb::Fix, "b"),
            Command {
                argument: Some("x".into()),
                ..fix.clone()
            },
            Command {
                options: Box::new(Options {
                    budget: Some(Budget::UsdCents(1)),
                    ..Options::default()
                }),
                ..fix.clone()
            },
            Command {
                refused: Some(Box::new(GrammarRefusal::Twice {
                    option: OptionName::Time,
                })),
                ..fix.clone()
            },
        ];
        for other in changed {
            assert_ne!(other.digest(), fix.digest(), "{other:?}");
        }
        let remarked = Command {
            ignored_verbs: vec![Verb::Stop],
            options_in_text: vec![OptionName::DryRun],
            nearly: Some(Box::new(NearMiss {
                word: "fxi".into(),
                meant: "fix".into(),
            })),
            ..fix.clone()
        };
        assert_eq!(remarked.digest(), fix.digest());
        assert_eq!(remarked.remarks().len(), 3);
    }

    #[test]
    fn only_a_built_verb_with_built_options_starts_a_run() {
        assert!(Command::request("go").starts_a_run());
        assert!(
            !Command::refused(GrammarRefusal::Twice {
                option: OptionName::Time
            })
            .starts_a_run()
        );
        let mut quiet = Command::request("go");
        quiet.options.quiet = true;
        assert_eq!(quiet.starts_a_run(), OptionName::Quiet.row().built);
        for verb in Verb::all() {
            assert_eq!(
                Command::of_verb(verb, "").starts_a_run(),
                verb.is_queued() && verb.is_built(),
                "{verb:?}"
            );
        }
    }

    #[test]
    fn a_command_is_said_as_it_was_typed() {
        assert_eq!(Command::request("go on").asked(), "go on");
        assert_eq!(Command::of_verb(Verb::Fix, "the check").asked(), "fix the check");
        let key = Command {
            argument: Some("jenkins".into()),
            ..Command::of_verb(Verb::FixCi, "")
        };
        assert_eq!(key.asked(), "fix ci jenkins");
        assert_eq!(Command::of_verb(Verb::Fix, "- a\n- b").asked(), "fix\n- a\n- b");
    }

    #[test]
    fn who_types_an_unknown_option_is_told_of_those_that_work() {
        let said = GrammarRefusal::UnknownOption { name: "x".into() }.sentence();
        for row in OPTIONS {
            assert_eq!(said.contains(&format!("`--{}`", row.key)), row.built, "{said}");
        }
    }

    #[test]
    fn every_refusal_is_a_sentence_and_survives_json() {
        let near = NearMiss {
            word: "sotp".into(),
            meant: "stop".into(),
        };
        let refusals = [
            GrammarRefusal::UnknownOption { name: "x".into() },
            GrammarRefusal::BadValue {
                option: OptionName::Time,
                why: "needs a value".into(),
            },
            GrammarRefusal::Twice {
                option: OptionName::Model,
            },
            GrammarRefusal::NotHere {
                option: OptionName::Apply,
                verb: Verb::Request,
            },
            GrammarRefusal::NearMiss(near),
            GrammarRefusal::NoId {
                verb: Verb::Approve,
                word: "abc".into(),
            },
        ];
        for refusal in refusals {
            let sentence = refusal.sentence();
            assert!(
                sentence.contains("othing was started") && sentence.ends_with('.'),
                "{sentence}"
            );
            let text = serde_json::to_string(&refusal).unwrap();
            assert_eq!(serde_json::from_str::<GrammarRefusal>(&text).unwrap(), refusal);
        }
    }
}
