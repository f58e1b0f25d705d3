//! The connection, and what hangs off it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use pipeline::message::Message;
use pipeline::run::Run;
use pipeline::subject;
use secrecy::ExposeSecret;
use tokio::sync::watch;

use crate::{Artifacts, Error, IngestPublisher, Records};

/// How long the first connection may take, all tries together; after that the caller decides.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries of the first connection.
const CONNECT_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between reconnects: a restarted server is found again within this.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// A half-dead TCP connection is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Between two changes of the server by our own choice.
const SWITCH_PAUSE: Duration = Duration::from_secs(10);
/// JetStream API calls are small; a server that needs longer is as good as away.
pub(crate) const API_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS. Cheap to clone; reconnects by itself for as long as it lives.
#[derive(Clone)]
pub struct Nats(Arc<Inner>);

struct Inner {
    client: Client,
    jetstream: jetstream::Context,
    replicas: usize,
    /// Counts connections; its change says that what was asked of the old one may be lost.
    connected: watch::Receiver<u64>,
    /// When another server was last tried.
    switched: Mutex<Option<Instant>>,
}

impl Nats {
    /// Connects as `name`. Waits at most 10 s for a server; wrong credentials and unreadable files are told at once.
    pub async fn connect(settings: &config::Nats, name: &str) -> Result<Self, Error> {
        let servers = servers(settings)?;
        let (counter, connected) = watch::channel(0);
        let counter = Arc::new(counter);
        let until = Instant::now() + CONNECT_TIMEOUT;
        let client = loop {
            let error = match options(settings, name, Arc::clone(&counter))
                .await?
                .connect(servers.as_slice())
                .await
            {
                Ok(client) => break client,
                Err(error) => error,
            };
            match error.kind() {
                ConnectErrorKind::Authentication
                | ConnectErrorKind::AuthorizationViolation
                | ConnectErrorKind::ServerParse => {
                    return Err(Error::Refused {
                        what: "the connection".to_owned(),
                        text: error.to_string(),
                    });
                }
                _ if Instant::now() >= until => return Err(Error::unavailable("connect", error)),
                _ => tokio::time::sleep(CONNECT_PAUSE).await,
            }
        };
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(API_TIMEOUT)
            .build(client.clone());
        Ok(Self(Arc::new(Inner {
            client,
            jetstream,
            replicas: settings.replicas,
            connected,
            switched: Mutex::default(),
        })))
    }

    /// The run records.
    pub fn runs(&self) -> Records<Run> {
        self.records(subject::RUNS)
    }

    /// The records of a bucket.
    pub fn records<T: Message>(&self, bucket: &'static str) -> Records<T> {
        Records::new(self.clone(), bucket)
    }

    /// The object store of briefs, transcripts and patches.
    pub fn artifacts(&self) -> Artifacts {
        Artifacts::new(self.clone())
    }

    /// A publisher for the deliveries of one ingest, which share fsyncs. Make one and clone it.
    pub fn ingest_publisher(&self) -> IngestPublisher {
        IngestPublisher::start(self.clone())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.0.jetstream
    }

    pub(crate) fn replicas(&self) -> usize {
        self.0.replicas
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// Leaves a server that does not answer, where the cluster has others: one that is cut off from its peers
    /// keeps its clients but acknowledges nothing (reliability-security.md 0, 3). Rarely, since everything else
    /// on the connection is disturbed too.
    pub(crate) async fn try_another_server(&self) {
        if !self.is_connected()
            || self
                .0
                .client
                .server_pool()
                .await
                .is_ok_and(|servers| servers.len() < 2)
        {
            return;
        }
        {
            let mut switched = self.0.switched.lock().unwrap_or_else(PoisonError::into_inner);
            if switched.is_some_and(|at| at.elapsed() < SWITCH_PAUSE) {
                return;
            }
            *switched = Some(Instant::now());
        }
        tracing::warn!("switching to another NATS server");
        if let Err(error) = self.0.client.force_reconnect().await {
            tracing::warn!(%error, "cannot reconnect");
        }
    }

    /// Changes with every new connection.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.0.connected.clone()
    }
}

/// The servers of `[nats] url`: one, or several of a cluster, separated by commas.
fn servers(settings: &config::Nats) -> Result<Vec<ServerAddr>, Error> {
    let refused = |text: String| Error::Refused {
        what: "[nats] url".to_owned(),
        text,
    };
    let url = settings
        .url
        .as_ref()
        .ok_or_else(|| refused("not set, and no managed server was started".to_owned()))?;
    url.split(',')
        .map(|server| {
            server
                .trim()
                .parse()
                .map_err(|error| refused(format!("{server}: {error}")))
        })
        .collect()
}

async fn options(
    settings: &config::Nats,
    name: &str,
    counter: Arc<watch::Sender<u64>>,
) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(API_TIMEOUT))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            // A quick first try, then linear: 0.1 s, 0.2 s, ...
            let pause =
                Duration::from_millis(100).saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX));
            pause.min(RECONNECT_PAUSE_MAX)
        })
        .event_callback(move |event| {
            let counter = Arc::clone(&counter);
            async move { note(&event, &counter) }
        });
    if let Some(path) = &settings.credentials_file {
        let credentials = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| Error::Refused {
                what: path.display().to_string(),
                text: error.to_string(),
            })?;
        options = options
            .credentials(&credentials)
            .map_err(|error| Error::Refused {
                what: path.display().to_string(),
                text: error.to_string(),
            })?;
    }
    if let Some(path) = &settings.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        options = options.user_and_password(user.clone(), password.expose_secret().to_owned());
    }
    Ok(options)
}

/// Logs what happens to the connection. A forbidden publish shows here only (crates.md section 3, authorisation).
fn note(event: &Event, counter: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            counter.send_modify(|connections| *connections += 1);
        }
        Event::Disconnected | Event::LameDuckMode => tracing::warn!(%event, "NATS connection"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection"),
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
            telemetry::metrics::messages("nats", "error").inc();
            tracing::error!(%event, "NATS connection");
        }
    }
}
