//! The handler of a job: take it, find out whether it is done already, work, deliver, write the outcome.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConnectionSource};
use jiff::Timestamp;
use lifecycle::Health;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::job::Job;
use pipeline::run::{Fenced, Outcome, RunState};
use pipeline::subject;
use worker::{Delivery, FailedRun, Handler, Nats, Publication};

use crate::attempt::{Attempt, Ending};
use crate::course::{self, Way};
use crate::gate::Gate;
use crate::git_door::{CheckedOut, GitDoor};
use crate::patching::Tally;
use crate::secrets::Known;
use crate::terms::{Allowed, Terms};
use crate::work_tree::{WorkDirectory, WorkTree};
use crate::workshop::Workshop;
use crate::{
    commit_style, deliver, new_branch, passes, patching, reach, recover, resume, still_may, undo, update,
};

/// What every job needs.
pub(crate) struct Resolver {
    pub(crate) nats: Nats,
    connections: Arc<dyn ConnectionSource>,
    clients: Arc<bitbucket::Clients>,
    pub(crate) workshop: Workshop,
    pub(crate) settings: Settings,
    pub(crate) gate: Gate,
    cache: Arc<git::Cache>,
    proxy: config::Proxy,
}

/// The part of the configuration this role uses.
pub(crate) struct Settings {
    pub(crate) work: WorkDirectory,
    pub(crate) run_time: Duration,
    pub(crate) run_turns: u32,
    pub(crate) run_tokens: u64,
    pub(crate) run_usd: f64,
    /// What the processes of a run may use together.
    pub(crate) cell: sandbox::CellLimits,
    /// What a change may contain.
    pub(crate) policy: config::Policy,
}

impl Resolver {
    pub(crate) fn new(
        config: &Config,
        connections: Arc<dyn ConnectionSource>,
        workshop: Workshop,
        nats: Nats,
        health: Health,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            nats,
            clients: Arc::new(bitbucket::Clients::new(connections.clone(), config.proxy.clone())),
            connections,
            gate: Gate::new(workshop.sandbox.clone(), workshop.agent.clone(), health),
            workshop,
            settings: Settings {
                work: WorkDirectory::take(config.data_dir.join("work"))?,
                run_time: Duration::from_secs(config.limits.run_seconds),
                run_turns: config.limits.run_turns,
                run_tokens: config.limits.run_tokens,
                run_usd: config.limits.run_usd,
                cell: cell_limits(config),
                policy: config.policy.clone(),
            },
            cache: Arc::new(git::Cache::new(&config.data_dir, git::CacheLimits::default())),
            proxy: config.proxy.clone(),
        })
    }

    /// What must not leave in a commit, a reply or the record of a run, as it is now.
    pub(crate) fn known(&self, door: &GitDoor) -> Result<Known, Failure> {
        let mut secrets = self.workshop.secrets.clone();
        secrets.push(door.secret()?);
        Known::new(&secrets)
    }

    /// The door to Bitbucket for this job.
    pub(crate) fn door(&self, job: &Job) -> Result<GitDoor, Failure> {
        let (connections, clients) = (self.connections.clone(), self.clients.clone());
        GitDoor::new(self.cache.clone(), connections, clients, job, &self.proxy)
    }

    /// Raises the attempt; `None` when the run has ended or was taken too often.
    async fn take(&self, job: &Job, delivery: &Delivery) -> Result<Option<Attempt>, Failure> {
        let now = Timestamp::now();
        let deadline = now + crate::job_time(self.settings.run_time);
        let key = subject::run_key(&job.run);
        let taken = self
            .nats
            .runs()
            .update(&key, |run| run.take(now, deadline))
            .await?;
        match taken {
            // Waiting for something that was away is no attempt; a worker that died in the middle is.
            Ok((run, attempt)) if delivery.attempt > crate::ATTEMPTS_MAX => {
                let attempt = Attempt::new(self.nats.clone(), run, attempt);
                attempt
                    .end(
                        RunState::Failed,
                        Outcome::of_failure(FailureCode::WorkerLost, None),
                    )
                    .await?;
                Ok(None)
            }
            Ok((run, attempt)) => Ok(Some(Attempt::new(self.nats.clone(), run, attempt))),
            Err(Fenced::Ended(state)) => {
                tracing::info!(run.id = %job.run, %state, "run had ended before it was taken");
                Ok(None)
            }
            Err(overtaken @ Fenced::Overtaken { .. }) => Err(Failure::abandon(
                FailureCode::Internal,
                None,
                anyhow::Error::new(overtaken),
            )),
        }
    }

    /// From a taken job to the way it ends.
    async fn work(&self, job: &Job, attempt: &Attempt) -> Result<Ending, Failure> {
        match Box::pin(self.work_at(job, attempt)).await {
            Err(failure) => match reach::renamed(self, job, &failure).await? {
                Some(job) => {
                    attempt.renamed(&job.repository).await?;
                    Box::pin(self.work_at(&job, attempt)).await
                }
                None => Err(failure),
            },
            ended => ended,
        }
    }

    async fn work_at(&self, job: &Job, attempt: &Attempt) -> Result<Ending, Failure> {
        let doors = reach::doors(self, job, &attempt.run).await?;
        // A server may be silent for minutes, and a repository large: whoever stops the run does not wait for that.
        let landed = Box::pin(recover::landed(&doors.first, attempt));
        match attempt.unless_stopped(landed).await? {
            Some(None) => {}
            Some(Some(ending)) => return Ok(ending),
            None => return Ok(Ending::NotOurs),
        }
        let tree = WorkTree::create(&self.settings.work, &attempt.run.id, attempt.number)?;
        let checked_out = Box::pin(reach::check_out(doors, tree.path(), attempt.number));
        let Some(checked_out) = attempt.unless_stopped(checked_out).await? else {
            return Ok(Ending::NotOurs);
        };
        let Some((door, start)) = checked_out else {
            let gone = match attempt.run.after_end {
                None => FailureCode::SourceBranchGone,
                Some(_) => FailureCode::TargetBranchGone,
            };
            return Ok(Ending::failed(gone, None));
        };
        attempt.on_branch(door.names().0).await?;
        if let Some(ending) = recover::landed_at(&door, attempt, start.base.clone()).await? {
            return Ok(ending);
        }
        if let Some(expected) = moved(job, &start.base) {
            return Ok(not_started(FailureCode::BranchMoved, expected));
        }
        let allowed = Allowed::of(&self.workshop, &self.settings);
        let terms = match allowed.terms(&attempt.run.command.options, &start.configuration) {
            Ok(terms) => terms,
            Err(why) => return Ok(not_started(FailureCode::OptionNotAllowed, why)),
        };
        if let Some(why) = still_may::never_could(&door, job, &attempt.run).await? {
            return Ok(not_started(FailureCode::PermissionDenied, why));
        }
        if let Some(branch) = new_branch::is_taken(&door, attempt).await? {
            return Ok(not_started(FailureCode::BranchExists, branch));
        }
        attempt.working_on(&start.base).await?;
        if let Some(leaked) = self.gate.leaks().await? {
            return Ok(leaked);
        }
        match course::way(&attempt.run.command) {
            Way::Update | Way::Undo if !door.reaches_source() => Ok(reach::closed(job)),
            Way::Agent => {
                self.work_with_agent((job, &terms), attempt, &door, (&tree, &start))
                    .await
            }
            Way::Update => update::update(self, (job, &terms), attempt, &door, &start).await,
            Way::Undo => undo::undo(self, &terms, attempt, &door, &start).await,
        }
    }

    /// The coding agent works in the tree, and what comes of it is delivered as the command says.
    async fn work_with_agent(
        &self,
        (job, terms): (&Job, &Terms),
        attempt: &Attempt,
        door: &GitDoor,
        (tree, start): (&WorkTree, &CheckedOut),
    ) -> Result<Ending, Failure> {
        // What the repository needs installed will be fetched here, in a cell of its own (docs/adr/0012).
        let known = self.known(door)?;
        let mut terms = terms.clone();
        let told = start.aside.as_ref().and_then(|aside| aside.told);
        terms.told = told.map(ToOwned::to_owned);
        let makes_commits = course::makes_commits(&attempt.run.command);
        terms.told_of_commit = makes_commits.then(|| commit_style::told(&start.subjects));
        if course::is_by_thread(&attempt.run.command) {
            return passes::work(self, door, attempt, (tree, start), (job, &terms, &known)).await;
        }
        terms.notes.extend(course::not_by_thread(&attempt.run.command));
        if let Some(resumed) = resume::resume(self, attempt, tree).await? {
            let told = terms.told.into_iter().chain([resumed.told]);
            terms.told = Some(told.collect::<Vec<_>>().join(" "));
            terms.notes.push(resumed.note);
        }
        let place = (tree, &start.instructions);
        let mut tally = Tally::default();
        let patched = patching::run_agent(self, job, attempt, place, (&terms, &known, &mut tally)).await?;
        deliver::deliver(self, door, attempt, (tree, start), (job, patched, &terms)).await
    }
}

