//! A program's output streams, counted as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

/// The bytes that a run has written to both of its streams, and their limit.
#[derive(Debug)]
pub(crate) struct Count {
    bytes: AtomicU64,
    bytes_max: u64,
    exceeded: Notify,
}

impl Count {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            bytes_max,
            exceeded: Notify::new(),
        })
    }

    /// Returns when more than the limit was read; at once if it was before.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    fn add(&self, count: usize) {
        let bytes = self.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if bytes > self.bytes_max {
            // Kept for whoever asks later.
            self.exceeded.notify_one();
        }
    }
}

/// One output stream of a program in a cell.
///
/// What nobody reads is not written either: a pipe holds 64 KiB, then the program waits. So counting what is read
/// bounds what is written.
#[derive(Debug)]
pub struct OutputStream {
    pipe: Receiver,
    count: Arc<Count>,
}

impl OutputStream {
    pub(crate) fn new(pipe: io::PipeReader, count: Arc<Count>) -> io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(pipe.into())?,
            count,
        })
    }
}

impl AsyncRead for OutputStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(context, buffer))?;
        self.count.add(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}
