//! A scripted model, a work tree, and the program between them.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use scripted_llm::{Request, Script, ScriptedLlm};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// Far more than anything here takes; a test that reaches it has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What lines of the program carry.
const SEAL: &str = "the-seal";

/// What the program finds in its environment, beside HOME.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(crate) struct World {
    model: Option<ScriptedLlm>,
    base_url: String,
    api: &'static str,
    dir: tempfile::TempDir,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) steps: Vec<String>,
    /// The report, without its frame.
    pub(crate) report: Option<Value>,
    /// Lines that are neither.
    pub(crate) garbage: Vec<String>,
    pub(crate) stderr: String,
}

/// A scripted reply that calls one tool.
pub(crate) fn call(name: &str, arguments: Value) -> Value {
    json!({"tool_calls": [{"name": name, "arguments": arguments}]})
}

impl Ran {
    /// A field of the report.
    pub(crate) fn said(&self, field: &str) -> &Value {
        let report = self.report.as_ref();
        &report.unwrap_or_else(|| panic!("no report: {self:?}"))[field]
    }

    /// The summary, of a run that finished.
    pub(crate) fn summary(&self) -> &str {
        assert_eq!(self.said("ended"), "finished", "{self:?}");
        self.said("summary").as_str().unwrap_or_default()
    }
}

impl World {
    /// A model that is asked through chat completions.
    pub(crate) async fn with(script: Value) -> Self {
        Self::speaking("chat", script).await
    }

    pub(crate) async fn speaking(api: &'static str, script: Value) -> Self {
        let script = Script::from_value(script).expect("the test's script is valid");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedLlm::start(listen, script)
            .await
            .expect("loopback is free");
        let dir = tempfile::tempdir().expect("a temporary directory");
        // The user that agents run as has to get through.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("ours");
        for name in ["tree", "home", "tmp"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self {
            base_url: format!("http://{}", model.addr()),
            model: Some(model),
            api,
            dir,
        }
    }

    pub(crate) fn model(&self) -> &ScriptedLlm {
        self.model.as_ref().expect("the model is running")
    }

    pub(crate) async fn stop_model(&mut self) {
        let model = self.model.take().expect("the model is running");
        model.shutdown().await.expect("it stops");
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.tree().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("made");
        std::fs::write(path, content).expect("written");
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.tree().join(path)).expect("the file exists")
    }

    /// The line the program is given.
    pub(crate) fn order(&self, brief: &str) -> Value {
        json!({
            "brief": brief,
            "work_tree": self.tree(),
            "base_url": self.base_url,
            "key": "the-key",
            "model": "vendor::qwen-high",
            "api": self.api,
            "wall": {"secs": LIMIT.as_secs(), "nanos": 0},
            "command_wall": {"secs": LIMIT.as_secs(), "nanos": 0},
            "output_bytes": 10_000,
            "seal": SEAL,
        })
    }

    pub(crate) async fn run(&self, brief: &str) -> Ran {
        self.run_order(&self.order(brief).to_string()).await
    }

    pub(crate) async fn run_order(&self, order: &str) -> Ran {
        ended(self.start(order).await).await
    }

    /// Starts the program and gives it its order.
    pub(crate) async fn start(&self, order: &str) -> Child {
        given(self.command(), order).await
    }

    /// As [`World::start`], as another user, to whom the work tree then belongs. Only root can do that.
    pub(crate) async fn start_as(&self, user: u32, order: &str) -> Child {
        chown(self.tree(), Some(user), Some(user)).expect("we are root");
        let mut command = self.command();
        command.uid(user).gid(user);
        given(command, order).await
    }

    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the program is started without a cell, to see it by itself"
        )]
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-inner"));
        command
            .arg("builtin-agent")
            .current_dir(self.tree())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.model().requests()
    }

    /// The tool results that the model has seen, in order.
    pub(crate) fn results(&self) -> Vec<String> {
        let last = self.requests().pop().expect("a request").body;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let results: Vec<Value> = match self.api {
            "chat" => list(&last["messages"])
                .into_iter()
                .filter(|message| message["role"] == "tool")
                .map(|message| message["content"].clone())
                .collect(),
            "responses" => list(&last["input"])
                .into_iter()
                .filter(|item| item["type"] == "function_call_output")
                .map(|item| item["output"].clone())
                .collect(),
            _ => list(&last["messages"])
                .iter()
                .flat_map(|message| list(&message["content"]))
                .filter(|block| block["type"] == "tool_result")
                .map(|block| block["content"].clone())
                .collect(),
        };
        results
            .iter()
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    }
}

async fn given(mut command: Command, order: &str) -> Child {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A program that does not want its order says so in its own way.
    let _ = stdin.write_all(order.as_bytes()).await;
    child
}

/// Waits for the end of a started program and reads what it printed.
pub(crate) async fn ended(child: Child) -> Ran {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output());
    let output = output
        .await
        .expect("the program ends")
        .expect("it can be waited for");
    let mut ran = Ran {
        status: output.status,
        steps: Vec::new(),
        report: None,
        garbage: Vec::new(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        if line.is_empty() {
            continue;
        }
        if value["seal"] != SEAL {
            ran.garbage.push(line.to_owned());
        } else if let Some(step) = value["step"].as_str() {
            ran.steps.push(step.to_owned());
        } else if value["report"].is_object() {
            assert!(ran.report.is_none(), "two reports");
            ran.report = Some(value["report"].clone());
        } else {
            ran.garbage.push(line.to_owned());
        }
    }
    ran
}
