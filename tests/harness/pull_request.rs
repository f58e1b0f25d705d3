//! A pull request as people see it: its thread, its branch, and waits for what should appear there.

use serde_json::Value;

use crate::git_cli;
use crate::person::encode;
use crate::setup::branch;
use crate::thread::{self, Comment};
use crate::waiting::{WAIT_MAX, until};
use crate::world::World;

/// One pull request of a world.
#[derive(Clone, Copy)]
pub struct PullRequest<'a> {
    world: &'a World,
    number: usize,
}

impl<'a> PullRequest<'a> {
    pub(crate) fn new(world: &'a World, number: usize) -> Self {
        Self { world, number }
    }

    /// Its id in Bitbucket.
    pub fn id(&self) -> u64 {
        self.number as u64
    }

    /// Its source branch.
    pub fn branch(&self) -> String {
        branch(self.number)
    }

    /// All comments, oldest first.
    pub async fn comments(&self) -> Vec<Comment> {
        let path = format!("/pull-requests/{}/activities", self.id());
        thread::comments(
            &self
                .world
                .root()
                .get_all(&path)
                .await
                .expect("activities can be read"),
        )
    }

    /// The bot's comments.
    pub async fn bots_comments(&self) -> Vec<Comment> {
        self.comments()
            .await
            .into_iter()
            .filter(Comment::is_bots)
            .collect()
    }

    /// Waits for the bot's first reply to a comment, whatever it says.
    pub async fn reply_to(&self, comment: u64) -> Comment {
        self.wait_for("a reply", |comments| {
            comments
                .iter()
                .find(|c| c.is_bots() && c.parent == Some(comment))
                .cloned()
        })
        .await
    }

    /// Waits for the bot's reply to a comment to say how the run ended.
    pub async fn final_reply_to(&self, comment: u64) -> Comment {
        self.wait_for("a final reply", |comments| thread::final_reply(comments, comment))
            .await
    }

    /// The same, letting the model go on at every look: a job that was delivered again asks it again, and is held.
    pub async fn final_reply_releasing_the_model(&self, comment: u64) -> Comment {
        self.wait_for("a final reply", |comments| {
            self.world.model.release();
            thread::final_reply(comments, comment)
        })
        .await
    }

    /// Waits for something in the thread; prints thread and logs when it does not come.
    pub async fn wait_for<T>(&self, what: &str, find: impl Fn(&[Comment]) -> Option<T>) -> T {
        let find = &find;
        match until(WAIT_MAX, || async move { find(&self.comments().await) }).await {
            Some(found) => found,
            None => panic!(
                "waited {WAIT_MAX:?} for {what}\n--- thread\n{}\n{}",
                thread::print(&self.comments().await),
                self.world.logs()
            ),
        }
    }

    /// Waits until the thread's comment carries a reaction of the bot's.
    pub async fn reaction_to(&self, comment: u64, emoticon: &str) {
        self.wait_for(emoticon, |comments| {
            let reacted = comments
                .iter()
                .any(|c| c.id == comment && c.reactions.iter().any(|r| r == emoticon));
            reacted.then_some(())
        })
        .await;
    }

    /// The source branch's commits that are not on the target branch, newest first.
    pub async fn commits(&self) -> Vec<Value> {
        let path = format!("/pull-requests/{}/commits", self.id());
        self.world
            .root()
            .get_all(&path)
            .await
            .expect("commits can be read")
    }

    /// Those of them that the bot made.
    pub async fn bots_commits(&self) -> Vec<Value> {
        self.commits()
            .await
            .into_iter()
            .filter(|commit| commit["author"]["name"] == "openhands")
            .collect()
    }

    /// The source branch's head, as git sees it.
    pub async fn head(&self) -> String {
        git_cli::remote_head(&self.clone_url(), &self.branch())
            .await
            .expect("the branch exists")
    }

    /// A file on the source branch.
    pub async fn file(&self, path: &str) -> String {
        let path = format!("/raw/{path}?at=refs/heads/{}", self.branch());
        let answer = self
            .world
            .root()
            .request(reqwest::Method::GET, &path, Value::Null)
            .await;
        answer
            .expect("the file can be read")
            .text()
            .await
            .expect("the file is text")
    }

    /// The diff of the last commit, as git prints it.
    pub async fn last_diff(&self) -> String {
        git_cli::last_diff(&self.clone_url(), &self.branch())
            .await
            .expect("the branch can be cloned")
    }

    /// Someone pushes a commit of their own that writes `path`.
    pub async fn someone_pushes(&self, path: &str, text: &str) -> String {
        let pushed = git_cli::commit_and_push(&self.clone_url(), &self.branch(), path, text).await;
        pushed.expect("the push succeeds")
    }

    /// Someone deletes the source branch.
    pub async fn someone_deletes_the_branch(&self) {
        git_cli::delete_branch(&self.clone_url(), &self.branch())
            .await
            .expect("the branch can be deleted");
    }

    /// Where people clone from, with a token that may write.
    pub fn clone_url(&self) -> String {
        let base = self.world.bitbucket.base_url();
        let project = self.world.setup.project.to_lowercase();
        format!(
            "{}/scm/{project}/demo.git",
            base.replacen(
                "http://",
                &format!("http://alice:{}@", encode(&self.world.setup.tokens.alice)),
                1
            )
        )
    }
}
