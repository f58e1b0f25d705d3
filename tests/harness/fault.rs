//! What goes wrong at Bitbucket on purpose, and requests it holds back so that something can happen meanwhile.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::waiting::WAIT_MAX;
use crate::world::World;

/// A fault that holds requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold(u64);

impl World {
    /// Replaces all faults by these, as the simulator takes them. What the old ones hold goes on.
    pub async fn faults(&self, faults: Value) -> Result<()> {
        self.control("PUT", "/sim/v1/faults", faults).await.map(drop)
    }

    /// Holds the bot's next request of this kind, `before` or `after` its effect. What was held before goes on.
    pub async fn holds_next(&self, method: &str, path: &str, when: &str) -> Result<Hold> {
        self.faults(json!([{
            "method": method, "path": path, "user": "openhands", "count": 1, "when": when, "hold": true,
        }]))
        .await?;
        self.first_fault().await
    }

    /// The first fault, where that holds requests.
    pub async fn first_fault(&self) -> Result<Hold> {
        let faults = self.control("GET", "/sim/v1/faults", Value::Null).await?;
        Ok(Hold(faults[0]["id"].as_u64().context("a fault has an id")?))
    }

    /// Waits until a request is held.
    pub async fn held(&self, hold: Hold) -> Result<()> {
        let path = format!("/sim/v1/faults?held={}&wait_ms={}", hold.0, WAIT_MAX.as_millis());
        let faults = self.control("GET", &path, Value::Null).await?;
        ensure!(
            faults[0]["held"] == 1,
            "no request reached the fault: {faults}\n{}",
            self.logs()
        );
        Ok(())
    }

    /// Lets the held request go on.
    pub async fn lets_go(&self, hold: Hold) -> Result<()> {
        let path = format!("/sim/v1/faults/{}/release", hold.0);
        self.control("POST", &path, json!({})).await.map(drop)
    }
}
