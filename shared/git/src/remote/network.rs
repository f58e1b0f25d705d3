//! Waiting for a server: not longer than it may be silent, and not once somebody has said stop. A blocking client knows
//! no such thing as giving up early, so the requests run on a small runtime of their own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::Error;

/// How often the flag is looked at while nothing arrives; nobody who stops a run notices a quarter of a second.
const STOP_PAUSE: Duration = Duration::from_millis(250);

/// The thread that sends and receives for everybody.
#[derive(Debug)]
pub(crate) struct Network(Option<Runtime>);

impl Network {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("git-network")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A runtime must not be waited for on an async thread, and that is where the last cache may be dropped.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How one caller waits.
#[derive(Clone)]
pub(crate) struct Waiting<'stop> {
    pub(crate) network: Arc<Network>,
    /// Longest silence.
    pub(crate) silence: Duration,
    /// Ends a wait when it is raised.
    pub(crate) stop: &'stop AtomicBool,
}

impl Waiting<'_> {
    /// What `answer` comes to; dropped, and with it its connection, when it takes too long.
    pub(super) fn wait_for<T>(&self, answer: impl Future<Output = T>) -> Result<T, Error> {
        let runtime = self
            .network
            .0
            .as_ref()
            .expect("the runtime is taken only when the network is dropped");
        runtime.block_on(async {
            tokio::select! {
                biased;
                answer = answer => Ok(answer),
                () = raised(self.stop) => Err(Error::Stopped),
                () = tokio::time::sleep(self.silence) => Err(Error::Interrupted {
                    cause: format!("the server was silent for {:?}", self.silence),
                }),
            }
        })
    }
}

async fn raised(stop: &AtomicBool) {
    let mut look = tokio::time::interval(STOP_PAUSE);
    while !stop.load(Ordering::Relaxed) {
        look.tick().await;
    }
}
