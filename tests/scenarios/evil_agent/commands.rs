//! What each command declares that it does.

use pipeline::verbs::Verb;

/// What a command may do beside its status reply, its reactions and its build status.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that a command may do or not"
)]
pub(super) struct Declared {
    pub(super) command: &'static str,
    pub(super) verb: Verb,
    /// Commits on the source branch.
    pub(super) pushes: usize,
    /// Comments on lines of the diff.
    pub(super) remarks: bool,
    /// Answers in threads of people.
    pub(super) answers: bool,
    /// The title and the description.
    pub(super) describes: bool,
    /// A pull request from a branch of its own.
    pub(super) opens: bool,
    /// What was asked for before, whose run it is about.
    pub(super) about: Option<&'static str>,
    /// Whether an agent works for it.
    pub(super) is_agents: bool,
}

const NOTHING: Declared = Declared {
    command: "",
    verb: Verb::Request,
    pushes: 0,
    remarks: false,
    answers: false,
    describes: false,
    opens: false,
    about: None,
    is_agents: true,
};

pub(super) const COMMANDS: [Declared; 19] = [
    Declared {
        command: "look at it",
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "fix it",
        verb: Verb::Fix,
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "fix ci",
        verb: Verb::FixCi,
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "test the notes",
        verb: Verb::Test,
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "address",
        verb: Verb::Address,
        pushes: 1,
        answers: true,
        ..NOTHING
    },
    Declared {
        command: "review",
        verb: Verb::Review,
        remarks: true,
        ..NOTHING
    },
    Declared {
        command: "ask what is this for?",
        verb: Verb::Ask,
        ..NOTHING
    },
    Declared {
        command: "explain",
        verb: Verb::Explain,
        ..NOTHING
    },
    Declared {
        command: "plan the work",
        verb: Verb::Plan,
        ..NOTHING
    },
    Declared {
        command: "describe",
        verb: Verb::Describe,
        ..NOTHING
    },
    Declared {
        command: "describe --apply",
        verb: Verb::Describe,
        describes: true,
        ..NOTHING
    },
    Declared {
        command: "fix it --dry-run",
        verb: Verb::Fix,
        ..NOTHING
    },
    Declared {
        command: "fix it --suggest",
        verb: Verb::Fix,
        ..NOTHING
    },
    Declared {
        command: "fix it --new-pr",
        verb: Verb::Fix,
        opens: true,
        ..NOTHING
    },
    Declared {
        command: "approve",
        verb: Verb::Approve,
        about: Some("plan the work"),
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "continue",
        verb: Verb::Continue,
        about: Some("fix it --dry-run"),
        pushes: 1,
        ..NOTHING
    },
    Declared {
        command: "retry",
        verb: Verb::Retry,
        about: Some("ask what is this for?"),
        ..NOTHING
    },
    Declared {
        command: "undo",
        verb: Verb::Undo,
        about: Some("fix it"),
        pushes: 1,
        is_agents: false,
        ..NOTHING
    },
    Declared {
        command: "update branch",
        verb: Verb::Update,
        pushes: 1,
        is_agents: false,
        ..NOTHING
    },
];
