//! Passes: `address` with a commit for each thread. The agent works on one thread after the other in the same tree; after
//! each pass all that is different in the tree is judged as at the end of any run, and what came to it since the pass
//! before is that thread's commit (docs/adr/0015).

use std::time::{Duration, Instant};

use agent::Report;
use git::CommitRequest;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, CommitId};
use pipeline::job::{Job, OpenThread};
use pipeline::run::{FailureReport, Outcome, RunState, THREAD_COMMITS_MAX};
use sandbox::Swept;

use crate::attempt::{Attempt, Ending};
use crate::commits::{Commits, Made, Work};
use crate::deliver;
use crate::effects;
use crate::git_door::{CheckedOut, GitDoor};
use crate::handler::Resolver;
use crate::message::thread_message;
use crate::patching::{self, Patched, Tally};
use crate::result::{Answer, Handed};
use crate::secrets::{Known, redacted};
use crate::terms::Terms;
use crate::told::{self, CutShort};
use crate::verdict::Verdict;
use crate::work_tree::WorkTree;

/// Works through the threads, and delivers what came of all of them with one push. A pass that is cut short ends the run:
/// what there is by then is kept as a patch, as that of any run.
pub(crate) async fn work(
    resolver: &Resolver,
    door: &GitDoor,
    attempt: &Attempt,
    (tree, start): (&WorkTree, &CheckedOut),
    (job, terms, known): (&Job, &Terms, &Known),
) -> Result<Ending, Failure> {
    let mut passes = Passes {
        resolver,
        door,
        attempt,
        tree,
        start,
        job,
        terms,
        known,
        started: Instant::now(),
        tally: Tally::default(),
        swept: Swept::default(),
        told: Told::default(),
        made: Vec::new(),
        differs: false,
        outside: None,
        cut_short: None,
        broke: None,
    };
    for index in 0..passes_of(job.threads.len()) {
        if let Some(ending) = passes.pass(index).await? {
            return Ok(ending);
        }
        if passes.cut_short.is_some() {
            break;
        }
    }
    passes.deliver().await
}

/// What there is of a run between two passes.
struct Passes<'a> {
    resolver: &'a Resolver,
    door: &'a GitDoor,
    attempt: &'a Attempt,
    tree: &'a WorkTree,
    start: &'a CheckedOut,
    job: &'a Job,
    terms: &'a Terms,
    known: &'a Known,
    started: Instant,
    tally: Tally,
    swept: Swept,
    told: Told,
    made: Vec<Made>,
    /// Whether there is anything in the tree that is to be committed.
    differs: bool,
    /// Files that the request does not let be changed, and that a pass has changed.
    outside: Option<String>,
    cut_short: Option<CutShort>,
    /// What is known beside its code of a failure that an agent could not go on for.
    broke: Option<String>,
}

/// What was said in the passes so far, and what is to be said of the tree as it is.
#[derive(Default)]
struct Told {
    said: Outcome,
    answers: Vec<Answer>,
    of_tree: Vec<String>,
    /// Of the last pass, with what all of them used.
    report: Option<Report>,
}

