//! The whole way: a sandbox, the proxy, and the program in a cell between the scripted model and a work tree.

use std::sync::Mutex;
use std::time::Duration;

use agent::{
    Api, BackEnd, CodingAgent as _, Endpoint, Error, Limits, Patience, Prices, Progress, Provider, Report,
    Sandboxed, Task, Usage,
};
use pipeline::ids::RunId;
use sandbox::{Level, Mode, Namespaces, Sandbox, Settings};
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::world::{LIMIT, World};

/// More messages than any test sends, so that none is lost.
const PROGRESS_MAX: usize = 1000;

/// The key that must not be seen in the cell.
pub(crate) const REAL_KEY: &str = "the-real-key";

/// One of each kind for all tests, as proving it takes a moment.
async fn sandbox(namespaces: Namespaces) -> Sandbox {
    static AUTO: OnceCell<Sandbox> = OnceCell::const_new();
    static NEVER: OnceCell<Sandbox> = OnceCell::const_new();
    let sandbox = if namespaces == Namespaces::Never {
        &NEVER
    } else {
        &AUTO
    };
    let start = || {
        Sandbox::start(Settings {
            mode: Mode::Enforce,
            namespaces,
            user: None,
            read_paths: Vec::new(),
            executable: env!("CARGO_BIN_EXE_agent-inner").into(),
        })
    };
    sandbox.get_or_try_init(start).await.expect("a sandbox").clone()
}

pub(crate) struct CellWorld {
    pub(crate) world: World,
    api: Api,
    sandbox: Sandbox,
    pub(crate) endpoint: Endpoint,
    progress: (mpsc::Sender<Progress>, Mutex<mpsc::Receiver<Progress>>),
}

impl CellWorld {
    pub(crate) async fn with(script: Value) -> Self {
        Self::speaking(Api::Chat, script).await
    }

    pub(crate) async fn speaking(api: Api, script: Value) -> Self {
        let (name, provider) = match api {
            Api::Chat => ("chat", Provider::OpenAi),
            Api::Responses => ("responses", Provider::OpenAi),
            Api::Messages => ("messages", Provider::Anthropic),
        };
        let world = World::speaking(name, script).await;
        let endpoint = Endpoint {
            provider,
            base_url: world.model().base_url(),
            api_key: Some(REAL_KEY.into()),
            headers: vec![("X-Gateway".to_owned(), "team-7".into())],
            http: agent::http_client(None, None).expect("no special settings"),
            model: "vendor::qwen-high".to_owned(),
            prices: Some(Prices {
                input: 1.0,
                cached_input: 0.1,
                output: 5.0,
            }),
            effort: None,
        };
        let (sender, receiver) = mpsc::channel(PROGRESS_MAX);
        Self {
            world,
            api,
            sandbox: sandbox(Namespaces::Auto).await,
            endpoint,
            progress: (sender, Mutex::new(receiver)),
        }
    }

    /// The same with a sandbox that has no namespaces.
    pub(crate) async fn without_namespaces(mut self) -> Self {
        self.sandbox = sandbox(Namespaces::Never).await;
        assert_eq!(self.sandbox.level(), Level::One);
        self
    }

    pub(crate) fn task(&self, brief: &str) -> Task {
        Task {
            run: RunId::new("r-0123456789ab").expect("a run id"),
            brief: brief.to_owned(),
            work_tree: self.world.tree(),
            home: self.world.home(),
            tmp: self.world.tmp(),
            model: None,
            limits: Limits::new(50, 10_000_000, LIMIT),
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) async fn run(&self, brief: &str) -> Result<Report, Error> {
        self.run_task(self.task(brief)).await
    }

    pub(crate) async fn run_task(&self, task: Task) -> Result<Report, Error> {
        let agent = Sandboxed::new(
            self.sandbox.clone(),
            env!("CARGO_BIN_EXE_agent-inner").into(),
            self.endpoint.clone(),
            BackEnd::Builtin(self.api),
        )?;
        let agent = agent.with_patience(Patience {
            tries: 3,
            first_wait: Duration::from_millis(1),
            wait_max: Duration::from_millis(10),
            retry_after_max: Duration::from_secs(5),
            ..Patience::default()
        });
        assert_eq!(agent.name(), "builtin");
        let run = agent.run(task, self.progress.0.clone());
        let ended = tokio::time::timeout(2 * LIMIT, run);
        ended
            .await
            .expect("the run ends")
            .map_err(|broken_off| *broken_off.error)
    }

    /// From now on nobody listens to the progress.
    pub(crate) fn hang_up(&self) {
        self.progress.1.lock().expect("not poisoned").close();
    }

    /// The steps and the usage told so far.
    pub(crate) fn progress(&self) -> (Vec<String>, Vec<Usage>) {
        let mut receiver = self.progress.1.lock().expect("not poisoned");
        let (mut steps, mut usage) = (Vec::new(), Vec::new());
        while let Ok(told) = receiver.try_recv() {
            match told {
                Progress::Step(step) => steps.push(step),
                Progress::Usage(used) => usage.push(used),
            }
        }
        (steps, usage)
    }
}
