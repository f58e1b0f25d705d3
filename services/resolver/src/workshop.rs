//! Where agents work: the sandbox of this machine, the configured agent, and what its runs may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::{CodingAgent, Prices};
use anyhow::bail;
use pipeline::run::{Confinement, Setup, Usage};
use sandbox::{CellLimits, CellSpec, How, Needs, Program, Sandbox, Stdin};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::handler::Settings;
use crate::terms::Terms;
use crate::work_tree::WorkDirectory;

/// Writes to each of a run's three directories.
const TRIAL: &str = "echo > ./trial && echo > \"$HOME/trial\" && echo > \"$TMPDIR/trial\"";
/// It takes milliseconds; a machine that needs longer than this cannot work.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// Enough for a shell's complaint.
const TRIAL_OUTPUT_BYTES: usize = 2_000;

/// What a process has for its runs; made once, at start.
#[derive(Clone)]
pub struct Workshop {
    /// Of the strongest level this machine has, and proven.
    pub sandbox: Sandbox,
    /// Who works in it.
    pub agent: Arc<dyn CodingAgent>,
    /// What this agent leaves in work trees, as globs: no work of it.
    pub leaves: Vec<String>,
    /// What the model's endpoint is asked with: it must not leave in a commit or a reply.
    pub secrets: Vec<SecretString>,
    /// The models that requests may choose from, the usual one first.
    pub models: Vec<Model>,
    /// This program, for what has to run in a process of its own.
    pub executable: PathBuf,
}

/// A model of the endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What people choose it by.
    pub alias: String,
    /// What the endpoint calls it.
    pub name: String,
    /// Without prices, money is neither counted nor limited.
    pub prices: Option<Prices>,
    /// Whether the endpoint takes how hard it is to think.
    pub takes_effort: bool,
}

impl Workshop {
    /// Runs a program that does nothing in a cell below `data_dir`, where runs will have theirs. Fails where agents could
    /// not get at their work tree, and says why.
    pub async fn try_out(sandbox: &Sandbox, data_dir: &Path) -> anyhow::Result<()> {
        let work = WorkDirectory::take(data_dir.join("work"))?;
        let tree = work.trial()?;
        let spec = CellSpec {
            work_tree: tree.path().to_owned(),
            home: tree.home().to_owned(),
            tmp: tree.tmp().to_owned(),
            read_paths: Vec::new(),
            needs: Needs::default(),
            model_listener: false,
            limits: CellLimits {
                wall: TRIAL_MAX,
                ..CellLimits::default()
            },
        };
        let program = Program {
            program: "/bin/sh".into(),
            args: ["-c", TRIAL].map(Into::into).into(),
            env: Vec::new(),
            stdin: Stdin::Null,
        };
        let ran = sandbox.run(spec, program, TRIAL_OUTPUT_BYTES, CancellationToken::new());
        let ran = ran.await?;
        match ran.end.how {
            How::Exited(0) => Ok(()),
            how => bail!(
                "a command could not write to its directories below {}: {how:?}, {}",
                data_dir.display(),
                ran.stderr.text().trim()
            ),
        }
    }

    /// What the run record keeps of it.
    pub(crate) fn setup(&self, terms: &Terms) -> Setup {
        Setup {
            agent: self.agent.name().to_owned(),
            model: terms.model.alias.clone(),
            tokens_max: terms.tokens_narrowed.then_some(terms.tokens),
            usd_max: terms.usd,
            sandbox: Confinement {
                level: self.sandbox.level().as_u8(),
                name: self.sandbox.level().to_string(),
                residue: self
                    .sandbox
                    .residue_with(self.agent.needs())
                    .map(|residue| residue.short.to_owned())
                    .collect(),
            },
        }
    }

    /// What is left of a run's limits for an attempt, after what the attempts before it used.
    pub(crate) fn limits(settings: &Settings, terms: &Terms, used: &Usage) -> agent::Limits {
        let whole = agent::Limits {
            usd: terms.usd,
            cell: CellLimits {
                wall: terms.time,
                ..settings.cell
            },
            ..agent::Limits::new(settings.run_turns, terms.tokens, terms.time)
        };
        left_of(whole, used)
    }
}

/// Nothing is left of a limit that was reached; then the agent's first call is refused.
fn left_of(limits: agent::Limits, used: &Usage) -> agent::Limits {
    let tokens = used.input_tokens.saturating_add(used.output_tokens);
    let spent = used.usd.unwrap_or_default();
    agent::Limits {
        turns: limits.turns.saturating_sub(used.turns),
        tokens: limits.tokens.saturating_sub(tokens),
        usd: limits.usd.map(|usd| (usd - spent).max(0.0)),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_attempt_gets_what_the_earlier_ones_left_of_the_budget_and_all_of_the_time() {
        let whole = agent::Limits {
            usd: Some(5.0),
            ..agent::Limits::new(10, 1_000, Duration::from_mins(30))
        };
        let used = Usage {
            turns: 4,
            input_tokens: 300,
            cached_tokens: 200,
            output_tokens: 100,
            usd: Some(1.5),
        };
        assert_eq!(left_of(whole, &Usage::default()), whole);
        let left = left_of(whole, &used);
        assert_eq!((left.turns, left.tokens, left.usd), (6, 600, Some(3.5)));
        assert_eq!(left.wall, whole.wall);
        let spent = left_of(left_of(left, &used), &used);
        assert_eq!((spent.turns, spent.tokens, spent.usd), (0, 0, Some(0.5)));
        assert_eq!(left_of(spent, &used).usd, Some(0.0), "never less than nothing");
        let uncounted = agent::Limits { usd: None, ..whole };
        assert_eq!(left_of(uncounted, &used).usd, None);
    }
}
