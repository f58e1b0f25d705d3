//! Verbs: one table of what may be typed behind a mention. The grammar, `help`, the README and `docs/commands.md` come
//! from it (commands-and-replies.md, Verbs).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a mention asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// No verb: do what the text says.
    Request,
    /// Fix what the thread or the text points at.
    Fix,
    /// Repair failed builds.
    FixCi,
    /// Work through the open threads and tasks.
    Address,
    /// Look for mistakes.
    Review,
    /// Answer a question.
    Ask,
    /// Explain something.
    Explain,
    /// Add or repair tests.
    Test,
    /// Propose title and description.
    Describe,
    /// Say what would be done.
    Plan,
    /// Carry out a plan.
    Approve,
    /// Bring the target branch into the source branch.
    Update,
    /// Go on with the last run.
    Continue,
    /// Do the last request again, from the beginning.
    Retry,
    /// Revert what a run pushed.
    Undo,
    /// Propose smaller pull requests.
    Split,
    /// End what runs or waits.
    Stop,
    /// Say what runs and waits.
    Status,
    /// Say what became of a mention.
    Why,
    /// Stop listening on the pull request.
    Pause,
    /// Listen again.
    Resume,
    /// Show the effective configuration.
    Config,
    /// Show what may be typed.
    Help,
    /// Say that the bot is there.
    Ping,
}

/// What a verb does to the world, which decides who may use it and whether it waits in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// May change the branch or the pull request: needs the right to change, waits its turn.
    Work,
    /// Runs an agent that changes nothing: needs the right to read, waits its turn.
    Read,
    /// Acts on runs: never waits.
    Control,
    /// Answered from what is known: never waits.
    Query,
}

/// What may stand behind a verb on its line. Where something else does, the verb is no verb but prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Anything: the verb is followed by free text.
    Text,
    /// Nothing.
    Nothing,
    /// Nothing or one word, whatever it is: a build's key.
    Word,
    /// Nothing or one of these, of one or more words.
    OneOf(&'static [&'static str]),
    /// Nothing or a run's id.
    Run,
    /// Nothing, a run's id or `all`.
    RunOrAll,
    /// Nothing or what a request is known by: a run, a comment, a delivery.
    Request,
    /// Nothing, a plan's run or a commit.
    Plan,
}

/// A verb as people type and read it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The verb.
    pub verb: Verb,
    /// How it is typed, the usual form first; lower case, words one blank apart. None for free text.
    pub forms: &'static [&'static str],
    /// What may stand behind it.
    pub argument: Argument,
    /// The same, as shown to people: `[run-id|all]`.
    pub shows: &'static str,
    /// What it does to the world.
    pub class: Class,
    /// Whether it may push commits.
    pub pushes: bool,
    /// Who may use it.
    pub who: &'static str,
    /// What it does, one sentence without its full stop, beginning with a verb in lower case.
    pub does: &'static str,
    /// What to type while it is not built; empty where it is.
    pub instead: &'static str,
}

const fn row(verb: Verb, class: Class, forms: &'static [&'static str], does: &'static str) -> Row {
    Row {
        verb,
        forms,
        argument: Argument::Nothing,
        shows: "",
        class,
        pushes: false,
        who: match class {
            Class::Work | Class::Control => "who may write",
            Class::Read | Class::Query => "who may read",
        },
        does,
        instead: "",
    }
}

impl Row {
    const fn takes(self, argument: Argument, shows: &'static str) -> Self {
        Self {
            argument,
            shows,
            ..self
        }
    }

    const fn pushes(self) -> Self {
        Self { pushes: true, ..self }
    }

    const fn by(self, who: &'static str) -> Self {
        Self { who, ..self }
    }

    const fn not_built(self, instead: &'static str) -> Self {
        Self { instead, ..self }
    }

    /// The verb as people type it: `fix ci [key]`; `your own words` for free text.
    pub fn usage(&self) -> String {
        match (self.forms.first(), self.shows) {
            (None, _) => self.shows.to_owned(),
            (Some(name), "") => (*name).to_owned(),
            (Some(name), shows) => format!("{name} {shows}"),
        }
    }
}

use Argument::{OneOf, Plan, Request, Run, RunOrAll, Text, Word};
use Class::{Control, Query, Read, Work};

