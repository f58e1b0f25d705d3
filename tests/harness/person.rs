//! Someone at Bitbucket's REST API: a person who types, or an administrator who connects the webhook.

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// A token holder.
#[derive(Clone)]
pub struct Person {
    http: reqwest::Client,
    base_url: String,
    token: String,
    repository: String,
}

impl Person {
    /// Someone with `token` who works on `PROJECT/slug`.
    pub fn new(http: reqwest::Client, base_url: &str, token: &str, project: &str, slug: &str) -> Self {
        Self {
            http,
            base_url: base_url.to_owned(),
            token: token.to_owned(),
            repository: format!("/rest/api/latest/projects/{project}/repos/{slug}"),
        }
    }

    /// Comments on a pull request; the comment's id.
    pub async fn comments(&self, pull_request: u64, text: &str) -> Result<u64> {
        self.writes_comment(pull_request, json!({"text": text})).await
    }

    /// Replies to a comment.
    pub async fn replies(&self, pull_request: u64, parent: u64, text: &str) -> Result<u64> {
        self.writes_comment(pull_request, json!({"text": text, "parent": {"id": parent}}))
            .await
    }

    /// Comments on a line that the source branch added, or on the whole file where `line` is absent.
    pub async fn comments_on(
        &self,
        pull_request: u64,
        path: &str,
        line: Option<u32>,
        text: &str,
    ) -> Result<u64> {
        let anchor = match line {
            Some(line) => json!({"path": path, "line": line, "lineType": "ADDED", "fileType": "TO"}),
            None => json!({"path": path}),
        };
        self.writes_comment(pull_request, json!({"text": text, "anchor": anchor}))
            .await
    }

    /// Edits a comment's text.
    pub async fn edits(&self, pull_request: u64, comment: u64, text: &str) -> Result<()> {
        let path = format!("/pull-requests/{pull_request}/comments/{comment}");
        let version = self.get(&path).await?["version"].clone();
        self.send(Method::PUT, &path, json!({"text": text, "version": version}))
            .await
            .map(drop)
    }

    /// Deletes a comment.
    pub async fn deletes(&self, pull_request: u64, comment: u64) -> Result<()> {
        let path = format!("/pull-requests/{pull_request}/comments/{comment}");
        let version = self.get(&path).await?["version"].clone();
        self.send(Method::DELETE, &format!("{path}?version={version}"), Value::Null)
            .await
            .map(drop)
    }

    /// Merges a pull request.
    pub async fn merges(&self, pull_request: u64) -> Result<()> {
        self.acts(pull_request, "merge").await
    }

    /// Declines a pull request.
    pub async fn declines(&self, pull_request: u64) -> Result<()> {
        self.acts(pull_request, "decline").await
    }

    /// Installs a webhook for everything the resolver listens to; its id.
    pub async fn connects(&self, url: &str, secret: &str) -> Result<u64> {
        let hook = json!({
            "name": "resolver", "url": url, "active": true, "configuration": {"secret": secret},
            "sslVerificationRequired": true,
            "events": [
                "pr:comment:added", "pr:comment:edited", "pr:comment:deleted", "pr:opened", "pr:modified",
                "pr:from_ref_updated", "pr:merged", "pr:declined", "pr:deleted", "pr:reviewer:updated",
                "repo:refs_changed",
            ],
        });
        let made = self.send(Method::POST, "/webhooks", hook).await?;
        made["id"].as_u64().context("a webhook has an id")
    }

    /// Presses "Test connection"; the status the resolver gave.
    pub async fn tests_connection(&self, url: &str) -> Result<u64> {
        let path = format!("/webhooks/test?url={}&sslVerificationRequired=true", encode(url));
        let answer = self.send(Method::POST, &path, json!({})).await?;
        let status = answer.pointer("/response/statusCode");
        status
            .and_then(Value::as_u64)
            .with_context(|| format!("no status in {answer}"))
    }

    /// Reads below the repository.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, Value::Null).await
    }

    /// All values of a paged resource below the repository.
    pub async fn get_all(&self, path: &str) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        let mut start = 0;
        loop {
            let glue = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{glue}limit=500&start={start}")).await?;
            values.extend(page["values"].as_array().cloned().unwrap_or_default());
            match page["nextPageStart"].as_u64() {
                Some(next) => start = next,
                None => return Ok(values),
            }
        }
    }

    /// Sends JSON below the repository and expects a 2xx.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let answer = self.request(method.clone(), path, body).await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Sends JSON below the repository.
    pub async fn request(&self, method: Method, path: &str, body: Value) -> Result<Response> {
        let url = format!("{}{}{path}", self.base_url, self.repository);
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.token)
            .header("Accept", "application/json");
        if !body.is_null() {
            request = request.json(&body);
        }
        Ok(request.send().await?)
    }

    async fn writes_comment(&self, pull_request: u64, body: Value) -> Result<u64> {
        let made = self
            .send(
                Method::POST,
                &format!("/pull-requests/{pull_request}/comments"),
                body,
            )
            .await?;
        made["id"].as_u64().context("a comment has an id")
    }

    async fn acts(&self, pull_request: u64, action: &str) -> Result<()> {
        let path = format!("/pull-requests/{pull_request}");
        let version = self.get(&path).await?["version"].clone();
        self.send(
            Method::POST,
            &format!("{path}/{action}?version={version}"),
            json!({}),
        )
        .await
        .map(drop)
    }
}

/// As part of a URL.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
