//! The demo's repository, its people, the request, and what the scripted model does about it.

use serde_json::{Value, json};

/// What alice asks for.
pub(crate) const REQUEST: &str =
    "@openhands `mean` raises ZeroDivisionError for an empty list. Please return 0.0 there and add a test.";

/// How long the scripted model takes for an answer: longer than the resolver waits between two steps it notes, so that
/// every step is seen.
const THINKING_MS: u64 = 1_300;

const STATS: &str =
    "\"\"\"Small statistics.\"\"\"\n\n\ndef mean(values):\n    return sum(values) / len(values)\n";
const TEST: &str = "import unittest\n\nfrom stats import mean\n\n\nclass MeanTest(unittest.TestCase):\n    def test_mean(self):\n        self.assertEqual(mean([1, 2, 3]), 2)\n";

/// One repository with one pull request by alice.
pub(crate) fn world() -> Value {
    json!({
        "users": [
            {"name": "alice", "email": "alice@example.test", "tokens": [{"token": "alice-t", "permission": "REPO_WRITE"}]},
            {"name": "bob", "email": "bob@example.test", "tokens": [{"token": "bob-t", "permission": "REPO_READ"}]},
            {"name": "openhands", "email": "bot@example.test", "tokens": [{"token": "bot-t", "permission": "REPO_WRITE"}]},
            {"name": "root", "admin": true, "tokens": [{"token": "root-t", "permission": "REPO_ADMIN"}]},
        ],
        "projects": [{"key": "PROJ"}],
        "repositories": [{
            "project": "PROJ", "slug": "demo", "id": 84,
            "branches": {
                "main": {"files": {"README.md": "# Statistics\n"}},
                "feature/mean": {"from": "main", "files": {"stats.py": STATS, "test_stats.py": TEST}},
            },
            "permissions": {"alice": "REPO_WRITE", "bob": "REPO_READ", "openhands": "REPO_WRITE"},
        }],
        "pull_requests": [{
            "repository": "PROJ/demo", "from": "feature/mean", "to": "main", "author": "alice", "title": "Add mean",
        }],
    })
}

/// The one fix the scripted model knows, told apart by the request; for anything else it leaves a note.
pub(crate) fn script() -> Value {
    let add_test = "printf '\\n    def test_mean_of_nothing(self):\\n        self.assertEqual(mean([]), 0.0)\\n' >> test_stats.py && python3 -m unittest -q 2>&1; rm -rf __pycache__";
    let note =
        "date -u '+%Y-%m-%dT%H:%M:%SZ someone asked for something this script does not know' >> NOTES.md";
    let calls = |calls: Value| json!({"delay_ms": THINKING_MS, "then": {"tool_calls": calls}});
    json!([
        {"when": "raises ZeroDivisionError for an empty list", "times": 1, "reply": calls(json!([
            {"name": "view", "arguments": {"path": "stats.py"}},
        ]))},
        {"when": "sum(values) / len(values)", "times": 1, "reply": calls(json!([
            {"name": "edit", "arguments": {
                "path": "stats.py",
                "old": "    return sum(values) / len(values)\n",
                "new": "    if not values:\n        return 0.0\n    return sum(values) / len(values)\n",
            }},
        ]))},
        {"when": "edited stats.py", "times": 1, "reply": calls(json!([
            {"name": "bash", "arguments": {"command": add_test}},
        ]))},
        {"when": "OK", "times": 1, "reply": calls(json!([{"name": "finish", "arguments": {
            "summary": "Return 0.0 from mean for an empty list\n\n- `mean` returns 0.0 when there are no values\n- a test covers it",
            "not_done": [], "questions": [],
        }}]))},
        {"reply": calls(json!([
            {"name": "bash", "arguments": {"command": note}},
            {"name": "finish", "arguments": {
                "summary": "Leave a note\n\nThis demo's model is scripted: it wrote the time into NOTES.md.",
                "not_done": ["What was asked: a scripted model cannot."], "questions": [],
            }},
        ]))},
    ])
}
