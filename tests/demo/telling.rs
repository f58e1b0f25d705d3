//! Tells what happens: deliveries from the simulator, states and steps from the run records, diff from git, reply from
//! the pull request.

use std::collections::HashMap;

use anyhow::{Context, Result};
use pipeline::ids::RunId;
use pipeline::run::{Run, RunState};
use serde_json::Value;
use tests::world::World;
use tests::{git_cli, inside, thread};
use worker::Nats;

/// How long one look at the deliveries waits for a new one.
const LOOK_MS: u32 = 150;
/// Looks before the demo gives up on an answer: with a real model a run may take its half hour.
const LOOKS_MAX: u32 = 16_000;

/// Follows the world and prints.
pub(crate) struct Teller<'a> {
    world: &'a World,
    nats: Nats,
    deliveries: u64,
    told: HashMap<RunId, Told>,
}

/// What has been printed of a run.
#[derive(Default)]
struct Told {
    state: Option<RunState>,
    steps: Vec<String>,
    ended: bool,
}

impl<'a> Teller<'a> {
    pub(crate) async fn new(world: &'a World) -> Result<Self> {
        Ok(Self {
            world,
            nats: inside::connect(world).await?,
            deliveries: 0,
            told: HashMap::new(),
        })
    }

    /// Tells until the run for `comment` has ended and the reply says so. Whether a commit was pushed.
    pub(crate) async fn tell_until_answered(&mut self, comment: u64) -> Result<bool> {
        for _ in 0..LOOKS_MAX {
            let ended = self.look().await?;
            if let Some(run) = ended.iter().find(|run| run.comment.0 == comment) {
                return Ok(run.state == RunState::Done);
            }
        }
        Ok(false)
    }

    /// Tells for ever.
    pub(crate) async fn tell_on(&mut self) -> Result<()> {
        loop {
            self.look().await?;
        }
    }

    /// One look at everything; the runs that have ended and been answered since the last.
    async fn look(&mut self) -> Result<Vec<Run>> {
        let path = format!("/sim/v1/deliveries?after={}&wait_ms={LOOK_MS}", self.deliveries);
        let deliveries = self.world.control("GET", &path, Value::Null).await?;
        for delivery in deliveries
            .as_array()
            .or_else(|| deliveries["values"].as_array())
            .into_iter()
            .flatten()
        {
            self.tell_delivery(delivery);
        }
        let mut ended = Vec::new();
        for run in inside::runs(&self.nats).await? {
            if self.tell_run(&run) {
                self.tell_end(&run).await?;
                ended.push(run);
            }
        }
        Ok(ended)
    }

    fn tell_delivery(&mut self, delivery: &Value) {
        let number = delivery["number"].as_u64().unwrap_or(self.deliveries + 1);
        self.deliveries = self.deliveries.max(number);
        let header = |name: &str| {
            let headers = delivery["headers"].as_object().into_iter().flatten();
            let found = headers
                .into_iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found
                .and_then(|(_, value)| value.as_str())
                .unwrap_or("-")
                .to_owned()
        };
        let signature: String = header("X-Hub-Signature").chars().take(23).collect();
        let answer = delivery["answer"].get("status").unwrap_or(&delivery["answer"]);
        println!(
            "delivery {number}: {}{}  {signature}…  answered {answer}",
            header("X-Event-Key"),
            about(delivery["body"].as_str().unwrap_or_default())
        );
    }

    /// Prints what is new. Whether the run has just ended and its reply shows it.
    fn tell_run(&mut self, run: &Run) -> bool {
        let told = self.told.entry(run.id.clone()).or_default();
        if told.state != Some(run.state) {
            println!(
                "run {}: {} for {}, comment #{}",
                run.id,
                run.state,
                requester(run),
                run.comment
            );
            told.state = Some(run.state);
        }
        for step in &run.steps {
            if !told.steps.contains(step) {
                println!("run {}:   {step}", run.id);
                told.steps.push(step.clone());
            }
        }
        let ends = run.state.is_terminal() && run.reply.shows_n == Some(run.n) && !told.ended;
        told.ended |= ends;
        ends
    }

    async fn tell_end(&self, run: &Run) -> Result<()> {
        if let Some(pushed) = run.outcome.as_ref().and_then(|outcome| outcome.pushed.as_ref()) {
            let branch = pushed.branch.trim_start_matches("refs/heads/");
            println!(
                "\ncommit {} on {branch}:\n{}",
                pushed.commit,
                self.last_diff(branch).await?
            );
        }
        let path = format!("/pull-requests/{}/activities", run.pull_request);
        let comments = thread::comments(&self.world.root().get_all(&path).await?);
        let reply = run.reply.comment.context("a run that was answered has a reply")?;
        let reply = comments
            .iter()
            .find(|comment| comment.id == reply.0)
            .context("the reply is in the thread")?;
        println!(
            "reply #{} by {}:\n{}\n",
            reply.id,
            reply.author,
            indent(&reply.text)
        );
        Ok(())
    }

    async fn last_diff(&self, branch: &str) -> Result<String> {
        let base = self.world.bitbucket.base_url();
        let url = format!(
            "{}/scm/proj/demo.git",
            base.replacen("http://", "http://alice:alice-t@", 1)
        );
        git_cli::last_diff(&url, branch).await
    }
}

/// Whose event it is and about which comment, as the delivery's body says it.
fn about(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let by = body["actor"]["name"].as_str().map(|name| format!(" by {name}"));
    let comment = body["comment"]["id"].as_u64().map(|id| format!(", #{id}"));
    [by, comment].into_iter().flatten().collect()
}

fn requester(run: &Run) -> &str {
    run.requester
        .as_ref()
        .map_or("someone who no longer exists", |person| person.name.as_str())
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
