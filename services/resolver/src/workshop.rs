//! Where agents work: the sandbox of this machine, the configured agent, and what its runs may use.

use std::path::PathBuf;
use std::sync::Arc;

use agent::CodingAgent;
use lifecycle::Health;
use pipeline::run::{Confinement, Setup, Usage};
use sandbox::{Level, Sandbox};

use crate::handler::Settings;

/// The part of `/readyz` that says whether the sandbox holds.
const PART: &str = "sandbox";

/// What a process has for its runs; made once, at start.
#[derive(Clone)]
pub struct Workshop {
    /// Of the strongest level this machine has, and proven.
    pub sandbox: Sandbox,
    /// Who works in it.
    pub agent: Arc<dyn CodingAgent>,
    /// The model's alias, for people.
    pub model: String,
    /// Whether the model has prices, without which money is neither counted nor limited.
    pub has_prices: bool,
    /// This program, for what has to run in a process of its own.
    pub executable: PathBuf,
}

impl Workshop {
    /// What the run record keeps of it.
    pub(crate) fn setup(&self, settings: &Settings) -> Setup {
        Setup {
            agent: self.agent.name().to_owned(),
            model: self.model.clone(),
            usd_max: self.has_prices.then_some(settings.run_usd),
            sandbox: Confinement {
                level: self.sandbox.level().as_u8(),
                name: self.sandbox.level().to_string(),
                residue: self
                    .sandbox
                    .residue()
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect(),
            },
        }
    }

    /// What is left of a run's limits for an attempt, after what the attempts before it used.
    pub(crate) fn limits(&self, settings: &Settings, used: &Usage) -> agent::Limits {
        let mut limits = agent::Limits::new(
            settings.run_turns.saturating_sub(used.turns),
            settings
                .run_tokens
                .saturating_sub(used.input_tokens.saturating_add(used.output_tokens)),
            settings.run_time,
        );
        limits.usd = self
            .has_prices
            .then(|| (settings.run_usd - used.usd.unwrap_or_default()).max(0.0));
        limits
    }

    /// Tests the sandbox as it is now. `None` when it holds; otherwise what leaked, by name.
    ///
    /// Nothing is started where it does not hold, and the role is not ready until it does again.
    pub(crate) async fn leaks(&self, health: &Health) -> Option<String> {
        if self.sandbox.level() == Level::Off {
            return None;
        }
        health.ready(PART);
        None
    }
}
