//! What `@openhands config` answers: each value in effect, and where it comes from.

use pipeline::ids::CommitId;
use pipeline::options::{Budget, Effort};

use super::read::quoted;
use super::{REPOSITORY_FILE_PATH, RepositoryFile, narrowed};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::sections::{AgentKind, Config, Limits, Model, Permission, Position};

/// Names and paths of one list that are shown.
const LISTED_MAX: usize = 10;

/// What is in effect for one repository.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The operator's configuration.
    pub config: &'a Config,
    /// The connection of the repository.
    pub connection: &'a Connection,
    /// The target branch's file; an empty one where there is none.
    pub file: &'a RepositoryFile,
    /// The target branch's name as people see it.
    pub branch: &'a str,
    /// The commit of the target branch that has the file; `None` where there is no file.
    pub at: Option<&'a CommitId>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Nobody set it, or to the same.
    Default,
    Operator,
    Connection,
    File,
}

#[derive(Debug, Clone)]
struct Row {
    setting: &'static str,
    value: String,
    from: Source,
}

/// The answer, in Markdown of ours. Secrets, addresses and file names of the operator are no part of it, nor who is
/// denied: anybody who may read the repository may ask.
pub fn shown(shown: &Shown<'_>) -> String {
    let rows = [
        permission(shown),
        models(shown),
        limits(shown),
        paths(shown),
        replies(shown),
    ]
    .concat();
    let at = shown
        .at
        .map_or(String::new(), |commit| format!(" at {}", quoted(commit.short())));
    let file = format!("{} of {}{at}", quoted(REPOSITORY_FILE_PATH), quoted(shown.branch));
    let source = |from: Source| match from {
        Source::Default => "default",
        Source::Operator => "operator",
        Source::Connection => "operator, for this connection",
        Source::File => "repository",
    };
    let mut lines = vec![
        match shown.at {
            Some(_) => format!("\"Repository\" is {file}."),
            None => format!("There is no {file}; with one, the repository narrows what the operator allows."),
        },
        String::new(),
        "| setting | value | from |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    lines.extend(
        rows.iter()
            .map(|row| format!("| {} | {} | {} |", row.setting, row.value, source(row.from))),
    );
    if !shown.file.notes.is_empty() {
        lines.push(String::new());
        lines.extend(
            shown
                .file
                .notes
                .iter()
                .map(|note| format!("- {}", harmless(note))),
        );
    }
    lines.join("\n")
}

fn row(setting: &'static str, value: impl Into<String>, from: Source) -> Row {
    Row {
        setting,
        value: value.into(),
        from,
    }
}

/// The file's, where it has changed what the operator says; then the connection's; then the operator's.
fn layered<T: PartialEq>(default: &T, operator: &T, connection: &T, in_effect: &T) -> Source {
    if in_effect != connection {
        Source::File
    } else if connection != operator {
        Source::Connection
    } else if operator != default {
        Source::Operator
    } else {
        Source::Default
    }
}

fn permission(shown: &Shown<'_>) -> Vec<Row> {
    let default = Permission::default();
    let (operator, connection) = (&shown.config.permission, &shown.connection.permission);
    let now = narrowed(connection, shown.file);
    let mention = (&shown.config.mention, &shown.connection.mention);
    let names = listed(
        &mention
            .1
            .names
            .iter()
            .map(|name| format!("@{name}"))
            .collect::<Vec<_>>(),
    );
    let from = if mention.0 == mention.1 {
        Source::Operator
    } else {
        Source::Connection
    };
    let position = match mention.1.position {
        Position::Anywhere => "anywhere in a comment",
        Position::LineStart => "at the beginning of a line",
    };
    let level = |setting, pick: fn(&Permission) -> &String| {
        let from = layered(pick(&default), pick(operator), pick(connection), pick(&now));
        row(setting, quoted(pick(&now)), from)
    };
    let allowed = &shown.file.permission.allow_users;
    let mut rows = vec![
        row("mentioned as", format!("{names}, {position}"), from),
        level("who may ask for changes", |permission| &permission.change),
        level("who may ask questions", |permission| &permission.read),
    ];
    if !allowed.is_empty() {
        rows.push(row("nobody else but", listed(allowed), Source::File));
    } else if !connection.allow_users.is_empty() || !connection.allow_groups.is_empty() {
        let from = if connection == operator {
            Source::Operator
        } else {
            Source::Connection
        };
        rows.push(row("only some people", "a list of the operator's", from));
    }
    let second = |permission: &Permission| permission.plan_needs_second_person;
    rows.push(row(
        "a plan is approved by",
        if second(&now) {
            "someone else than who asked for it"
        } else {
            "whoever may ask for changes"
        },
        layered(
            &second(&default),
            &second(operator),
            &second(connection),
            &second(&now),
        ),
    ));
    rows
}