/// Every verb, in the order of [`Verb`] and of the documentation.
pub const TABLE: &[Row] = &[
    row(Verb::Request, Work, &[], "do what the text asks; may change code")
        .takes(Text, "your own words")
        .pushes(),
    row(
        Verb::Fix,
        Work,
        &["fix"],
        "fix what the thread, the line or the text points at, and push",
    )
    .takes(Text, "[text]")
    .pushes(),
    row(
        Verb::FixCi,
        Work,
        &["fix ci", "fix build"],
        "repair failed builds",
    )
    .takes(Word, "[key]")
    .pushes(),
    row(
        Verb::Address,
        Work,
        &["address", "address review", "fix comments"],
        "work through the open threads and tasks, with an answer in each",
    )
    .takes(OneOf(&["all", "this", "mine"]), "[all|this|mine]")
    .pushes(),
    row(
        Verb::Review,
        Read,
        &["review"],
        "look for mistakes and comment on them; pushes nothing",
    )
    .takes(Text, "[full|since last]"),
    row(Verb::Ask, Read, &["ask"], "answer a question; pushes nothing").takes(Text, "[text]"),
    row(Verb::Explain, Read, &["explain"], "explain code; pushes nothing").takes(Text, "[text]"),
    row(Verb::Test, Work, &["test"], "add or repair tests, and push")
        .takes(Text, "[what]")
        .pushes(),
    row(
        Verb::Describe,
        Work,
        &["describe"],
        "propose a title and a description; `--apply` sets them",
    ),
    row(
        Verb::Plan,
        Work,
        &["plan"],
        "say what would be done, without doing it",
    )
    .takes(Text, "[text]"),
    row(
        Verb::Approve,
        Work,
        &["approve"],
        "carry out a plan on the commit it was made for",
    )
    .takes(Plan, "[plan-id|sha]")
    .pushes(),
    row(
        Verb::Update,
        Work,
        &["update branch", "rebase", "resolve conflicts"],
        "merge the target branch into the source branch, and push",
    )
    .pushes(),
    row(
        Verb::Continue,
        Work,
        &["continue"],
        "go on with the last run and its kept work",
    )
    .takes(Text, "[text]")
    .pushes(),
    row(
        Verb::Retry,
        Work,
        &["retry"],
        "do the last request again, from the beginning",
    )
    .pushes()
    .by("who asked, who may write"),
    row(Verb::Undo, Work, &["undo"], "revert the commits of a run")
        .takes(Run, "[run-id]")
        .pushes(),
    row(Verb::Split, Work, &["split"], "propose smaller pull requests")
        .not_built("split the pull request by hand"),
    row(
        Verb::Stop,
        Control,
        &["stop", "cancel", "abort"],
        "end what runs and waits on this pull request",
    )
    .takes(RunOrAll, "[run-id|all]")
    .by("who asked, the author, who may write"),
    row(
        Verb::Status,
        Query,
        &["status", "queue"],
        "say what runs and waits, and what it cost so far",
    ),
    row(
        Verb::Why,
        Query,
        &["why"],
        "say why a mention did or did not start a run",
    )
    .takes(Request, "[id]"),
    row(
        Verb::Pause,
        Control,
        &["pause"],
        "start nothing on this pull request until `resume`",
    ),
    row(Verb::Resume, Control, &["resume"], "listen again"),
    row(
        Verb::Config,
        Query,
        &["config"],
        "show the configuration in effect, and where each value comes from",
    ),
    row(Verb::Help, Query, &["help"], "show what may be typed").by("anyone"),
    row(
        Verb::Ping,
        Query,
        &["ping"],
        "say whether the bot is there, and its version",
    )
    .by("anyone"),
];

impl Verb {
    /// All verbs, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.verb)
    }

    /// What the table says about it.
    pub fn row(self) -> &'static Row {
        TABLE
            .iter()
            .find(|row| row.verb == self)
            .expect("a test finds every verb in the table")
    }

    /// What it does to the world.
    pub fn class(self) -> Class {
        self.row().class
    }

    /// Whether it may push commits.
    pub fn may_push(self) -> bool {
        self.row().pushes
    }

    /// Whether what it does may go to a branch that is made for it (`--new-pr`): what is about the source branch itself
    /// may not.
    pub fn may_go_aside(self) -> bool {
        self.may_push() && !matches!(self, Self::Update | Self::Undo)
    }

    /// Whether it waits in the pull request's queue. The others are answered at once.
    pub fn is_queued(self) -> bool {
        matches!(self.class(), Class::Work | Class::Read)
    }

    /// Whether it goes before what else waits, though never before what runs.
    pub fn goes_first(self) -> bool {
        matches!(self, Self::Ask | Self::Explain)
    }

    /// Whether it is about an earlier run, which is looked up before it waits.
    pub fn is_about_a_run(self) -> bool {
        matches!(self, Self::Retry | Self::Continue | Self::Approve | Self::Undo)
    }

    /// Whether it is built. One that is not is answered "not yet" and starts nothing.
    pub fn is_built(self) -> bool {
        self.row().instead.is_empty()
    }

    /// How it is usually typed: `fix ci`; nothing for free text.
    pub fn name(self) -> &'static str {
        self.row().forms.first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verb there is: whoever adds one to the enum is sent here by the compiler.
    fn next(verb: Verb) -> Option<Verb> {
        use Verb as V;
        Some(match verb {
            V::Request => V::Fix,
            V::Fix => V::FixCi,
            V::FixCi => V::Address,
            V::Address => V::Review,
            V::Review => V::Ask,
            V::Ask => V::Explain,
            V::Explain => V::Test,
            V::Test => V::Describe,
            V::Describe => V::Plan,
            V::Plan => V::Approve,
            V::Approve => V::Update,
            V::Update => V::Continue,
            V::Continue => V::Retry,
            V::Retry => V::Undo,
            V::Undo => V::Split,
            V::Split => V::Stop,
            V::Stop => V::Status,
            V::Status => V::Why,
            V::Why => V::Pause,
            V::Pause => V::Resume,
            V::Resume => V::Config,
            V::Config => V::Help,
            V::Help => V::Ping,
            V::Ping => return None,
        })
    }

    #[test]
    fn every_verb_is_in_the_table_once_and_in_order() {
        let every: Vec<Verb> = std::iter::successors(Some(Verb::Request), |verb| next(*verb)).collect();
        assert_eq!(Verb::all().collect::<Vec<_>>(), every);
    }

    #[test]
    fn every_form_is_lower_case_and_belongs_to_one_verb() {
        let mut forms: Vec<&str> = TABLE.iter().flat_map(|row| row.forms).copied().collect();
        for form in &forms {
            let words: Vec<&str> = form.split(' ').collect();
            assert!(
                words
                    .iter()
                    .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())),
                "{form}"
            );
        }
        let all = forms.len();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), all);
    }

    #[test]
    fn what_is_not_queued_never_pushes_and_what_is_read_only_never_does() {
        for row in TABLE {
            assert!(!row.pushes || row.class == Class::Work, "{:?}", row.verb);
            assert_eq!(
                row.verb.is_queued(),
                matches!(row.class, Class::Work | Class::Read)
            );
        }
    }
}
