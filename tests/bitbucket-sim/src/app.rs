//! What every part of the simulator shares.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::control::clock::Clock;
use crate::control::faults::Faults;
use crate::control::requests::RequestLog;
use crate::git::store::Store;
use crate::http::limit::Limits;
use crate::state::world::World;
use crate::webhook::deliver::Deliveries;

/// The running instance; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    /// Counts changes of the world, for pages that follow it.
    changes: watch::Sender<u64>,
    /// World documents are loaded one after the other.
    loading: tokio::sync::Mutex<()>,
    store: Store,
    faults: Faults,
    requests: RequestLog,
    deliveries: Deliveries,
    limits: Limits,
    clock: Clock,
    base_url: String,
    context_path: String,
}

impl App {
    /// An instance without users or repositories, answering at `addr`.
    pub(crate) fn start(
        options: &Options,
        addr: SocketAddr,
        stop: &CancellationToken,
    ) -> anyhow::Result<App> {
        let store = Store::create(Path::new(&options.data))?;
        let app = App(Arc::new(Shared {
            world: Mutex::default(),
            changes: watch::Sender::new(0),
            loading: tokio::sync::Mutex::default(),
            store,
            faults: Faults::default(),
            requests: RequestLog::default(),
            deliveries: Deliveries::new(options.payloads)?,
            limits: Limits::default(),
            clock: Clock::default(),
            base_url: format!("http://{addr}{}", options.context_path),
            context_path: options.context_path.clone(),
        }));
        app.deliveries().start(&app, stop);
        Ok(app)
    }

    /// The state; hold it only between awaits.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to change it; pages that follow the world are told.
    pub(crate) fn change(&self) -> MutexGuard<'_, World> {
        self.0.changes.send_modify(|count| *count += 1);
        self.world()
    }

    /// Follows changes of the world.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Held while a world document is loaded.
    pub(crate) async fn loading(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.loading.lock().await
    }

    /// The bare repositories.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The faults to inject.
    pub(crate) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// What was asked and answered.
    pub(crate) fn requests(&self) -> &RequestLog {
        &self.0.requests
    }

    /// Webhook deliveries.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.0.deliveries
    }

    /// The rate limiter.
    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The virtual clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The time that entities are stamped with, epoch milliseconds.
    #[expect(
        clippy::unused_self,
        reason = "a time belongs to an instance, whatever clock it uses"
    )]
    pub(crate) fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// The base URL with context path, without a slash at the end.
    pub(crate) fn base_url(&self) -> &str {
        &self.0.base_url
    }

    /// The context path: empty, or like `/bitbucket`.
    pub(crate) fn context_path(&self) -> &str {
        &self.0.context_path
    }

    /// The part of a path below the context path.
    pub(crate) fn below_context<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = path.strip_prefix(self.0.context_path.as_str())?;
        if below.is_empty() {
            Some("/")
        } else {
            Some(below).filter(|below| below.starts_with('/'))
        }
    }
}
