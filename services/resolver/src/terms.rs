//! Terms: with which model, within which limits and where one run may work. What the operator allows, narrowed by the
//! repository's file and by the options of the request; an option that asks for more is refused before anything is
//! started.

use std::time::Duration;

use config::RepositoryFile;
use pipeline::options::{Budget, Effort, OptionName, Options};

use crate::handler::Settings;
use crate::policy::OnlyPaths;
use crate::workshop::{Model, Workshop};

/// Models named in a refusal; an operator configures a handful.
const MODELS_NAMED_MAX: usize = 20;

/// What the operator allows every run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed<'a> {
    /// The first is the usual one.
    pub(crate) models: &'a [Model],
    /// The agent's time.
    pub(crate) time: Duration,
    /// Tokens in and out.
    pub(crate) tokens: u64,
    /// US dollars, where the model has prices.
    pub(crate) usd: f64,
    /// Whether the repository's checks may be left out.
    pub(crate) no_test: bool,
}

/// How one run works.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The model it asks.
    pub(crate) model: Model,
    /// How hard the model is to think, where that is asked for and can be passed on.
    pub(crate) effort: Option<Effort>,
    /// The agent's time.
    pub(crate) time: Duration,
    /// Tokens in and out, over all attempts.
    pub(crate) tokens: u64,
    /// Whether those are fewer than the operator allows every run.
    pub(crate) tokens_narrowed: bool,
    /// US dollars over all attempts; none where the model has no prices.
    pub(crate) usd: Option<f64>,
    /// Where changes may be.
    pub(crate) only: OnlyPaths,
    /// Whether the repository's checks are left out.
    pub(crate) no_test: bool,
    /// Whether the requester signs the commits off.
    pub(crate) sign_off: bool,
    /// What the agent is told of its working directory, where it is not the source branch as it is.
    pub(crate) told: Option<String>,
    /// What the agent is told of the commit's subject, where a commit is made of its work.
    pub(crate) told_of_commit: Option<String>,
    /// Facts for the reply.
    pub(crate) notes: Vec<String>,
}

impl<'a> Allowed<'a> {
    pub(crate) fn of(workshop: &'a Workshop, settings: &Settings) -> Self {
        Self {
            models: &workshop.models,
            time: settings.run_time,
            tokens: settings.run_tokens,
            usd: settings.run_usd,
            no_test: settings.policy.allow_no_test,
        }
    }

    /// The terms of a request with these options in a repository with this file, or why it is not allowed, in words
    /// for the person who asks.
    pub(crate) fn terms(&self, asked: &Options, file: &RepositoryFile) -> Result<Terms, String> {
        let mut options = asked.clone();
        let mut notes = Vec::new();
        file.defaults.fill(&mut options);
        if asked.model.is_none()
            && let Some(alias) = options.model.take_if(|alias| !self.has(alias))
        {
            notes.push(format!(
                "The repository's default model `{alias}` is not one of this resolver's"
            ));
        }
        let within = self.within(file);
        let terms = within.with(&options, notes)?;
        Ok(Terms {
            only: terms.only.and(&file.paths.only),
            tokens_narrowed: terms.tokens < self.tokens,
            ..terms
        })
    }

    /// The same, and no more than the repository's file says.
    fn within(&self, file: &RepositoryFile) -> Self {
        let mut within = *self;
        match file.limits.budget {
            Some(Budget::Tokens(tokens)) => within.tokens = within.tokens.min(tokens),
            Some(Budget::UsdCents(cents)) => within.usd = within.usd.min(dollars(cents)),
            None => {}
        }
        if let Some(seconds) = file.limits.time_seconds {
            within.time = within.time.min(Duration::from_secs(seconds));
        }
        within
    }

    fn with(&self, options: &Options, notes: Vec<String>) -> Result<Terms, String> {
        let model = self.model(options.model.as_deref())?.clone();
        let mut terms = Terms {
            effort: None,
            time: self.time(options.time_seconds)?,
            tokens: self.tokens,
            tokens_narrowed: false,
            usd: model.prices.is_some().then_some(self.usd),
            only: OnlyPaths::default().and(&options.paths),
            no_test: options.no_test,
            sign_off: options.sign_off,
            told: None,
            told_of_commit: None,
            notes,
            model,
        };
        if options.no_test && !self.no_test {
            return Err(format!(
                "`--{}`: the repository's checks may not be left out here",
                key(OptionName::NoTest)
            ));
        }
        if options.no_test {
            terms
                .notes
                .push("The repository's checks were left out, as asked for".to_owned());
        }
        self.spend(&mut terms, options.budget)?;
        match options.effort {
            Some(effort) if terms.model.takes_effort => terms.effort = Some(effort),
            Some(_) => terms.notes.push(format!(
                "`--{}` changed nothing: the model `{}` is not configured to be told how hard to think",
                key(OptionName::Effort),
                terms.model.alias
            )),
            None => {}
        }
        Ok(terms)
    }

    fn has(&self, alias: &str) -> bool {
        self.models.iter().any(|model| model.alias == alias)
    }

    fn model(&self, alias: Option<&str>) -> Result<&'a Model, String> {
        let found = match alias {
            None => self.models.first(),
            Some(alias) => self.models.iter().find(|model| model.alias == alias),
        };
        found.ok_or_else(|| {
            let known: Vec<String> = self
                .models
                .iter()
                .take(MODELS_NAMED_MAX)
                .map(|model| format!("`{}`", model.alias))
                .collect();
            format!(
                "`--{}`: there is no model `{}` here; there is {}",
                key(OptionName::Model),
                alias.unwrap_or_default(),
                known.join(", ")
            )
        })
    }

    fn time(&self, seconds: Option<u64>) -> Result<Duration, String> {
        let Some(asked) = seconds.map(Duration::from_secs) else {
            return Ok(self.time);
        };
        if asked > self.time {
            let most = self.time.as_secs();
            return Err(format!(
                "`--{}`: a run may take at most {most} seconds here",
                key(OptionName::Time)
            ));
        }
        Ok(asked)
    }

    fn spend(&self, terms: &mut Terms, budget: Option<Budget>) -> Result<(), String> {
        let option = key(OptionName::Budget);
        match budget {
            None => Ok(()),
            Some(Budget::Tokens(tokens)) if tokens > self.tokens => Err(format!(
                "`--{option}`: a run may use at most {} tokens here",
                self.tokens
            )),
            Some(Budget::Tokens(tokens)) => {
                terms.tokens = tokens;
                Ok(())
            }
            Some(Budget::UsdCents(_)) if terms.usd.is_none() => Err(format!(
                "`--{option}`: the model `{}` has no prices here, so that money is not counted; name tokens, such as `50k-tokens`",
                terms.model.alias
            )),
            Some(Budget::UsdCents(cents)) => {
                let usd = dollars(cents);
                if usd > self.usd {
                    return Err(format!(
                        "`--{option}`: a run may spend at most ${:.2} here",
                        self.usd
                    ));
                }
                terms.usd = Some(usd);
                Ok(())
            }
        }
    }
}

/// The parser takes eleven digits at most, which are exact here.
#[expect(
    clippy::cast_precision_loss,
    reason = "eleven digits fit into the 53 bits of the fraction"
)]
fn dollars(cents: u64) -> f64 {
    cents as f64 / 100.0
}

fn key(option: OptionName) -> &'static str {
    option.row().key
}

#[cfg(test)]
mod tests;
