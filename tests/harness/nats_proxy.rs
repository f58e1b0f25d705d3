//! A cable between a role and NATS that breaks at a chosen word, so that a moment between two messages can be reached.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::waiting::WAIT_MAX;

/// Read at a time; larger than most messages, which is all that matters.
const BUFFER_BYTES: usize = 64 * 1024;

/// A proxy in front of a nats-server. The first connection whose client says the word is cut there: neither the word
/// nor anything after it reaches the server, and nobody is told until the client closes. Later ones are left alone.
pub struct NatsProxy {
    port: u16,
    cut: Arc<watch::Sender<bool>>,
    /// Ends with the proxy.
    _serving: JoinSet<()>,
}

impl NatsProxy {
    /// Starts one in front of the server at `host:port`.
    pub async fn start(server: String, word: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let cut = Arc::new(watch::Sender::new(false));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, server, word, cut.clone()));
        Ok(Self {
            port,
            cut,
            _serving: serving,
        })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Waits until the word was said.
    pub async fn was_cut(&self) -> Result<()> {
        let mut cut = self.cut.subscribe();
        let said = tokio::time::timeout(WAIT_MAX, cut.wait_for(|cut| *cut)).await;
        said.context("the word was never said")??;
        Ok(())
    }
}

async fn serve(listener: TcpListener, server: String, word: &'static [u8], cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // A server that is away is the client's to notice: its connection ends.
        let Ok(server) = TcpStream::connect(&server).await else {
            continue;
        };
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        connections.spawn(say(from_client, to_server, word, cut.clone()));
        connections.spawn(async move { drop(copy(&mut from_server, &mut to_client).await) });
    }
}

/// Passes on what the client says, up to the word.
async fn say(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    word: &'static [u8],
    cut: Arc<watch::Sender<bool>>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    // The end of what was passed on: the word may come in two parts.
    let mut before = Vec::new();
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        before.extend_from_slice(&buffer[..read]);
        if !*cut.borrow() && before.windows(word.len()).any(|part| part == word) {
            cut.send_replace(true);
            // Silence until the client gives up; then the server learns it, too.
            while matches!(client.read(&mut buffer).await, Ok(1..)) {}
            return;
        }
        if server.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        before.drain(..before.len().saturating_sub(word.len() - 1));
    }
}
