//! `.openhands/resolver.toml` of a pull request's target branch: what a repository asks of the resolver. It narrows
//! what an operator allows and sets defaults of options; it widens nothing.
//!
//! Nothing that is wrong in it stops a run. What cannot be read is left out, key by key, and the reply says where. Only
//! who may do what fails closed: see [`RepositoryPermission`].

mod read;
mod show;
mod values;

use std::time::Duration;

use pipeline::options::{Budget, Effort, Options};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sections::Permission;

pub use show::{Shown, shown};

/// Where the file is, from the repository's root.
pub const REPOSITORY_FILE_PATH: &str = ".openhands/resolver.toml";
/// Longer than this, in bytes, it is no configuration.
pub const REPOSITORY_FILE_BYTES_MAX: usize = 64 * 1024;
/// Checks of one repository; each is run twice, and a reply has a line for each.
const CHECKS_MAX: usize = 8;
/// Paths or names of one list: more are no rule that a person keeps in mind.
const LIST_MAX: usize = 100;
/// Time-out of a check that names none, in seconds.
const CHECK_SECONDS_DEFAULT: u64 = 300;
/// Longest time-out: with two runs of one such check, all the time there is for checks is used up.
const CHECK_SECONDS_MAX: u64 = 600;
/// Characters of a check's name, which stands in replies and artifacts.
const CHECK_NAME_CHARS_MAX: usize = 40;
/// Characters of a check's command; a longer one belongs into a script.
const CHECK_COMMAND_CHARS_MAX: usize = 500;

