//! The world of the evil agent: canaries in every place where a secret is, listeners outside, and its orders.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::children::processes_of;
use tests::inside;
use tests::setup::{Setup, Tokens};
use tests::thread;
use tests::waiting::{WAIT_MAX, until};
use tests::world::World;

use super::canaries::{Canaries, PREFIX};
use super::collector::Collector;
use super::sinks;

/// The variable in the resolver's environment that is a secret.
pub(super) const VARIABLE: &str = "DEPLOY_PASSWORD";
/// What it may take: less than a hog wants, more than everything else does.
const LIMITS: &str = "memory_bytes_max = 268435456\ndisk_bytes_max = 100663296\n";

/// The agent's files.
const PARTS: [&str; 6] = [
    "agent.py",
    "look.py",
    "obedient.py",
    "payloads.py",
    "stay.py",
    "ways_out.py",
];

/// What is outside the resolver, and stays the same for all runs of a scenario.
pub(super) struct Stage {
    pub(super) canaries: Canaries,
    pub(super) collector: Collector,
    /// Takes the resolver's own spans.
    pub(super) spans: Collector,
    /// Files of the machine's that are none of the world's: secrets, a home, what anybody may write to.
    directory: TempDir,
    shm_key: u32,
    /// An interpreter, and where it has its library.
    python: (String, PathBuf),
}

/// How an agent is told what to do, and how it is held.
#[derive(Clone, Copy)]
pub(super) struct Cast {
    /// Whether it is a command of its own; otherwise the built-in agent is told by its model.
    pub(super) is_command: bool,
    /// Lines of `[sandbox]`.
    pub(super) sandbox: &'static str,
    /// What stands where the work tree's repository would be.
    pub(super) git_as: &'static str,
    /// Whether it must not harm the machine.
    pub(super) polite: bool,
}

impl Stage {
    /// Plants what a resolver does not make itself.
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["outside", "markers", "home"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            // Anybody may write there, so only the sandbox can be what keeps somebody from it.
            std::fs::set_permissions(directory.path().join(name), PermissionsExt::from_mode(0o777)).unwrap();
        }
        // Beside the rest, where a user of its own can read it wherever this checkout is.
        std::fs::create_dir(directory.path().join("agent")).unwrap();
        for part in PARTS {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("evil-agent")
                .join(part);
            std::fs::copy(from, directory.path().join("agent").join(part)).unwrap();
        }
        let mut canaries = Canaries::default();
        let home = directory.path().join("home/.ssh");
        std::fs::create_dir(&home).unwrap();
        let key = canaries.plant("a key in the resolver's home");
        std::fs::write(
            home.join("id_ed25519"),
            format!("-----BEGIN KEY-----\n{key}\n-----END KEY-----\n"),
        )
        .unwrap();
        for (name, what) in [
            ("model-key", "the model's key"),
            ("deploy.key", "a file beside the others"),
        ] {
            std::fs::write(directory.path().join(name), canaries.plant(what)).unwrap();
        }
        let header = canaries.plant("the gateway's header");
        std::fs::write(directory.path().join("headers"), format!("X-Gateway: {header}\n")).unwrap();
        let collector = Collector::open(&directory.path().join("outside/door.sock"))
            .await
            .unwrap();
        std::fs::set_permissions(
            directory.path().join("outside/door.sock"),
            PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        let spans = Collector::open(&directory.path().join("spans.sock"))
            .await
            .unwrap();
        Self {
            canaries,
            spans,
            // No two scenarios at a time have the same port.
            shm_key: 0x4556_0000 | u32::from(collector.tcp.port()),
            collector,
            directory,
            python: python(),
        }
    }

