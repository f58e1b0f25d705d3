//! How several stories go on: an agent that waits while others act, a process that dies with a request on its way, and
//! somebody who passes a commit off as the bot's.

use anyhow::Result;
use serde_json::json;

use crate::fault::Hold;
use crate::git_cli;
use crate::pull_request::PullRequest;
use crate::waiting::WAIT_MAX;
use crate::world::{World, works};

impl World {
    /// Alice asks for something on the first pull request, and the agent waits for the model's `release` before it runs
    /// `command` and says `summary`. The comment that asks.
    pub async fn asked_while_the_agent_waits(
        &self,
        request: &str,
        (command, summary): (&str, &str),
    ) -> Result<u64> {
        self.script(json!([{"reply": {"hold": true, "then": works(command, summary)}}]));
        let comment = self.alice().comments(1, request).await?;
        self.model.wait_for_requests(1, WAIT_MAX).await?;
        Ok(comment)
    }

    /// Kills `role` whose request is held, lets the request go on without it, and starts the role again.
    pub async fn dies_and_comes_back(&mut self, role: &str, hold: Hold) -> Result<()> {
        self.kill(role).await?;
        self.lets_go(hold).await?;
        self.start_role(role).await
    }
}

impl PullRequest<'_> {
    /// Somebody removes `README.md` in a commit that looks like the run's own: whoever may push can write any name,
    /// address and message.
    pub async fn someone_forges_a_commit_of(&self, run: &str) {
        let forged = async {
            let clone = git_cli::clone(&self.clone_url(), &self.branch()).await?;
            let message = format!("Forged\n\nIt is not.\n\nRun-Id: {run}");
            let author = "openhands <bot@example.test>";
            let name = "user.name=openhands";
            git_cli::git(clone.path(), &["rm", "--quiet", "README.md"]).await?;
            let commit = [
                "-c",
                name,
                "commit",
                "--quiet",
                "--author",
                author,
                "--message",
                &message,
            ];
            git_cli::git(clone.path(), &commit).await?;
            git_cli::git(clone.path(), &["push", "--quiet", "origin", "HEAD"]).await
        };
        forged.await.expect("the push succeeds");
    }
}
