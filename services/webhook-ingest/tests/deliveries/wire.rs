//! Requests byte by byte, for what no client library sends.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::PATIENCE;

pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("the server listens"))
    }

    /// Whether the server still takes it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Everything until the server closes, without the date; a reset is as good as an end.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        match timeout(PATIENCE, self.0.read_to_end(&mut bytes))
            .await
            .expect("the server closes")
        {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        let text = String::from_utf8(bytes).expect("answers are text");
        text.split_inclusive("\r\n")
            .filter(|line| !line.starts_with("date: "))
            .collect()
    }
}
