//! Whether this process may start runs now: not while its sandbox does not hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::CodingAgent;
use lifecycle::Health;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use sandbox::{Sandbox, SelfTest, SelfTestError};

use crate::attempt::Ending;

/// The part of `/readyz` that says whether the sandbox holds.
const SANDBOX: &str = "sandbox";
/// The part of `/readyz` that says whether everything of ended runs is dead.
const PROCESSES: &str = "processes";

/// Between two tests of a sandbox that did not hold, and before a job that came meanwhile comes again. A test takes
/// about a second of the machine.
const RETEST_PAUSE: Duration = Duration::from_secs(10);

/// Closed from a test that failed to the next one that holds.
pub(crate) struct Gate {
    sandbox: Sandbox,
    /// Whose needs and installation the cell of a run is opened with, and so that of the test before it.
    agent: Arc<dyn CodingAgent>,
    health: Health,
    closed: Arc<AtomicBool>,
}

impl Gate {
    /// Open: the sandbox was tested when it was found.
    pub(crate) fn new(sandbox: Sandbox, agent: Arc<dyn CodingAgent>, health: Health) -> Self {
        Self {
            sandbox,
            agent,
            health,
            closed: Arc::default(),
        }
    }

    /// Passes a job on, or has it wait: another process may have a sandbox that holds.
    pub(crate) fn pass(&self) -> Result<(), Failure> {
        if !self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let cause = anyhow::anyhow!("the sandbox did not hold when it was last tested");
        Err(Failure::unavailable(
            FailureCode::SandboxMissing,
            Some(RETEST_PAUSE),
            cause,
        ))
    }

    /// Tests the sandbox as it is now. `None` when it holds; otherwise how the run ends, of which nothing was started.
    ///
    /// The gate is closed until a later test holds. A test that could not be made is worth another attempt.
    pub(crate) async fn leaks(&self) -> Result<Option<Ending>, Failure> {
        let error = match test(&self.sandbox, &*self.agent).await {
            Ok(test) => {
                tracing::debug!(held = test.held.len(), took = ?test.wall, "the sandbox holds");
                return Ok(None);
            }
            Err(error) => error,
        };
        tracing::error!(error = %chain(&error), "the sandbox does not hold; nothing is started");
        self.health.not_ready(SANDBOX, chain(&error));
        self.close();
        of_no_test(error).map(Some)
    }

    /// Nobody can say that everything of the run is dead. The process is not ready from now on: an operator has to
    /// look, and a restart is the sign that one has.
    pub(crate) fn may_live_on(&self, run: &RunId, why: &dyn std::error::Error) {
        let why = chain(why);
        tracing::error!(run.id = %run, why, "processes of a run may still be alive; its directories stay");
        self.health.not_ready(
            PROCESSES,
            format!(
                "processes of run {run} may still be alive: {why}; see to it that they end, then restart"
            ),
        );
    }

    /// Closes the gate, and opens it again when a test holds.
    fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let (sandbox, agent, health, closed) = (
            self.sandbox.clone(),
            self.agent.clone(),
            self.health.clone(),
            Arc::downgrade(&self.closed),
        );
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RETEST_PAUSE).await;
                let tested = test(&sandbox, &*agent).await;
                // The role has ended: nobody waits for this any more.
                let Some(closed) = closed.upgrade() else { return };
                match tested {
                    Ok(_) => {
                        tracing::info!("the sandbox holds again");
                        health.ready(SANDBOX);
                        closed.store(false, Ordering::Relaxed);
                        return;
                    }
                    Err(error) => health.not_ready(SANDBOX, chain(&error)),
                }
            }
        });
    }
}

/// How a run ends whose sandbox did not pass its test, or why it is tried again.
fn of_no_test(error: SelfTestError) -> Result<Ending, Failure> {
    match error {
        SelfTestError::Leak(_) => Ok(Ending::failed(FailureCode::SandboxLeak, None)),
        // Its processes are ours and do no harm, but a kill that nobody confirms is a sandbox that is away.
        SelfTestError::Cell(sandbox::Error::NotKilled { .. } | sandbox::Error::Stuck { .. }) => {
            let wait = Some(RETEST_PAUSE);
            Err(Failure::unavailable(
                FailureCode::SandboxMissing,
                wait,
                error.into(),
            ))
        }
        // Nothing leaked: a machine that is short of something for the moment has it again at the next attempt.
        SelfTestError::Unusable { .. }
        | SelfTestError::Plant(_)
        | SelfTestError::Cell(_)
        | SelfTestError::Incomplete { .. } => Err(Failure::retry(FailureCode::SandboxMissing, error.into())),
    }
}

/// Attacks a cell as the agent's is.
async fn test(sandbox: &Sandbox, agent: &dyn CodingAgent) -> Result<SelfTest, SelfTestError> {
    sandbox.self_test(agent.needs(), agent.read_paths()).await
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use pipeline::failure::Counts;
    use sandbox::Leak;

    use super::*;

    /// Whether another try uses up an attempt; nothing where there is none.
    fn uses_up_an_attempt(error: SelfTestError) -> Option<bool> {
        match of_no_test(error) {
            Err(Failure::Retry { counts, code, .. }) => {
                assert_eq!(code, FailureCode::SandboxMissing);
                Some(counts == Counts::AsAttempt)
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn a_test_whose_processes_nobody_saw_die_uses_up_no_attempt() {
        let reason = String::new;
        let not_killed = sandbox::Error::NotKilled { reason: reason() };
        assert_eq!(uses_up_an_attempt(not_killed.into()), Some(false));
        // The controls: what was not there for the moment does, and a leak is not tried again.
        let no_cell = sandbox::Error::Cell { reason: reason() };
        assert_eq!(uses_up_an_attempt(no_cell.into()), Some(true));
        let cut_off = SelfTestError::Incomplete { reason: reason() };
        assert_eq!(uses_up_an_attempt(cut_off), Some(true));
        let leak = Leak { probes: Vec::new() };
        assert_eq!(uses_up_an_attempt(leak.into()), None);
    }
}
