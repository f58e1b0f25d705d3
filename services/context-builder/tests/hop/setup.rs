//! The configuration of the role and the simulated Bitbucket's world.

use std::collections::BTreeMap;

use config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) fn settings(directory: &TempDir, base_url: &str) -> Config {
    let at = |name: &str| directory.path().join(name).display().to_string();
    for secret in ["bot-token", "hook"] {
        std::fs::write(
            at(secret),
            if secret == "hook" {
                "a-secret"
            } else {
                "openhands-t"
            },
        )
        .unwrap();
    }
    let text = format!(
        "data_dir = \"{}\"\n[nats]\nack_wait_seconds = 3\n[sandbox]\nmode = \"off\"\n[llm]\nbase_url = \"http://127.0.0.1:1\"\n\
         [[model]]\nalias = \"default\"\nmodel = \"none\"\n[permission]\ndeny_users = [\"mallory\"]\n[limits]\nruns_per_pull_request_hour = 1000\n\
         [[connection]]\nid = \"main\"\nbase_url = \"{base_url}\"\nbot_token_file = \"{}\"\n\
         webhook_secret_files = [\"{}\"]\nrepositories = [\"PROJ/*\"]\n",
        at("data"),
        at("bot-token"),
        at("hook"),
    );
    std::fs::create_dir(at("data")).unwrap();
    std::fs::write(at("resolver.toml"), text).unwrap();
    config::load_with(at("resolver.toml").as_ref(), BTreeMap::new()).unwrap()
}

/// What the target branch says.
const SECOND_PERSON: &str = "[permission]\nplan_needs_second_person = true\n";

pub(crate) fn document() -> Value {
    let person = |name: &str, right: &str| json!({"name": name, "email": format!("{name}@example.test"), "tokens": [{"token": format!("{name}-t"), "permission": right}]});
    json!({
        "users": [person("alice", "REPO_WRITE"), person("bob", "REPO_READ"), person("mallory", "REPO_WRITE"), person("carol", "REPO_WRITE"), person("nobody", "REPO_READ"), person("openhands", "REPO_WRITE")],
        "projects": [{"key": "PROJ"}],
        "repositories": [{
            "project": "PROJ", "slug": "demo", "id": 84,
            "branches": {
                "main": {"files": {"a.rs": "fn add() {}\n", ".openhands/resolver.toml": SECOND_PERSON}},
                "feature/x": {"from": "main", "files": {"a.rs": "fn add() {}\nfn sub() {}\n"}},
            },
            "permissions": {"alice": "REPO_WRITE", "bob": "REPO_READ", "mallory": "REPO_WRITE", "carol": "REPO_WRITE", "openhands": "REPO_WRITE"},
        }],
        "pull_requests": [{"repository": "PROJ/demo", "from": "feature/x", "to": "main", "author": "alice", "title": "Subtract"}],
    })
}
