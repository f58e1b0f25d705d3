//! Deliveries as Bitbucket sends them, signed beforehand: signing is Bitbucket's work, not what is measured.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The webhook's secret.
pub(crate) const SECRET: &str = "a-webhook-secret-of-at-least-32-bytes";
/// A comment's delivery is about this long.
const BODY_BYTES: usize = 5 * 1024;
/// Different deliveries; then they start again. `EVENTS` promises no uniqueness, so a repeated one is stored again.
const DELIVERIES: u64 = 512;
/// Pull requests that are commented on, each with a subject of its own in JetStream.
const PULL_REQUESTS: u64 = 50;

/// Whole HTTP requests, ready to be written.
#[derive(Clone)]
pub(crate) struct Deliveries(Arc<Vec<Bytes>>);

impl Deliveries {
    /// Makes them for the ingest at `address`.
    pub(crate) fn signed(address: SocketAddr) -> Result<Self> {
        let requests: Result<Vec<_>> = (0..DELIVERIES).map(|number| request(address, number)).collect();
        Ok(Self(Arc::new(requests?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One of them, starting again after the last.
    pub(crate) fn get(&self, number: usize) -> Bytes {
        self.0[number % self.0.len()].clone()
    }
}

fn request(address: SocketAddr, number: u64) -> Result<Bytes> {
    let body = body(number)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = format!(
        "POST /integration/bitbucket-dc/connections/main/events HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {BODY_BYTES}\r\n\
         User-Agent: Atlassian HttpClient 4.2.0 / Bitbucket-9.4.0\r\nX-Event-Key: pr:comment:added\r\n\
         X-Request-Id: 6f68-{number:08}\r\nX-Hub-Signature: sha256={signature}\r\n\r\n{body}"
    );
    Ok(Bytes::from(request))
}

/// A comment's delivery in the order of 9.x, its text as long as makes the body 5 KiB (bitbucket-dc.md 2.4).
fn body(number: u64) -> Result<String> {
    let unpadded = with_text(number, "").to_string();
    ensure!(
        unpadded.len() < BODY_BYTES,
        "the body is {} bytes without a text",
        unpadded.len()
    );
    let sentence = "@openhands please have a look at how the retry counts its attempts. ";
    let text: String = sentence
        .chars()
        .cycle()
        .take(BODY_BYTES - unpadded.len())
        .collect();
    let body = with_text(number, &text).to_string();
    ensure!(body.len() == BODY_BYTES, "the body is {} bytes", body.len());
    Ok(body)
}

fn with_text(number: u64, text: &str) -> Value {
    let repository = json!({
        "slug": "demo", "id": 84, "name": "demo", "hierarchyId": "e3c939f9ef4a7fae272e", "scmId": "git",
        "state": "AVAILABLE", "statusMessage": "Available", "forkable": true, "public": false, "archived": false,
        "project": {"key": "PROJ", "id": 2, "name": "Project", "public": false, "type": "NORMAL",
            "links": {"self": [{"href": "https://bitbucket.example.com/projects/PROJ"}]}},
        "links": {
            "clone": [{"href": "https://bitbucket.example.com/scm/proj/demo.git", "name": "http"}],
            "self": [{"href": "https://bitbucket.example.com/projects/PROJ/repos/demo/browse"}]},
    });
    let alice = json!({
        "name": "alice", "emailAddress": "alice@example.test", "active": true, "displayName": "Alice", "id": 101,
        "slug": "alice", "type": "NORMAL", "links": {"self": [{"href": "https://bitbucket.example.com/users/alice"}]},
    });
    json!({
        "eventKey": "pr:comment:added", "date": "2025-06-17T06:57:00+0000", "actor": alice,
        "pullRequest": {
            "id": number % PULL_REQUESTS + 1, "version": 1, "title": "Add retry to the uploader",
            "description": "Fixes the flaky upload.", "state": "OPEN", "open": true, "closed": false, "draft": false,
            "createdDate": 1_750_143_351_522_u64, "updatedDate": 1_750_143_351_522_u64,
            "fromRef": {"id": "refs/heads/feature/x", "displayId": "feature/x", "type": "BRANCH",
                "latestCommit": "70b0d7be6f073634f7910a2cb5bbed9ec1306dff", "repository": repository},
            "toRef": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH",
                "latestCommit": "8d51122def5632836d1cb1026e879069e10a1e13", "repository": repository},
            "locked": false, "author": {"user": alice, "role": "AUTHOR", "approved": false, "status": "UNAPPROVED"},
            "reviewers": [], "participants": [],
            "links": {"self": [{"href": "https://bitbucket.example.com/projects/PROJ/repos/demo/pull-requests/1"}]},
        },
        "comment": {
            "properties": {"repositoryId": 84}, "id": 10_000 + number, "version": 0, "text": text, "author": alice,
            "createdDate": 1_750_143_420_120_u64, "updatedDate": 1_750_143_420_120_u64, "comments": [], "tasks": [],
            "severity": "NORMAL", "state": "OPEN", "threadResolved": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_is_signed_over_a_body_of_five_kibibytes() {
        let address = "127.0.0.1:1".parse().unwrap();
        let deliveries = Deliveries::signed(address).unwrap();
        assert_eq!(deliveries.len(), 512);
        let request = String::from_utf8(deliveries.get(513).to_vec()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 5120);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        assert!(head.ends_with(&hex::encode(mac.finalize().into_bytes())));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["comment"]["id"], &body["pullRequest"]["id"]),
            (&json!(10_001), &json!(2))
        );
    }
}
