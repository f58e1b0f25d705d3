//! Plays many sequences at once in one world whose roles die in between, and waits until all of it is over.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::TryStreamExt as _;
use pipeline::run::Run;
use pipeline::subject;
use serde_json::{Value, json};
use tests::inside;
use tests::setup::Setup;
use tests::waiting::until;
use tests::world::{ROLES, World, scenario_in, works};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::branch;
use super::history::{Act, History, WORK};
use super::play::{PATIENCE, People};
use super::promise::brief;
use super::steps::Sequence;

/// Sequences under way at once: more than the resolver has hands, so that lanes wait for one another, too.
const AT_ONCE: usize = 8;
/// A role dies whenever so many sequences are over. A run is given up that loses its third worker, so that it is not
/// done more often.
const PLUG_EVERY: usize = 12;

/// Sequences to play.
pub(super) struct Batch {
    /// With the seeds they were drawn from.
    pub(super) sequences: Vec<(u64, Sequence)>,
    /// Whether everything is delivered twice and out of order.
    pub(super) unruly: bool,
}

/// A sequence that broke a promise.
pub(super) struct Broken {
    pub(super) seed: u64,
    pub(super) sequence: Sequence,
    pub(super) wrong: Vec<String>,
    pub(super) history: History,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} (again with PROMISES_SEED={}): {:#?}",
            self.seed, self.seed, self.sequence
        )?;
        writeln!(f, "what happened: {:#?}", self.history.acts)?;
        for run in &self.history.runs {
            writeln!(f, "run {} of comment {}: {}", run.id, run.comment, brief(run))?;
        }
        writeln!(f, "the branch: {:?}", self.history.log)?;
        writeln!(f, "logged:\n{}", self.history.lines.join("\n"))?;
        write!(f, "broken:\n- {}", self.wrong.join("\n- "))
    }
}

/// What became of each sequence.
pub(super) async fn play_all(batch: Batch) -> Vec<(u64, Sequence, History)> {
    let setup = setup(&batch);
    let mut histories = Vec::new();
    scenario_in(setup, async |world| {
        script(world, &batch.sequences);
        let played = play(world, &batch.sequences)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", world.logs()));
        let runs = until_all_is_over(world, &played, &batch.sequences).await;
        for (number, acts) in played {
            let people = People::at(world, number);
            let history = History::of(&people, acts, &runs, world).await.unwrap();
            world.expected.extra_commits += branch::beyond_done_runs(&history);
            let (seed, sequence) = batch.sequences[number - 1].clone();
            histories.push((seed, sequence, history));
        }
    })
    .await;
    histories
}

/// A pull request for each sequence, and one for who watches.
fn setup(batch: &Batch) -> Setup {
    let mut setup = Setup {
        separate_roles: true,
        unruly: batch.unruly,
        pull_requests: batch.sequences.len() + 1,
        ..Setup::default()
    };
    let mut document = setup.document();
    for number in 1..=setup.pull_requests {
        document["pull_requests"][number - 1]["title"] = json!(title(number));
    }
    setup.document = Some(document);
    setup
}

/// A title that no other one begins with.
fn title(number: usize) -> String {
    format!("Sequence {number:03}")
}

/// The model answers for each sequence at its own pace, whatever it is asked, with work that no other run has.
fn script(world: &World, sequences: &[(u64, Sequence)]) {
    let rule = |(index, (_, sequence)): (usize, &(u64, Sequence))| {
        let work = works(&format!("echo more > $(mktemp {WORK}XXXXXXXXXX.txt)"), "Did it.");
        let reply = match sequence.pace {
            0 => work,
            pace => json!({"delay_ms": pace, "then": work}),
        };
        json!({"when": title(index + 1), "reply": reply})
    };
    world.script(Value::Array(sequences.iter().enumerate().map(rule).collect()));
}