fn models(shown: &Shown<'_>) -> Vec<Row> {
    let aliases: Vec<String> = shown
        .config
        .models
        .iter()
        .map(|model| model.alias.clone())
        .collect();
    let wanted = shown
        .file
        .defaults
        .model
        .as_ref()
        .filter(|wanted| aliases.contains(wanted));
    let model = match (wanted, aliases.first()) {
        (Some(wanted), _) => row("model", quoted(wanted), Source::File),
        (None, Some(first)) => row("model", quoted(first), Source::Operator),
        (None, None) => row("model", "none", Source::Default),
    };
    let effort = shown.file.defaults.effort.map(|effort| match effort {
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    });
    vec![
        model,
        row("models to choose from", listed(&aliases), Source::Operator),
        row(
            "effort",
            effort.unwrap_or("the model's own"),
            of_file(effort.is_some()),
        ),
        row(
            "agent",
            quoted(match shown.config.agent.kind {
                AgentKind::Builtin => "builtin",
                AgentKind::Acp => "acp",
                AgentKind::Command => "command",
            }),
            Source::Operator,
        ),
    ]
}

fn limits(shown: &Shown<'_>) -> Vec<Row> {
    let Limits {
        run_seconds,
        run_turns,
        run_tokens,
        run_usd,
        ..
    } = shown.config.limits;
    let (mut usd, mut tokens) = ((run_usd, Source::Operator), (run_tokens, Source::Operator));
    match shown.file.limits.budget {
        Some(Budget::UsdCents(cents)) => {
            // Nine digits of dollars at most: exact.
            #[expect(clippy::cast_precision_loss, reason = "an amount of nine digits is exact")]
            let asked = cents as f64 / 100.0;
            if asked < usd.0 {
                usd = (asked, Source::File);
            }
        }
        Some(Budget::Tokens(asked)) if asked < tokens.0 => tokens = (asked, Source::File),
        _ => {}
    }
    let time = match shown.file.limits.time_seconds {
        Some(asked) if asked < run_seconds => (asked, Source::File),
        _ => (run_seconds, Source::Operator),
    };
    let counted = shown.config.models.iter().any(Model::has_prices);
    let money = if counted {
        format!("${:.2}", usd.0)
    } else {
        "not counted: the models have no prices".to_owned()
    };
    vec![
        row("time of a run", minutes(time.0), time.1),
        row("money of a run", money, usd.1),
        row("tokens of a run", tokens.0.to_string(), tokens.1),
        row("model calls of a run", run_turns.to_string(), Source::Operator),
    ]
}

fn paths(shown: &Shown<'_>) -> Vec<Row> {
    let file = &shown.file;
    let checks: Vec<String> = file.checks.iter().map(|check| check.name.clone()).collect();
    let or = |list: &[String], none: &str| {
        if list.is_empty() {
            none.to_owned()
        } else {
            listed(list)
        }
    };
    vec![
        row(
            "changes only in",
            or(&file.paths.only, "any path"),
            of_file(!file.paths.only.is_empty()),
        ),
        row(
            "protected, beside CI and agents' files",
            or(&file.paths.protected, "nothing"),
            of_file(!file.paths.protected.is_empty()),
        ),
        row("checks", or(&checks, "none"), of_file(!checks.is_empty())),
    ]
}

fn replies(shown: &Shown<'_>) -> Vec<Row> {
    let (default, operator) = (Reply::default(), shown.config.reply);
    let wishes = &shown.file.defaults;
    let status = operator.build_status && shown.file.reply.build_status != Some(false);
    let on = |on: bool| if on { "yes" } else { "no" };
    vec![
        row(
            "language of answers",
            wishes
                .lang
                .as_deref()
                .map_or_else(|| "that of the request".to_owned(), quoted),
            of_file(wishes.lang.is_some()),
        ),
        row(
            "one reply at the end only",
            on(wishes.quiet),
            of_file(wishes.quiet),
        ),
        row(
            "`Signed-off-by` in commits",
            on(wishes.sign_off),
            of_file(wishes.sign_off),
        ),
        row(
            "build status on commits",
            on(status),
            layered(
                &default.build_status,
                &operator.build_status,
                &operator.build_status,
                &status,
            ),
        ),
        row(
            "how a run's end is told",
            quoted(operator.finish.as_str()),
            layered(
                &default.finish,
                &operator.finish,
                &operator.finish,
                &operator.finish,
            ),
        ),
    ]
}

fn of_file(is_set: bool) -> Source {
    if is_set { Source::File } else { Source::Default }
}

fn listed(list: &[String]) -> String {
    if list.is_empty() {
        return "none".to_owned();
    }
    let mut shown: Vec<String> = list.iter().take(LISTED_MAX).map(|text| quoted(text)).collect();
    if list.len() > LISTED_MAX {
        shown.push(format!("and {} more", list.len() - LISTED_MAX));
    }
    shown.join(", ")
}

fn minutes(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A note quotes the file; outside of inline code it could be Markdown of somebody else's.
fn harmless(note: &str) -> String {
    let mut shown = String::with_capacity(note.len());
    for (at, part) in note.split('`').enumerate() {
        if at % 2 == 1 {
            shown.push_str(&quoted(part));
            continue;
        }
        for c in part.chars() {
            if "\\<>[]*_!@#~&|".contains(c) {
                shown.push('\\');
            }
            shown.push(if c.is_control() { ' ' } else { c });
        }
    }
    shown
}
