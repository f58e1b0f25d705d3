//! Options: what narrows a request, as typed behind a mention or a verb (commands-and-replies.md, Options).

pub mod value;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The options of one command. Each can only narrow what the operator allows.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a switch is given or not, whatever else is given"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// `--model`: the alias of a configured model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `--effort`: how hard the model is to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// `--budget`: what the run may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// `--time`: how long the run may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_seconds: Option<u64>,
    /// `--path`: globs, relative to the repository; a change outside all of them is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// `--new-pr`: push to a new branch and open a pull request onto the source branch.
    #[serde(skip_serializing_if = "is_false")]
    pub new_pr: bool,
    /// `--branch`: the new branch's name, without `refs/heads/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// `--suggest`: suggestion blocks instead of a push.
    #[serde(skip_serializing_if = "is_false")]
    pub suggest: bool,
    /// `--dry-run`: the patch instead of a push.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// `--no-test`: leave out the repository's checks.
    #[serde(skip_serializing_if = "is_false")]
    pub no_test: bool,
    /// `--commits`: how the work is cut into commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// `--sign-off`: a `Signed-off-by` trailer.
    #[serde(skip_serializing_if = "is_false")]
    pub sign_off: bool,
    /// `--lang`: the language of the reply, a BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// `--quiet`: the final message only.
    #[serde(skip_serializing_if = "is_false")]
    pub quiet: bool,
    /// `--ref`: the commit the source branch must be at, or the beginning of its SHA, in lower case.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// `--apply`: set the proposed title and description.
    #[serde(skip_serializing_if = "is_false")]
    pub apply: bool,
}

/// `--effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// `--budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Cents of a US dollar.
    UsdCents(u64),
    /// Tokens, sent and received together.
    Tokens(u64),
}

/// `--commits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Commits {
    /// All in one.
    One,
    /// One for each thread.
    PerThread,
}

/// The name of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptionName {
    /// `--model`
    Model,
    /// `--effort`
    Effort,
    /// `--budget`
    Budget,
    /// `--time`
    Time,
    /// `--path`
    Path,
    /// `--new-pr`
    NewPr,
    /// `--branch`
    Branch,
    /// `--suggest`
    Suggest,
    /// `--dry-run`
    DryRun,
    /// `--no-test`
    NoTest,
    /// `--commits`
    Commits,
    /// `--sign-off`
    SignOff,
    /// `--lang`
    Lang,
    /// `--quiet`
    Quiet,
    /// `--ref`
    Ref,
    /// `--apply`
    Apply,
}

/// An option as people type and read it.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// The option.
    pub option: OptionName,
    /// What is typed behind `--`.
    pub key: &'static str,
    /// Its value as shown to people; empty for a switch.
    pub value: &'static str,
    /// What it does, without a full stop.
    pub does: &'static str,
    /// Whether it is built. A command with one that is not is answered "not yet" and starts nothing: to leave an option
    /// out silently could do what it was to prevent.
    pub built: bool,
}

const fn option(option: OptionName, key: &'static str, value: &'static str, does: &'static str) -> OptionRow {
    OptionRow {
        option,
        key,
        value,
        does,
        built: false,
    }
}

impl OptionRow {
    const fn built(self) -> Self {
        Self { built: true, ..self }
    }
}

