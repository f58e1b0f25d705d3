//! Everywhere a secret could turn up.

use std::path::Path;

use async_nats::jetstream;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tests::world::World;
use tokio::process::Command;

use crate::looking_in::page;

/// What was looked at, by its name.
pub(super) type Sinks = Vec<(String, Vec<u8>)>;

/// Everything outside the agent: logs, pages, NATS, replies, what Bitbucket and the model were sent, pushed objects.
pub(super) async fn outside(world: &World) -> Sinks {
    let mut sinks = Sinks::new();
    let mut add = |name: &str, bytes: Vec<u8>| sinks.push((name.to_owned(), bytes));
    add("the log", std::fs::read(world.path("up.log")).unwrap());
    for path in ["/metrics", "/readyz"] {
        add(path, page(world, path).await.into_bytes());
    }
    for number in 1..=world.setup.pull_requests {
        let comments = world.pull_request(number).bots_comments().await;
        let replies: Vec<_> = comments.into_iter().map(|comment| comment.raw).collect();
        add("replies", replies.join("\n").into_bytes());
    }
    let model = world.model.requests().into_iter().map(|request| {
        // The key and the gateway's header are for the model, and for nobody else.
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| !["authorization", "x-gateway"].contains(&name.as_str()));
        format!(
            "{} {} {:?}\n{}\n",
            request.method,
            request.path,
            headers.collect::<Vec<_>>(),
            request.body
        )
    });
    add("requests to the model", model.collect::<String>().into_bytes());
    add(
        "requests to Bitbucket",
        bots_requests(world)
            .await
            .iter()
            .map(Value::to_string)
            .collect::<String>()
            .into_bytes(),
    );
    sinks.extend(streams(world).await);
    sinks.extend(files(world));
    sinks.push(("pushed objects".to_owned(), pushed(world).await));
    sinks
}

/// What the bot has asked of Bitbucket.
pub(super) async fn bots_requests(world: &World) -> Vec<Value> {
    let all = world
        .control("GET", "/sim/v1/requests", Value::Null)
        .await
        .unwrap();
    let all = all
        .as_array()
        .or_else(|| all["values"].as_array())
        .expect("a list of requests");
    all.iter()
        .filter(|request| request["user"] == "openhands")
        .cloned()
        .collect()
}

/// Every message of every stream: queues, records, objects. The pieces of an object follow each other.
async fn streams(world: &World) -> Sinks {
    use futures::TryStreamExt as _;
    let settings = worker::managed::running(&world.data_dir()).expect("a managed server runs");
    let password = settings
        .password
        .as_ref()
        .expect("it wants a password")
        .expose_secret()
        .to_owned();
    let user = settings.user.clone().expect("it wants a user");
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let client = options
        .connect(settings.url.expect("it has a URL"))
        .await
        .unwrap();
    let context = jetstream::new(client);
    let mut sinks = Sinks::new();
    let names: Vec<String> = context.stream_names().try_collect().await.unwrap();
    for name in names {
        let mut stream = context.get_stream(&name).await.unwrap();
        let state = stream.info().await.unwrap().state.clone();
        let mut all = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            // What was taken from the middle is gone.
            if let Ok(message) = stream.get_raw_message(sequence).await {
                all.extend_from_slice(message.subject.as_bytes());
                all.extend_from_slice(format!("{:?}", message.headers).as_bytes());
                all.extend_from_slice(&message.payload);
            }
        }
        sinks.push((format!("stream {name}"), all));
    }
    assert!(sinks.len() >= 5, "only {} streams were seen", sinks.len());
    sinks
}

/// What is on disk below `data_dir`, what NATS has deleted included; not where the server's own password is kept.
fn files(world: &World) -> Sinks {
    let mut sinks = Sinks::new();
    let data = world.data_dir();
    walk(&data, &mut |path| {
        let name = path.strip_prefix(&data).unwrap_or(path).display().to_string();
        let is_access = name == "nats/access.json" || path.extension().is_some_and(|kind| kind == "conf");
        if !is_access && let Ok(bytes) = std::fs::read(path) {
            sinks.push((format!("file {name}"), bytes));
        }
    });
    assert!(
        sinks
            .iter()
            .any(|(name, _)| Path::new(name).extension().is_some_and(|kind| kind == "blk")),
        "JetStream keeps blocks"
    );
    sinks
}

/// Every regular file below `directory`. Links are left alone.
pub(super) fn walk(directory: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => walk(&path, look),
            Ok(kind) if kind.is_file() => look(&path),
            _ => {}
        }
    }
}

/// Every object that Bitbucket has, unpacked, and the names of all refs.
async fn pushed(world: &World) -> Vec<u8> {
    let url = world.pull_request(1).clone_url();
    let directory = tempfile::tempdir().unwrap();
    git(directory.path(), &["clone", "--quiet", "--mirror", &url, "."]).await;
    let mut all = git(directory.path(), &["cat-file", "--batch-all-objects", "--batch"]).await;
    all.extend(git(directory.path(), &["for-each-ref"]).await);
    all
}

/// What the git command prints, byte by byte.
pub(super) async fn git(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "people use git")]
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
