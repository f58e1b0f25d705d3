//! Plays one sequence: does what people do, and writes down what they did and saw.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use tests::person::Person;
use tests::setup::branch;
use tests::thread::{self, Comment};
use tests::world::World;
use tokio::time::{Instant, interval};

use super::history::{Act, Commit, commit, run_shown, verdict};
use super::steps::{Ask, Sequence, Step};

/// How often people look. Several look at once, at a simulator that shares its processor with what is tested.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long people wait for what is promised: runs of all sequences under way share the resolver's hands, and a machine
/// that builds something beside them takes ten times as long for each.
pub(super) const PATIENCE: Duration = Duration::from_mins(5);

/// People at one pull request.
#[derive(Clone)]
pub(super) struct People {
    alice: Person,
    bob: Person,
    root: Person,
    pub(super) number: usize,
}

/// What alice remembers while she goes on.
struct Alice {
    own: Vec<Own>,
    is_open: bool,
    /// Whether the bot may be paused: from when she asks for that, until she has read that it listens again.
    may_be_paused: bool,
}

/// A comment of alice's as she remembers it.
struct Own {
    id: u64,
    version: u32,
    touched: u32,
    ask: Ask,
    is_deleted: bool,
    /// Whether it is promised to be answered: what asks for nothing is not, nor is who has read within the hour that
    /// the bot is paused.
    is_answered: bool,
}

impl Alice {
    /// How long ago a comment was written; round and round.
    fn pick(&mut self, which: usize) -> &mut Own {
        let last = self.own.len() - 1;
        let at = last - which % self.own.len();
        &mut self.own[at]
    }

    /// Takes note of what a comment of hers asks for now.
    fn asks(&mut self, which: usize, ask: Ask) {
        if ask == Ask::Pause {
            self.may_be_paused = true;
            for own in self.own.iter_mut().filter(|own| own.ask.starts_a_run()) {
                own.is_answered = false;
            }
        }
        let is_answered = ask != Ask::Nothing && !(self.may_be_paused && ask.starts_a_run());
        let own = self.pick(which);
        (own.ask, own.is_answered) = (ask, is_answered);
    }

    /// Takes note of an end that she has read.
    fn has_read_the_end(&mut self, which: usize) {
        let own = self.pick(which);
        if own.ask == Ask::Resume && own.version == 0 {
            self.may_be_paused = false;
        }
    }
}

impl People {
    pub(super) fn at(world: &World, number: usize) -> Self {
        Self {
            alice: world.alice(),
            bob: world.bob(),
            root: world.root(),
            number,
        }
    }

    fn id(&self) -> u64 {
        self.number as u64
    }

    /// Does all of it; what was done and seen.
    pub(super) async fn play(&self, sequence: &Sequence) -> Result<Vec<Act>> {
        let mut acts = Vec::new();
        let mut alice = Alice {
            own: Vec::new(),
            is_open: true,
            may_be_paused: false,
        };
        for step in &sequence.steps {
            acts.extend(self.step(&mut alice, step).await?);
        }
        Ok(acts)
    }

    async fn step(&self, alice: &mut Alice, step: &Step) -> Result<Option<Act>> {
        match step {
            Step::Writes(ask) => Ok(Some(self.alice_writes(alice, *ask).await?)),
            Step::BobWrites(ask) => Ok(Some(Act::Wrote {
                comment: self.bob.comments(self.id(), &ask.text(0)).await?,
                by_alice: false,
                ask: *ask,
            })),
            Step::Edits(which, ask) => {
                let act = self.edits(alice.pick(*which), *ask).await?;
                if act.is_some() && alice.pick(*which).ask != *ask {
                    alice.asks(*which, *ask);
                }
                Ok(act)
            }
            Step::Touches(which) => {
                let comment = alice.pick(*which);
                comment.touched += 1;
                self.edits(comment, comment.ask).await
            }
            Step::Deletes(which) => self.deletes(alice.pick(*which)).await,
            Step::Declines | Step::Merges => {
                let closes = alice.is_open && self.closes(*step == Step::Merges).await?;
                alice.is_open &= !closes;
                Ok(closes.then_some(Act::Closed))
            }
            Step::SeesWork(which) | Step::SeesEnd(which) => {
                let (is_open, comment) = (alice.is_open, alice.pick(*which));
                if !is_open || !comment.is_answered || comment.is_deleted {
                    return Ok(None);
                }
                let act = self.sees(comment.id, matches!(step, Step::SeesEnd(_))).await?;
                if matches!(&act, Act::Saw { ended, .. } if !ended.is_empty()) {
                    alice.has_read_the_end(*which);
                }
                Ok(Some(act))
            }
        }
    }