/// The run ends before anything of it was started.
fn not_started(code: FailureCode, why: String) -> Ending {
    let outcome = Outcome {
        nothing_pushed: true,
        ..Outcome::of_failure(code, Some(why))
    };
    Ending::new(RunState::Refused, outcome)
}

/// Where the branch is and where it should be, when it is not where the job was meant for.
fn moved(job: &Job, head: &CommitId) -> Option<String> {
    let expected = job.expect_head.as_deref()?;
    let is_there = head.as_str().starts_with(expected);
    (!is_there).then(|| {
        let expected: String = expected.chars().take(head.short().len()).collect();
        format!("it is at `{}`, not at `{expected}`", head.short())
    })
}

/// What one run's processes may use. Its time is that of the run.
fn cell_limits(config: &Config) -> sandbox::CellLimits {
    sandbox::CellLimits {
        wall: Duration::from_secs(config.limits.run_seconds),
        output_bytes: config.sandbox.output_bytes_max,
        processes: config.sandbox.processes_max,
        memory_bytes: config.sandbox.memory_bytes_max,
        disk_bytes: config.sandbox.disk_bytes_max,
        ..sandbox::CellLimits::default()
    }
}

impl Handler for Resolver {
    type Input = Job;

    async fn handle(&self, job: Job, delivery: &Delivery) -> Result<Vec<Publication>, Failure> {
        self.gate.pass()?;
        let Some(attempt) = Box::pin(self.take(&job, delivery)).await? else {
            return Ok(Vec::new());
        };
        delivery.fence(&job.run, attempt.number);
        let ending = Box::pin(self.work(&job, &attempt)).await?;
        attempt.finish(ending).await?;
        Ok(Vec::new())
    }

    fn run_of(&self, job: &Job) -> Option<FailedRun> {
        Some(FailedRun::Existing(job.run.clone()))
    }

    fn key(&self, job: &Job) -> Option<String> {
        Some(job.run.to_string())
    }
}