    /// The interpreter and the program.
    pub(super) fn agent(&self) -> [String; 2] {
        [
            self.python.0.clone(),
            self.path("agent/agent.py").display().to_string(),
        ]
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A world in which every secret is a canary.
    pub(super) fn setup(&mut self, cast: Cast) -> Setup {
        let config = if cast.is_command {
            self.config("agent.py", cast.sandbox)
        } else {
            self.sandbox(cast.sandbox)
        };
        let mut plant = |name: &str| self.canaries.plant(name);
        let tokens = Tokens {
            alice: plant("alice's token"),
            bob: plant("bob's token"),
            bot: plant("the bot's token"),
            root: plant("the administrator's token"),
        };
        let (webhook_secret, variable) = (plant("the webhook secret"), plant("a variable of the resolver's"));
        Setup {
            pull_requests: 5,
            tokens,
            webhook_secret,
            environment: vec![
                (VARIABLE.to_owned(), variable),
                ("HOME".to_owned(), self.path("home").display().to_string()),
            ],
            llm_settings: format!(
                "api_key_file = \"{}\"\nheaders_file = \"{}\"\n",
                self.path("model-key").display(),
                self.path("headers").display()
            ),
            config: format!(
                "{config}[telemetry]\nfilter = \"trace\"\notlp_endpoint = \"http://{}\"\n",
                self.spans.tcp
            ),
            ..Setup::default()
        }
    }

    /// The configuration that has this part of the agent work, with lines of `[sandbox]`.
    pub(super) fn config(&self, part: &str, sandbox: &str) -> String {
        format!(
            "[agent]\nkind = \"command\"\ncommand = [\"{}\", \"-B\", \"{}\", \"{{prompt_file}}\"]\n{}",
            self.python.0,
            self.path("agent").join(part).display(),
            self.sandbox(sandbox)
        )
    }

    fn sandbox(&self, lines: &str) -> String {
        let (agent, python) = (self.path("agent"), &self.python.1);
        format!(
            "[sandbox]\nread_paths = [\"{}\", \"{}\"]\n{LIMITS}{lines}",
            agent.display(),
            python.display()
        )
    }

    /// What the managed server has made up is a secret, too.
    pub(super) fn learn(&mut self, world: &World) {
        let settings = worker::managed::running(&world.data_dir()).expect("a managed server runs");
        let password = settings.password.expect("it wants a password");
        self.canaries.add("the NATS password", password.expose_secret());
    }

    /// Everything an attacker could wish to know, and where nothing ought to get to.
    pub(super) fn orders(&self, world: &World, cast: Cast, run: &str) -> Value {
        let up = world.child("up").unwrap();
        let address = |text: &str| {
            let (host, port) = text.rsplit_once(':').expect("an address");
            json!([host, port.parse::<u16>().expect("a port")])
        };
        let says = |key: &str| address(up.says[key].as_str().expect("it says where it listens"));
        let of_url = |url: &str| address(url.split("://").nth(1).unwrap().split('/').next().unwrap());
        let nats = worker::managed::running(&world.data_dir())
            .and_then(|nats| nats.url)
            .unwrap();
        let read = [
            "bot-token",
            "hook-secret",
            "resolver.toml",
            "resolver/nats/access.json",
        ]
        .map(|name| world.path(name))
        .into_iter()
        .chain(["model-key", "headers", "deploy.key", "home/.ssh/id_ed25519"].map(|name| self.path(name)));
        json!({
            "run": run, "prefix": PREFIX, "polite": cast.polite, "git_as": cast.git_as, "shm_key": self.shm_key,
            "read": read.collect::<Vec<_>>(),
            "walk": [world.directory.path(), self.directory.path()],
            "pids": [up.pid(), inside::managed_nats_pid(world).unwrap()],
            "tcp": {
                "nats": of_url(&nats), "health": says("health"), "ingest": says("ingest"),
                "bitbucket": of_url(&world.bitbucket.base_url()), "model": of_url(&world.model.base_url()),
                "collector": [self.collector.tcp.ip(), self.collector.tcp.port()],
                "ipv6": [self.collector.tcp6.ip(), self.collector.tcp6.port()],
            },
            "udp": [self.collector.udp.ip(), self.collector.udp.port()],
            "udp6": [self.collector.udp6.ip(), self.collector.udp6.port()],
            "unix": self.path("outside/door.sock"), "abstract": self.collector.name,
            "outside": self.path("outside"), "markers": self.path("markers"), "home": self.path("home"),
        })
    }

    /// Whether System V shared memory of the agent's exists outside.
    pub(super) fn has_shared_memory(&self) -> bool {
        let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let key = i32::try_from(self.shm_key).expect("it is positive").to_string();
        segments
            .lines()
            .any(|line| line.split_whitespace().next() == Some(&key))
    }

    /// What was left in a directory that anybody may write to, beside what was there.
    pub(super) fn left_in(&self, name: &str) -> Vec<String> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(self.path(name)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !["door.sock", ".ssh"].contains(&name.as_str()) {
                left.push(name);
            }
        }
        left
    }
}