/// What could be read of the file. Nothing, where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryFile {
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[limits]`
    pub limits: RepositoryLimits,
    /// `[paths]`
    pub paths: Paths,
    /// `[checks]`, in the file's order.
    pub checks: Vec<CheckCommand>,
    /// `[permission]`
    pub permission: RepositoryPermission,
    /// `[reply]`
    pub reply: RepositoryReply,
    /// Facts for the reply, Markdown of ours: what is wrong in the file, with line and column, and what is not known.
    pub notes: Vec<String>,
}

/// A check to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckCommand {
    /// What the repository calls it.
    pub name: String,
    /// For `/bin/sh -c`, in the root of the tree.
    pub command: String,
    /// After which it is ended.
    pub time_limit: Duration,
}

/// Options of requests that do not set them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Defaults {
    /// As `--model`: the alias of a model that the operator has configured.
    #[serde(deserialize_with = "values::model")]
    #[schemars(with = "Option<String>")]
    pub model: Option<String>,
    /// As `--effort`.
    pub effort: Option<Effort>,
    /// As `--lang`: the language of answers, such as `de` or `pt-BR`.
    #[serde(deserialize_with = "values::language")]
    #[schemars(with = "Option<String>")]
    pub lang: Option<String>,
    /// As `--quiet`: one reply when it is over, and none before.
    pub quiet: bool,
    /// As `--sign-off`: a `Signed-off-by` line in commits.
    pub sign_off: bool,
}

/// What one run may use at most, whatever its options say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RepositoryLimits {
    /// As `--budget`: `$2.50` or `50k-tokens`.
    #[serde(deserialize_with = "values::budget")]
    #[schemars(with = "Option<String>")]
    pub budget: Option<Budget>,
    /// As `--time`: `20m`, `1h30m`.
    #[serde(rename = "time", deserialize_with = "values::seconds")]
    #[schemars(with = "Option<String>")]
    pub time_seconds: Option<u64>,
}

/// Where changes may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Paths {
    /// As `--path`: globs; a change outside all of them is refused. None means everywhere.
    #[serde(deserialize_with = "values::paths")]
    #[schemars(with = "Vec<String>", length(max = LIST_MAX))]
    pub only: Vec<String>,
    /// Globs; changes there are left out and named, as with the paths that are protected everywhere.
    #[serde(deserialize_with = "values::paths")]
    #[schemars(with = "Vec<String>", length(max = LIST_MAX))]
    pub protected: Vec<String>,
}

/// Who may, beside what the operator asks for; it can only leave people out. Where a value in it cannot be read or
/// a key is not known, only who administers the repository may until it is put right: what it was to keep out is not
/// known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RepositoryPermission {
    /// Bitbucket permission needed for what may push, where it is more than the operator asks for.
    pub change: Option<Level>,
    /// Bitbucket permission needed for what only reads, where it is more than the operator asks for.
    pub read: Option<Level>,
    /// User names that may nothing.
    #[serde(deserialize_with = "values::names")]
    #[schemars(with = "Vec<String>", length(max = LIST_MAX))]
    pub deny_users: Vec<String>,
    /// User names; if there are any, nobody else may.
    #[serde(deserialize_with = "values::names")]
    #[schemars(with = "Vec<String>", length(max = LIST_MAX))]
    pub allow_users: Vec<String>,
    /// `true`: a plan must be approved by someone else than who asked for it.
    pub plan_needs_second_person: bool,
}

/// A repository permission of Bitbucket, the weakest first (bitbucket-dc.md 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum Level {
    /// May read.
    #[serde(rename = "REPO_READ")]
    Read,
    /// May push.
    #[serde(rename = "REPO_WRITE")]
    Write,
    /// Administers.
    #[serde(rename = "REPO_ADMIN")]
    Admin,
}

/// How the pull request is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RepositoryReply {
    /// `false`: commits get no build status of the bot's.
    pub build_status: Option<bool>,
}

impl RepositoryFile {
    /// Reads the file of `branch`, which `is_cut` when it is longer than [`REPOSITORY_FILE_BYTES_MAX`].
    pub fn read(bytes: &[u8], is_cut: bool, branch: &str) -> Self {
        read::read(bytes, is_cut, branch)
    }

    /// Whether the person with these names (user name, slug) is left out by the file's lists.
    pub fn leaves_out(&self, names: &[&str]) -> bool {
        let is_in = |list: &[String]| {
            list.iter()
                .any(|listed| names.iter().any(|name| name.eq_ignore_ascii_case(listed)))
        };
        let RepositoryPermission {
            deny_users,
            allow_users,
            ..
        } = &self.permission;
        is_in(deny_users) || !allow_users.is_empty() && !is_in(allow_users)
    }
}

/// Who may: as the operator says, narrowed by the repository's file. Its list of those who alone may is asked with
/// [`RepositoryFile::leaves_out`].
#[must_use]
pub fn narrowed(operator: &Permission, file: &RepositoryFile) -> Permission {
    let stronger = |operator: &str, file: Option<Level>| {
        // A permission this build does not know is the operator's and stays.
        let stays = Level::of(operator).is_none_or(|own| file.is_none_or(|asked| asked <= own));
        match file {
            Some(asked) if !stays => asked.as_str().to_owned(),
            _ => operator.to_owned(),
        }
    };
    let mut narrowed = operator.clone();
    narrowed.change = stronger(&operator.change, file.permission.change);
    narrowed.read = stronger(&operator.read, file.permission.read);
    narrowed
        .deny_users
        .extend(file.permission.deny_users.iter().cloned());
    narrowed.plan_needs_second_person |= file.permission.plan_needs_second_person;
    narrowed
}

impl Defaults {
    /// Sets what the request left open.
    pub fn fill(&self, options: &mut Options) {
        options.model = options.model.take().or_else(|| self.model.clone());
        options.effort = options.effort.or(self.effort);
        options.lang = options.lang.take().or_else(|| self.lang.clone());
        options.quiet |= self.quiet;
        options.sign_off |= self.sign_off;
    }
}

impl Level {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// As Bitbucket spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "REPO_READ",
            Self::Write => "REPO_WRITE",
            Self::Admin => "REPO_ADMIN",
        }
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

#[cfg(test)]
mod tests;
