//! How long a client may take over a head, and how long it may keep a connection it does not use.
//!
//! hyper has one time-out for both. They must differ: a head takes milliseconds, so 5 s are plenty, whereas an idle
//! connection that is closed early meets, sooner or later, a request that its client or reverse proxy is just sending
//! on it, and a webhook lost that way is not sent again.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A time-out is noticed this fraction of the shorter one late, at most.
const LOOKS_PER_TIMEOUT: u32 = 4;

/// Where a connection stands. Clones are one.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Mutex<Phase>>);

#[derive(Clone, Copy)]
enum Phase {
    /// A head is on its way since then; so is the first one of a new connection.
    Head(Instant),
    /// The application has the request, and time-outs of its own.
    Busy,
    /// Answered, and nothing has come since.
    Idle(Instant),
}

impl Pace {
    /// A new connection.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Head(Instant::now()))))
    }

    /// A head is complete.
    pub(crate) fn busy(&self) {
        self.set(Phase::Busy);
    }

    /// The request is answered.
    pub(crate) fn idle(&self) {
        self.set(Phase::Idle(Instant::now()));
    }

    /// Returns when the connection has used up its time.
    pub(crate) async fn used_up(&self, head: Duration, idle: Duration) {
        let look = head.min(idle) / LOOKS_PER_TIMEOUT;
        loop {
            let until = match self.phase() {
                Phase::Head(since) => since + head,
                Phase::Idle(since) => since + idle,
                Phase::Busy => Instant::now() + look,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.min(Instant::now() + look)).await;
        }
    }

    /// Bytes came: on an idle connection they begin a head.
    fn received(&self) {
        if let Phase::Idle(_) = self.phase() {
            self.set(Phase::Head(Instant::now()));
        }
    }

    fn phase(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// A stream that notes when bytes come.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
