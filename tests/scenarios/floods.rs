//! Bodies without an end, many at once: refused one by one, while memory stays where it was and deliveries go through.

use std::fs;

use tests::setup::Setup;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections that send at the same time.
const AT_ONCE: usize = 100;
/// What each sends unless it is refused before: twice the limit of a body.
const SENT_EACH: usize = 2 * 1024 * 1024;
/// Twice the memory set aside for bodies, and the connections' own; a tenth of what is sent.
const GROWTH_MAX: u64 = 80 * 1024 * 1024;

/// One request whose chunked body has no end; its answer.
async fn sends_without_end(address: String, path: String) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    let mut sent = 0;
    while sent < SENT_EACH && socket.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 0x4000;
    }
    let mut answer = Vec::new();
    // The server closes without reading the rest, which may reset the connection before its answer is read.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A hundred of them; how many answers could still be read, all of which were refusals.
async fn flood(world: &World) -> usize {
    let url = world.webhook_url();
    let (address, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let mut senders = JoinSet::new();
    for _ in 0..AT_ONCE {
        senders.spawn(sends_without_end(address.to_owned(), format!("/{path}")));
    }
    let answers = tokio::time::timeout(WAIT_MAX, senders.join_all()).await;
    let answers = answers.expect("every connection is answered or closed");
    let read: Vec<&String> = answers.iter().filter(|answer| !answer.is_empty()).collect();
    for answer in &read {
        assert!(
            answer.starts_with("HTTP/1.1 413 ") || answer.starts_with("HTTP/1.1 408 "),
            "{answer}"
        );
    }
    read.len()
}

/// The most memory the process has had, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_bodies_are_refused_while_memory_stays_bounded_and_deliveries_go_through() {
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let pid = world.child("webhook-ingest").unwrap().pid().unwrap();
        let before = peak(pid);
        let mut refused = 0;
        for _ in 0..3 {
            refused += flood(world).await;
        }
        assert!(refused > 0, "no refusal could be read");
        let grown = peak(pid) - before;
        assert!(grown < GROWTH_MAX, "grew by {grown} bytes");
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}