/// Every option, in the order of the documentation.
pub const OPTIONS: &[OptionRow] = &[
    option(
        OptionName::Model,
        "model",
        "<alias>",
        "work with this configured model",
    )
    .built(),
    option(
        OptionName::Effort,
        "effort",
        "low|medium|high",
        "how hard to think",
    )
    .built(),
    option(
        OptionName::Budget,
        "budget",
        "$2.50|50k-tokens",
        "spend at most this",
    )
    .built(),
    option(OptionName::Time, "time", "20m", "take at most this long").built(),
    option(
        OptionName::Path,
        "path",
        "<glob>",
        "change only what matches; may be repeated",
    )
    .built(),
    option(
        OptionName::NewPr,
        "new-pr",
        "",
        "push to a new branch and open a pull request onto the source branch",
    )
    .built(),
    option(
        OptionName::Branch,
        "branch",
        "<name>",
        "the same, with this name for the branch",
    )
    .built(),
    option(
        OptionName::Suggest,
        "suggest",
        "",
        "suggest changes in comments instead of pushing",
    )
    .built(),
    option(
        OptionName::DryRun,
        "dry-run",
        "",
        "show the patch instead of pushing",
    )
    .built(),
    option(
        OptionName::NoTest,
        "no-test",
        "",
        "leave out the repository's checks, where the operator allows it",
    )
    .built(),
    option(
        OptionName::Commits,
        "commits",
        "one|per-thread",
        "how to cut the work into commits: `one`, as without it; `per-thread`, with `address`, one for each thread",
    )
    .built(),
    option(
        OptionName::SignOff,
        "sign-off",
        "",
        "add a `Signed-off-by` line to commits",
    )
    .built(),
    option(OptionName::Lang, "lang", "<tag>", "have the agent answer in this language; the bot's own words stay English").built(),
    option(OptionName::Quiet, "quiet", "", "reply only when it is over").built(),
    option(
        OptionName::Ref,
        "ref",
        "<sha>",
        "work only if the source branch is at this commit",
    )
    .built(),
    option(
        OptionName::Apply,
        "apply",
        "",
        "with `describe`: set the proposed title and description",
    )
    .built(),
];

impl OptionName {
    /// What the table says about it.
    pub fn row(self) -> &'static OptionRow {
        OPTIONS
            .iter()
            .find(|row| row.option == self)
            .expect("a test finds every option in the table")
    }

    /// The option with this key, in lower case and without `--`.
    pub fn of_key(key: &str) -> Option<Self> {
        OPTIONS.iter().find(|row| row.key == key).map(|row| row.option)
    }
}

impl Options {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that were given, in the order of the table.
    pub fn given(&self) -> Vec<OptionName> {
        // Taken apart, so that an option that is added is not forgotten here.
        let Self {
            model,
            effort,
            budget,
            time_seconds,
            paths,
            new_pr,
            branch,
            suggest,
            dry_run,
            no_test,
            commits,
            sign_off,
            lang,
            quiet,
            reference,
            apply,
        } = self;
        let given = [
            (model.is_some(), OptionName::Model),
            (effort.is_some(), OptionName::Effort),
            (budget.is_some(), OptionName::Budget),
            (time_seconds.is_some(), OptionName::Time),
            (!paths.is_empty(), OptionName::Path),
            (*new_pr, OptionName::NewPr),
            (branch.is_some(), OptionName::Branch),
            (*suggest, OptionName::Suggest),
            (*dry_run, OptionName::DryRun),
            (*no_test, OptionName::NoTest),
            (commits.is_some(), OptionName::Commits),
            (*sign_off, OptionName::SignOff),
            (lang.is_some(), OptionName::Lang),
            (*quiet, OptionName::Quiet),
            (reference.is_some(), OptionName::Ref),
            (*apply, OptionName::Apply),
        ];
        given
            .into_iter()
            .filter_map(|(is_given, option)| is_given.then_some(option))
            .collect()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_table_once_and_is_given_when_set() {
        let all = Options {
            model: Some("m".into()),
            effort: Some(Effort::Low),
            budget: Some(Budget::Tokens(1)),
            time_seconds: Some(1),
            paths: vec!["a".into()],
            new_pr: true,
            branch: Some("b".into()),
            suggest: true,
            dry_run: true,
            no_test: true,
            commits: Some(Commits::One),
            sign_off: true,
            lang: Some("de".into()),
            quiet: true,
            reference: Some("abc1234".into()),
            apply: true,
        };
        let table: Vec<OptionName> = OPTIONS.iter().map(|row| row.option).collect();
        assert_eq!(all.given(), table);
        assert!(Options::default().given().is_empty() && Options::default().is_empty());
        for row in OPTIONS {
            assert_eq!(OptionName::of_key(row.key), Some(row.option));
            assert_eq!(serde_json::to_value(row.option).unwrap(), row.key);
            assert_eq!(row.option.row().key, row.key);
        }
    }

    #[test]
    fn options_that_are_not_given_take_no_space_and_all_survive_json() {
        assert_eq!(serde_json::to_string(&Options::default()).unwrap(), "{}");
        let some = Options {
            budget: Some(Budget::UsdCents(250)),
            reference: Some("abc1234".into()),
            ..Options::default()
        };
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(text, r#"{"budget":{"usd_cents":250},"ref":"abc1234"}"#);
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), some);
    }
}