/// Has people do it all, a few sequences at a time, and pulls plugs meanwhile.
async fn play(world: &mut World, sequences: &[(u64, Sequence)]) -> Result<Vec<(usize, Vec<Act>)>> {
    let hands = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for (index, (seed, sequence)) in sequences.iter().enumerate() {
        let (people, sequence, seed) = (People::at(world, index + 1), sequence.clone(), *seed);
        let hands = Arc::clone(&hands);
        playing.spawn(async move {
            let _hand = hands.acquire().await?;
            let acts = people
                .play(&sequence)
                .await
                .with_context(|| format!("seed {seed}: {sequence:?}"))?;
            anyhow::Ok((people.number, acts))
        });
    }
    let mut played = Vec::new();
    while let Some(done) = playing.join_next().await {
        played.push(done??);
        if played.len() % PLUG_EVERY == 0 {
            let nth = played.len() / PLUG_EVERY;
            pull_a_plug(world, nth).await?;
        }
    }
    Ok(played)
}

/// Kills the next role, or every one at once. The first is spared: what Bitbucket cannot deliver it does not repeat.
async fn pull_a_plug(world: &mut World, nth: usize) -> Result<()> {
    let mortal = &ROLES[1..];
    // The one that works on runs first, then those before and behind it, then all.
    let dying = match nth % (mortal.len() + 1) {
        0 => mortal,
        role => &mortal[mortal.len() - role..=mortal.len() - role],
    };
    for role in dying {
        world.kill(role).await?;
    }
    for role in dying {
        world.start_role(role).await?;
    }
    Ok(())
}

/// Waits until nothing is on its way anywhere; the runs there are.
async fn until_all_is_over(
    world: &World,
    played: &[(usize, Vec<Act>)],
    sequences: &[(u64, Sequence)],
) -> Vec<Run> {
    let nats = inside::connect(world).await.unwrap();
    let mut runs = Vec::new();
    // What was delivered last may be heard last: the second time, everything else has been.
    for _ in 0..2 {
        let last = world.setup.pull_requests;
        let comment = world
            .alice()
            .comments(last as u64, "@openhands help")
            .await
            .unwrap();
        world.pull_request(last).final_reply_to(comment).await;
        let settled = until(PATIENCE, || async {
            let is_idle = is_idle(world).await.ok()?;
            let runs = inside::runs(&nats).await.ok()?;
            (is_idle && runs.iter().all(is_over)).then_some(runs)
        });
        let Some(settled) = settled.await else {
            let stuck = stuck(world, inside::runs(&nats).await.unwrap(), played, sequences).await;
            panic!("not everything came to an end\n{}\n{stuck}", world.logs());
        };
        runs = settled;
    }
    runs
}

/// Whether a run has ended and everybody can read so.
fn is_over(run: &Run) -> bool {
    run.state.is_terminal() && run.reply.shows_n == Some(run.n)
}

/// What happened where runs have not ended.
async fn stuck(
    world: &World,
    runs: Vec<Run>,
    played: &[(usize, Vec<Act>)],
    sequences: &[(u64, Sequence)],
) -> String {
    let mut told = String::new();
    for (number, acts) in played {
        let is_stuck = runs
            .iter()
            .any(|run| run.pull_request.0 == *number as u64 && !is_over(run));
        if is_stuck {
            let people = People::at(world, *number);
            let history = History::of(&people, acts.clone(), &runs, world).await.unwrap();
            let (seed, sequence) = sequences[number - 1].clone();
            let wrong = vec!["it has not ended".to_owned()];
            told += &Broken {
                seed,
                sequence,
                wrong,
                history,
            }
            .to_string();
        }
    }
    told
}

/// Whether every role has acknowledged everything that is for it.
async fn is_idle(world: &World) -> Result<bool> {
    let server = world.nats.as_ref().context("roles run apart")?;
    let streams = async_nats::jetstream::new(async_nats::connect(server.url()).await?);
    for stream in [subject::EVENTS, subject::MENTIONS, subject::JOBS] {
        let stream = streams.get_stream(stream).await?;
        let mut consumers = stream.consumers();
        while let Some(consumer) = consumers.try_next().await? {
            let is_a_roles = consumer.config.durable_name.is_some();
            if is_a_roles && (consumer.num_pending > 0 || consumer.num_ack_pending > 0) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
