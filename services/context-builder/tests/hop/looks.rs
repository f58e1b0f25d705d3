//! What can be seen of the role's work, and waiting for it.

use std::convert::Infallible;

use pipeline::ids::RunId;
use pipeline::message::Message;
use pipeline::run::{Run, RunState};
use pipeline::subject;
use serde_json::Value;

use crate::world::{LOOK, PATIENCE, World};

/// As much of a lane's record as tests look at.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Lane {
    v: u32,
    pub(crate) running: Value,
    pub(crate) comments: Value,
}

impl Message for Lane {
    const NAME: &'static str = "lane";
}

/// A lane's record as it is stored, to be put back.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Stored(Value);

impl Stored {
    /// The same with an edit of `comment` noted that asks for what `other` asks for.
    pub(crate) fn with_edit(mut self, comment: u64, version: u32, other: u64) -> Self {
        let asked = self.0["comments"][other.to_string()]["digest"].clone();
        assert!(asked.is_string(), "{}", self.0);
        let memory = &mut self.0["comments"][comment.to_string()];
        memory["version"] = version.into();
        memory["digest"] = asked;
        self
    }
}

impl Message for Stored {
    const NAME: &'static str = "lane";
}

impl World {
    /// Requests the bot made to Bitbucket's API.
    pub(crate) async fn calls(&self) -> Vec<String> {
        let seen = self.send("", "GET", "/sim/v1/requests", Value::Null).await;
        let requests = seen
            .as_array()
            .or(seen["requests"].as_array())
            .or(seen["values"].as_array())
            .unwrap();
        let by_bot = requests.iter().filter(|request| request["user"] == "openhands");
        by_bot
            .map(|request| format!("{} {}", request["method"], request["path"]))
            .collect()
    }

    pub(crate) async fn run(&self, run: &RunId) -> Option<Run> {
        self.nats.runs().get(&subject::run_key(run)).await.unwrap()
    }

    /// Waits until a run's record is as it should be.
    pub(crate) async fn until(&self, run: &RunId, what: &str, is: impl Fn(&Run) -> bool) -> Run {
        let look = async {
            loop {
                if let Some(run) = self.run(run).await.filter(&is) {
                    return run;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if let Ok(run) = tokio::time::timeout(PATIENCE, look).await {
            return run;
        }
        panic!(
            "{what}: {:#?}\nall decisions: {:#?}",
            self.run(run).await,
            self.decisions().await
        )
    }

    pub(crate) async fn until_running(&self, run: &RunId) -> Run {
        self.until(run, "it should run", |run| run.state == RunState::Running)
            .await
    }

    /// Waits for a lane's record to be as it should be.
    pub(crate) async fn until_the_lane(&self, what: &str, is: impl Fn(&Lane) -> bool) {
        let lanes = self.nats.records::<Lane>(subject::LANES);
        let look = async {
            while !lanes.list().await.unwrap().iter().any(&is) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect(what);
    }

    /// The record of the only lane.
    pub(crate) async fn lane(&self) -> Stored {
        let lanes = self.nats.records::<Stored>(subject::LANES);
        lanes.list().await.unwrap().pop().expect("a lane")
    }

    /// Puts the lane back to what it was.
    pub(crate) async fn put_lane(&self, before: &Stored) {
        let lanes = self.nats.records::<Stored>(subject::LANES);
        let put = |lane: &mut Stored| {
            lane.clone_from(before);
            Ok::<(), Infallible>(())
        };
        let Ok(_) = lanes
            .update(before.0["key"].as_str().unwrap(), put)
            .await
            .unwrap();
    }

    /// What the role decided, comment by comment, oldest first.
    pub(crate) async fn decisions(&self) -> Vec<String> {
        let all = self
            .nats
            .read_stream(
                subject::DECISIONS,
                subject::DECISIONS_ALL,
                worker::ReadFrom::Start,
                1_000,
            )
            .await
            .unwrap();
        let decisions = all
            .iter()
            .map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
        decisions
            .map(|decision| {
                format!(
                    "{} {}: {}",
                    decision["comment"], decision["verdict"], decision["reason"]
                )
            })
            .collect()
    }

    /// Waits for a decision that contains `what`, and returns it.
    pub(crate) async fn until_decided(&self, what: &str) -> String {
        let look = async {
            loop {
                let decisions = self.decisions().await;
                if let Some(found) = decisions.into_iter().find(|decision| decision.contains(what)) {
                    return found;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if let Ok(found) = tokio::time::timeout(PATIENCE, look).await {
            return found;
        }
        panic!("nobody decided {what:?}: {:#?}", self.decisions().await)
    }

    /// What the final reply will say was left out of a run's brief.
    pub(crate) async fn left_out(&self, run: &Run) -> Vec<String> {
        let key = subject::artifact(&run.id, "left-out.json");
        serde_json::from_slice(&self.nats.artifacts().get(&key).await.unwrap().unwrap()).unwrap()
    }

    /// The brief of a run.
    pub(crate) async fn brief(&self, run: &Run) -> String {
        let brief = run.brief.as_ref().expect("a dispatched run has a brief");
        String::from_utf8(self.nats.artifacts().get(&brief.key).await.unwrap().unwrap()).unwrap()
    }
}