    async fn alice_writes(&self, alice: &mut Alice, ask: Ask) -> Result<Act> {
        let comment = self.alice.comments(self.id(), &ask.text(0)).await?;
        alice.own.push(Own {
            id: comment,
            version: 0,
            touched: 0,
            ask,
            is_deleted: false,
            is_answered: true,
        });
        alice.asks(0, ask);
        Ok(Act::Wrote {
            comment,
            by_alice: true,
            ask,
        })
    }

    /// Nothing where the text stays as it is.
    async fn edits(&self, comment: &mut Own, ask: Ask) -> Result<Option<Act>> {
        if comment.is_deleted || (comment.touched == 0 && comment.ask == ask) {
            return Ok(None);
        }
        self.alice
            .edits(self.id(), comment.id, &ask.text(comment.touched))
            .await?;
        comment.version += 1;
        Ok(Some(Act::Edited {
            comment: comment.id,
            version: comment.version,
            ask,
        }))
    }

    /// Nothing where somebody has replied.
    async fn deletes(&self, comment: &mut Own) -> Result<Option<Act>> {
        if comment.is_deleted {
            return Ok(None);
        }
        match self.alice.deletes(self.id(), comment.id).await {
            Ok(()) => {
                comment.is_deleted = true;
                Ok(Some(Act::Deleted { comment: comment.id }))
            }
            Err(error) if error.to_string().contains("409") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is closed now: a merge is refused where a push moves the branch at that moment.
    async fn closes(&self, merges: bool) -> Result<bool> {
        let closed = if merges {
            self.alice.merges(self.id()).await
        } else {
            self.alice.declines(self.id()).await
        };
        match closed {
            Ok(()) => Ok(true),
            Err(error) if error.to_string().contains("409") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the bot to say something about a comment.
    async fn sees(&self, comment: u64, is_end: bool) -> Result<Act> {
        let (end, mut ticks) = (Instant::now() + PATIENCE, interval(LOOK_INTERVAL));
        while Instant::now() < end {
            ticks.tick().await;
            let thread = self.thread().await?;
            let replies = || {
                let is_reply = |c: &&Comment| c.is_bots() && c.parent == Some(comment);
                thread.iter().filter(is_reply)
            };
            let told = |reply: &Comment| Some((run_shown(reply)?, verdict(reply).to_owned()));
            let ended = replies().filter(|reply| reply.is_final());
            let (ended, works) = (
                ended.filter_map(told).collect::<BTreeMap<_, _>>(),
                replies().any(|reply| verdict(reply).starts_with("Working")),
            );
            if !ended.is_empty() || (works && !is_end) {
                // What was told is told before the branch is looked at.
                return Ok(Act::Saw {
                    comment,
                    shown: replies().filter_map(run_shown).collect(),
                    ended,
                    log: self.log().await?,
                });
            }
        }
        Ok(Act::InVain { comment })
    }

    pub(super) async fn thread(&self) -> Result<Vec<Comment>> {
        let path = format!("/pull-requests/{}/activities", self.id());
        Ok(thread::comments(&self.root.get_all(&path).await?))
    }

    /// The source branch, newest first.
    pub(super) async fn log(&self) -> Result<Vec<Commit>> {
        let commits = self
            .root
            .get_all(&format!("/commits?until=refs/heads/{}", branch(self.number)))
            .await?;
        commits.iter().map(commit).collect()
    }
}