/// An interpreter that runs by itself. What is on PATH may be a script that looks for one.
fn python() -> (String, PathBuf) {
    const SYSTEM: &str = "/usr/bin/python3";
    if Path::new(SYSTEM).exists() {
        return (SYSTEM.to_owned(), PathBuf::from("/usr/bin"));
    }
    #[expect(clippy::disallowed_methods, reason = "which interpreter the agent gets")]
    let said = std::process::Command::new("python3")
        .args([
            "-c",
            "import sys; print(sys.executable, sys.base_prefix, sep='\\n')",
        ])
        .output()
        .expect("python3 is on PATH");
    let said = String::from_utf8(said.stdout).expect("paths are UTF-8");
    let (executable, prefix) = said.trim().split_once('\n').expect("two lines");
    (executable.to_owned(), PathBuf::from(prefix))
}

/// The orders as text for a comment.
pub(super) fn comment(orders: &Value) -> String {
    format!("@openhands please do this: ORDERS-BEGIN {orders} ORDERS-END")
}

/// What an agent has left for the test to read, copied while the agent waits.
pub(super) struct Dump {
    pub(super) copy: TempDir,
    pub(super) report: Value,
}

/// Waits until an agent has dumped all it could see, copies that, its home and its tree, and lets it go on.
pub(super) async fn dumped(world: &World) -> Dump {
    let work = world.data_dir().join("work");
    let look = || async {
        let mut found = None;
        sinks::walk(&work, &mut |path| {
            if path.ends_with("evil-dump/done") {
                found = path.parent().map(Path::to_owned);
            }
        });
        found
    };
    let found = until(WAIT_MAX, look).await;
    let Some(found) = found else {
        let thread = thread::print(&world.pull_request(1).comments().await);
        panic!("the agent dumps nothing\n{thread}\n{}", world.logs());
    };
    let report = std::fs::read(found.join("report.json")).unwrap();
    let root = found.ancestors().nth(2).expect("it is below its home").to_owned();
    let copy = tempfile::tempdir().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a copy with links and modes, as people make it"
    )]
    let copied = tokio::process::Command::new("cp")
        .arg("-rP")
        .arg(&root)
        .arg(copy.path().join("run"))
        .output()
        .await;
    let copied = copied.unwrap();
    // Its processes come and go meanwhile, and with them some of its files.
    eprintln!("{}", String::from_utf8_lossy(&copied.stderr));
    std::fs::write(found.join("go"), "").unwrap();
    Dump {
        copy,
        report: serde_json::from_slice(&report).unwrap(),
    }
}

/// Processes of an agent's that are there now.
pub(super) fn survivors(world: &World, stage: &Stage) -> Vec<String> {
    let mut left: Vec<_> = processes_of(&world.data_dir().join("work"))
        .unwrap()
        .into_iter()
        .map(|process| process.command)
        .collect();
    let agents = processes_of(&stage.path("agent")).unwrap();
    left.extend(agents.into_iter().map(|process| process.command));
    left
}
