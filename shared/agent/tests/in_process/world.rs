//! A scripted model, a work tree, and the agent between them.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use agent::{Builtin, CodingAgent as _, Error, Limits, ModelSettings, Progress, Report, Retries, Task};
use pipeline::ids::RunId;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use scripted_llm::{Request, Script, ScriptedLlm};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Far more than anything here takes; a test that reaches it has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// More messages than any test sends, so that none is lost.
const PROGRESS_MAX: usize = 100;

pub(crate) struct World {
    model: Option<ScriptedLlm>,
    agent: Builtin,
    dir: tempfile::TempDir,
    progress: (mpsc::Sender<Progress>, Mutex<mpsc::Receiver<Progress>>),
}

/// A scripted reply that calls one tool.
pub(crate) fn call(name: &str, arguments: Value) -> Value {
    json!({"tool_calls": [{"name": name, "arguments": arguments}]})
}

impl World {
    pub(crate) async fn with(script: Value) -> Self {
        let script = Script::from_value(script).expect("the test's script is valid");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedLlm::start(listen, script)
            .await
            .expect("loopback is free");
        let agent = Builtin::new(ModelSettings {
            base_url: model.base_url(),
            api_key: Some("the-key".into()),
            headers: vec![("X-Gateway".to_owned(), "team-7".into())],
            // genai would read a namespace and a reasoning effort into it.
            model: "vendor::qwen-high".to_owned(),
            http: agent::http_client(None, None).expect("no special settings"),
        })
        .expect("usable settings")
        .with_retries(Retries {
            tries: 3,
            first_wait: Duration::from_millis(1),
            wait_max: Duration::from_millis(10),
            retry_after_max: Duration::from_secs(5),
        });
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["tree", "home"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let (sender, receiver) = mpsc::channel(PROGRESS_MAX);
        Self {
            model: Some(model),
            agent,
            dir,
            progress: (sender, Mutex::new(receiver)),
        }
    }

    pub(crate) fn model(&self) -> &ScriptedLlm {
        self.model.as_ref().expect("the model is running")
    }

    pub(crate) async fn stop_model(&mut self) {
        self.model
            .take()
            .expect("the model is running")
            .shutdown()
            .await
            .expect("it stops");
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.tree().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("made");
        std::fs::write(path, content).expect("written");
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.tree().join(path)).expect("the file exists")
    }

    pub(crate) fn task(&self, brief: &str) -> Task {
        Task {
            run: RunId::new("r-0123456789ab").expect("a run id"),
            brief: brief.to_owned(),
            work_tree: self.tree(),
            home: self.home(),
            tmp: self.home(),
            limits: Limits::new(50, 10_000_000, LIMIT),
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) async fn run(&self, brief: &str) -> Result<Report, Error> {
        self.run_task(self.task(brief)).await
    }

    pub(crate) async fn run_task(&self, task: Task) -> Result<Report, Error> {
        let run = self.agent.run(task, self.progress.0.clone());
        tokio::time::timeout(2 * LIMIT, run).await.expect("the run ends")
    }

    /// A command of the test itself.
    pub(crate) async fn shell(&self, script: &str) {
        let output = sandbox::run(sandbox::Command {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            work_dir: self.tree(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            time_limit: LIMIT,
            output_bytes_max: 1000,
            stderr: sandbox::Stderr::WithStdout,
            cancel: CancellationToken::new(),
        });
        assert_eq!(output.await.expect("it runs").ended, sandbox::Ended::Exited(0));
    }

    /// A fifo in the work tree, and what is written to it until it is closed.
    pub(crate) fn fifo(&self, name: &str) -> oneshot::Receiver<String> {
        let path = self.tree().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo can be made");
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            File::open(path)?.read_to_string(&mut text)?;
            // A test that has already failed does not listen any more.
            let _ = sender.send(text);
            std::io::Result::Ok(())
        });
        receiver
    }

    /// From now on nobody listens to the progress.
    pub(crate) fn hang_up(&self) {
        self.progress.1.lock().expect("not poisoned").close();
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        let mut receiver = self.progress.1.lock().expect("not poisoned");
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        let steps = self.progress().into_iter();
        steps
            .filter_map(|told| {
                if let Progress::Step(step) = told {
                    Some(step)
                } else {
                    None
                }
            })
            .collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.model().requests()
    }

    /// The tool results that the model has seen, in order.
    pub(crate) fn results(&self) -> Vec<String> {
        let last = self.requests().pop().expect("a request");
        let messages = last.body["messages"].as_array().cloned().unwrap_or_default();
        let tools = messages.iter().filter(|message| message["role"] == "tool");
        tools
            .filter_map(|message| message["content"].as_str().map(str::to_owned))
            .collect()
    }
}