impl Passes<'_> {
    /// One thread. `Some`: the run ends with that.
    async fn pass(&mut self, index: usize) -> Result<Option<Ending>, Failure> {
        let patience = &self.attempt.patience;
        if !patience
            .with("look at the record", || self.attempt.is_held())
            .await?
        {
            return Ok(Some(Ending::NotOurs));
        }
        let Some(time) = self.terms.time.checked_sub(self.started.elapsed()) else {
            self.cut_short = Some((RunState::Expired, FailureCode::TimeLimit));
            return Ok(None);
        };
        if index > 0 {
            self.tree.renew().await?;
        }
        let thread = &self.job.threads[index];
        let patched = self.run_agent((index, thread), time).await?;
        // Whoever stopped the run does not wait for what it came to, and nothing of it is kept.
        if !patience
            .with("look at the record", || self.attempt.is_held())
            .await?
        {
            return Ok(Some(Ending::NotOurs));
        }
        let report = match patched {
            Patched::Reported(report) => report,
            Patched::Broke(error) => return told::broke(error).map(|report| self.broke(report)),
        };
        self.cut_short = told::cut_short(&report);
        let summary = self.told.take(self.attempt, thread.comment, report, self.known);
        self.take_back(thread.comment, &summary).await
    }

    /// The agent could not go on: what the passes before came to is kept, where there is anything. `Some`: the run ends
    /// with that.
    fn broke(&mut self, report: FailureReport) -> Option<Ending> {
        if !self.differs {
            return Some(Ending::failed(report.code, report.detail));
        }
        self.cut_short = Some((RunState::Failed, report.code));
        self.broke = report.detail;
        None
    }

    async fn run_agent(
        &mut self,
        (index, thread): (usize, &OpenThread),
        time: Duration,
    ) -> Result<Patched, Failure> {
        let (attempt, number) = (self.attempt, thread.comment);
        let place = format!("{} of {}", index + 1, passes_of(self.job.threads.len()));
        attempt
            .note(format!("thread of comment {number}, {place}"))
            .await?;
        let mut terms = self.terms.clone();
        terms.time = time;
        let told = terms.told.into_iter().chain([told_to_agent(number, &place)]);
        terms.told = Some(told.collect::<Vec<_>>().join("\n\n"));
        let place = (self.tree, &self.start.instructions);
        let of = (&terms, self.known, &mut self.tally);
        patching::run_agent(self.resolver, self.job, attempt, place, of).await
    }

    /// Takes the tree back from the agent, and makes a commit of what came to it. `Some`: the run ends with that.
    async fn take_back(&mut self, thread: CommentId, summary: &str) -> Result<Option<Ending>, Failure> {
        let (resolver, door, attempt) = (self.resolver, self.door, self.attempt);
        let tree = (self.tree, &mut self.swept);
        let handed_back = match deliver::hand_back(resolver, door, attempt, tree, self.start).await {
            Ok(handed_back) => handed_back,
            Err(failure) => return deliver::unreadable(failure, self.cut_short).map(Some),
        };
        let (verdict, notes) = deliver::judged(resolver, self.start, handed_back);
        self.told.of_tree = notes;
        let changes = match verdict {
            Verdict::Nothing => Vec::new(),
            Verdict::Work { changes } => changes,
            Verdict::TooLarge { detail } => {
                let mut outcome = self.outcome();
                outcome.failure = Outcome::of_failure(FailureCode::ChangeTooLarge, Some(detail)).failure;
                return Ok(Some(Ending::new(RunState::Failed, outcome)));
            }
        };
        self.differs = !changes.is_empty();
        if self.outside.is_none() {
            self.outside = deliver::outside(&changes, &self.terms.only);
        }
        let commit = || self.commit(thread, &changes, summary);
        let made = attempt.patience.with("commit", commit).await?;
        self.made.extend(made);
        Ok(None)
    }

    /// The thread's commit: everything that differs from where the run began, on top of the commits so far. Nothing where
    /// that is no more than these have.
    async fn commit(
        &self,
        thread: CommentId,
        changes: &[git::Change],
        summary: &str,
    ) -> Result<Option<Made>, Failure> {
        let identity = self.door.identity().await?;
        let below = self.made.last().map_or(&self.start.base, |made| &made.commit);
        let message = thread_message(&self.attempt.run, thread, summary, self.terms.sign_off);
        let request = CommitRequest {
            parent: below.clone(),
            directory: self.tree.path().to_owned(),
            changes: Vec::new(),
            author: identity.clone(),
            committer: identity,
            message,
            time: jiff::Timestamp::now(),
            merges: None,
        };
        let whole = CommitRequest {
            parent: self.start.base.clone(),
            changes: changes.to_vec(),
            ..request.clone()
        };
        let wanted = request.clone();
        let commit: Option<CommitId> = self
            .door
            .with_mirror(move |mirror, _, _, _| {
                let like = if whole.changes.is_empty() {
                    whole.parent.clone()
                } else {
                    mirror.commit(&whole)?
                };
                Ok(mirror.stack(&like, &wanted)?)
            })
            .await?;
        Ok(commit.map(|commit| Made {
            commit,
            request,
            thread: Some(thread),
        }))
    }

    async fn deliver(mut self) -> Result<Ending, Failure> {
        let (door, attempt, base) = (self.door, self.attempt, &self.start.base);
        let mut outcome = self.outcome();
        if self.cut_short.is_none() {
            // Before the agents' own, of which a reply shows some.
            outcome.notes.splice(..0, too_many(self.job.threads.len()));
        }
        let answers = std::mem::take(&mut self.told.answers);
        let handed = Handed {
            answers,
            ..Handed::default()
        };
        effects::note(door, attempt, self.job, (handed, self.known), base, &mut outcome).await?;
        let report = self.told.report.as_ref();
        let commits = Commits::of(self.made).filter(|_| self.differs);
        let Some(commits) = commits else {
            return Ok(match report {
                Some(report) => deliver::nothing_to_commit(outcome, self.cut_short, report),
                None => Ending::failed(FailureCode::AgentIdle, None),
            });
        };
        outcome
            .notes
            .extend(deliver::not_signed_off(&attempt.run, self.terms));
        let work = Work {
            base: base.clone(),
            commits,
            outcome,
        };
        let detail = self.broke.or(report.and_then(told::detail));
        let held_back = deliver::held_back(self.cut_short, detail, self.outside);
        let of = (self.job, self.terms, self.start, self.known);
        deliver::finish(self.resolver, door, attempt, of, (work, held_back)).await
    }

    /// What was said and what is known so far, without secrets.
    fn outcome(&self) -> Outcome {
        let mut outcome = self.told.said.clone();
        let said = std::mem::take(&mut outcome.notes);
        outcome.notes = [
            self.start.notes(),
            self.terms.notes.clone(),
            said,
            self.told.of_tree.clone(),
        ]
        .concat();
        told::redacted(outcome, self.known)
    }
}

