//! One kept-alive HTTP/1.1 connection that posts deliveries. Written by hand, because client and server share the
//! machine's processors and only the server is to be measured.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ingest::delivery::Deliveries;
use crate::ingest::load::Client;

/// Answers are a status line, a few headers and a short body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Connections start at different deliveries.
const STRIDE: usize = 7;

/// A connection.
pub(crate) struct HttpClient {
    stream: TcpStream,
    deliveries: Deliveries,
    next: usize,
    answer: BytesMut,
}

impl HttpClient {
    /// Opens the connection. `number` decides with which delivery it begins.
    pub(crate) async fn connect(address: SocketAddr, deliveries: &Deliveries, number: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("cannot connect to ingest")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            deliveries: deliveries.clone(),
            next: number * STRIDE,
            answer: BytesMut::new(),
        })
    }
}

impl Client for HttpClient {
    async fn once(&mut self) -> Result<()> {
        let request = self.deliveries.get(self.next);
        self.next += 1;
        self.stream.write_all(&request).await?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "ingest closed the connection");
            ensure!(
                self.answer.len() <= ANSWER_BYTES_MAX,
                "ingest gave an answer that does not end"
            );
            if let Some(answer) = Answer::parse(&self.answer)? {
                ensure!(
                    answer.status == 200,
                    "ingest answered {}",
                    String::from_utf8_lossy(&self.answer)
                );
                return Ok(());
            }
        }
    }
}

struct Answer {
    status: u16,
}

impl Answer {
    /// `None` while there is more to come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .context("no status line")?
            .parse()?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, length)| length.trim().parse::<usize>())?;
        Ok((bytes.len() >= end + 4 + length).then_some(Self { status }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_its_body_is() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(Answer::parse(text).unwrap().unwrap().status, 200);
        for cut in 0..text.len() {
            assert!(Answer::parse(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(
            Answer::parse(b"HTTP/1.1 503 Busy\r\n\r\n")
                .unwrap()
                .unwrap()
                .status,
            503
        );
    }
}