impl Told {
    /// Adds what was said in the pass for a thread. Returns the agent's words, without secrets.
    fn take(&mut self, attempt: &Attempt, thread: CommentId, mut report: Report, known: &Known) -> String {
        let (handed, unread) = effects::take(&attempt.run, &mut report);
        let pass = told::outcome_of(&report, Vec::new());
        let words = pass.summary.unwrap_or_default();
        if told::cut_short(&report).is_none() {
            self.answers.extend(own_answer(handed, thread, &words));
        }
        if !words.is_empty() {
            let said = self.said.summary.take();
            let said = said.map_or_else(String::new, |said| format!("{said}\n\n"));
            self.said.summary = Some(format!("{said}Comment {thread}: {words}"));
        }
        let about = |text: String| format!("Comment {thread}: {text}");
        self.said.not_done.extend(pass.not_done.into_iter().map(about));
        self.said.questions.extend(pass.questions.into_iter().map(about));
        let notes = pass.notes.into_iter().chain(unread);
        self.said.notes.extend(notes.map(about));
        if let Some(before) = &self.report {
            report.usage.turns = report.usage.turns.saturating_add(before.usage.turns);
            report.model_errors = report.model_errors.saturating_add(before.model_errors);
        }
        self.report = Some(report);
        redacted(&words, known)
    }
}

/// The answer in the thread that a pass was about; answers in others are not taken. An agent that handed none over has
/// answered with its words, and has not said that the thread is settled.
fn own_answer(handed: Handed, thread: CommentId, words: &str) -> Option<Answer> {
    let own = handed.answers.into_iter().find(|answer| answer.thread == thread);
    own.or_else(|| {
        (!words.is_empty()).then(|| Answer {
            thread,
            text: words.to_owned(),
            settled: false,
        })
    })
}

/// Which thread a pass is for, in words of ours.
fn told_to_agent(thread: CommentId, place: &str) -> String {
    format!(
        "The open threads are worked through one at a time, and each one's change becomes a commit of its own. Now it is the \
         turn of thread {thread}, the pass {place}: do what this thread asks for, and nothing that another one asks for. Hand over \
         one answer, in thread {thread}. What was done for the threads before it is in the working directory already; \
         leave it as it is."
    )
}

/// How many passes are made for so many threads.
fn passes_of(threads: usize) -> usize {
    threads.min(THREAD_COMMITS_MAX)
}

/// Said where a run has worked on some of the threads alone.
fn too_many(threads: usize) -> Option<String> {
    (threads > THREAD_COMMITS_MAX).then(|| {
        format!(
            "One run makes commits for at most {THREAD_COMMITS_MAX} threads: of {threads}, the first ones were worked on; ask \
             again for the others"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_answers_in_its_own_thread_alone() {
        let answer = |thread: u64| Answer {
            thread: CommentId(thread),
            text: format!("on {thread}"),
            settled: true,
        };
        let handed = |threads: &[u64]| Handed {
            answers: threads.iter().map(|&thread| answer(thread)).collect(),
            ..Handed::default()
        };
        let own = |threads: &[u64], words: &str| own_answer(handed(threads), CommentId(7), words);
        assert_eq!(own(&[6, 7, 8], "Words."), Some(answer(7)));
        let by_words = own(&[6, 8], "Words.").unwrap();
        assert_eq!(
            (by_words.thread, by_words.text.as_str(), by_words.settled),
            (CommentId(7), "Words.", false)
        );
        assert_eq!(own(&[6], ""), None);
    }

    #[test]
    fn what_is_left_for_another_run_is_told() {
        assert_eq!(too_many(THREAD_COMMITS_MAX), None);
        assert_eq!(passes_of(THREAD_COMMITS_MAX + 4), THREAD_COMMITS_MAX);
        assert_eq!(passes_of(2), 2);
        let said = too_many(THREAD_COMMITS_MAX + 1).unwrap();
        assert!(said.contains("at most 16 threads: of 17"), "{said}");
    }
}
