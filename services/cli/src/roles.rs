//! Starting roles: one in a process of its own, or all of them in `up`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use config::{Config, ConnectionSource, FileConnections, Problems, Role};
use lifecycle::{Health, Shutdown};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use worker::Nats;

use crate::{coding_agent, reach, say, workshop};

/// How often a role looks whether NATS is still there and as it should be.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Between two tries to make the streams, while NATS is away or someone must widen them.
const ENSURE_PAUSE: Duration = Duration::from_secs(2);
/// After the roles have ended, how long their spans may take to leave.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Listeners of one process, bound before anything starts, so that a taken port is told at once.
pub(crate) struct Listeners {
    ingest: Option<TcpListener>,
    health: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(config: &Config, roles: &[Role]) -> Result<Self> {
        let ingest = if roles.contains(&Role::WebhookIngest) {
            let address = config.ingest.listen;
            Some(
                TcpListener::bind(address)
                    .await
                    .with_context(|| format!("cannot listen on {address} for [ingest]"))?,
            )
        } else {
            None
        };
        let address = config.health.listen;
        let health = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for [health]"))?;
        Ok(Self { ingest, health })
    }

    /// What the process prints when it starts.
    pub(crate) fn started(
        &self,
        name: &str,
        sandbox: Option<&workshop::Found>,
        more: Map<String, Value>,
    ) -> Result<Value> {
        let mut started = json!({
            "started": name,
            "version": env!("CARGO_PKG_VERSION"),
            "health": self.health.local_addr()?.to_string(),
        });
        if let Some(ingest) = &self.ingest {
            started["ingest"] = ingest.local_addr()?.to_string().into();
        }
        if let Some(found) = sandbox {
            started[workshop::SANDBOX] = workshop::told(found);
        }
        for (key, value) in more {
            started[key] = value;
        }
        Ok(started)
    }
}

/// One role in a process of its own.
pub(crate) async fn role(role: Role, config: Config) -> ExitCode {
    if let Err(code) = checked([config.check_role_alone(role), agent_of(role, &config)]) {
        return code;
    }
    let telemetry = match init_telemetry(&config, role.as_str()) {
        Ok(guard) => guard,
        Err(error) => return say::failure(&format!("{error:#}")),
    };
    let ended = run_apart(role, config).await;
    flush(telemetry).await;
    exit_code(ended)
}

async fn run_apart(role: Role, config: Config) -> Result<()> {
    let listeners = Listeners::bind(&config, &[role]).await?;
    let shutdown = Shutdown::on_signals();
    let sandbox = workshop::look(&config, &[role]).await;
    say::json(&listeners.started(role.as_str(), sandbox.as_ref(), Map::new())?);
    let nats_settings = config.nats.clone();
    run(
        &[role],
        Arc::new(config),
        nats_settings,
        sandbox,
        listeners,
        shutdown,
    )
    .await
}

/// What the configuration alone cannot tell: whether there is such an agent.
fn agent_of(role: Role, config: &Config) -> Result<Vec<String>, Problems> {
    match role {
        Role::Resolver => coding_agent::check(config).map(|()| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// Checks what all roles need in one process; prints all that any of them lacks, or the warnings.
pub(crate) fn checked_together(config: &Config) -> Result<(), ExitCode> {
    let of_roles = Role::ALL
        .into_iter()
        .flat_map(|role| [config.check_role(role), agent_of(role, config)]);
    checked(of_roles)
}

fn checked(of_roles: impl IntoIterator<Item = Result<Vec<String>, Problems>>) -> Result<(), ExitCode> {
    let mut warned = Vec::new();
    let mut wrong: Option<Problems> = None;
    for checked in of_roles {
        match checked {
            Ok(warnings) => {
                for warning in warnings {
                    if !warned.contains(&warning) {
                        warned.push(warning);
                    }
                }
            }
            Err(problems) => {
                wrong = Some(match wrong {
                    Some(earlier) => earlier.and(problems),
                    None => problems,
                });
            }
        }
    }
    if let Some(problems) = wrong {
        return Err(say::wrong_configuration(&problems));
    }
    for warning in &warned {
        say::warning(warning);
    }
    Ok(())
}

/// Runs roles until shutdown, or until the first of them fails.
pub(crate) async fn run(
    roles: &[Role],
    config: Arc<Config>,
    nats_settings: config::Nats,
    sandbox: Option<workshop::Found>,
    listeners: Listeners,
    shutdown: Shutdown,
) -> Result<()> {
    let health = Health::new();
    for role in roles {
        health.not_ready(role.as_str(), "starting");
    }
    health.not_ready("nats", "connecting");
    for warning in roles
        .iter()
        .filter_map(|role| config.check_role(*role).ok())
        .flatten()
    {
        health.warn(warning);
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(lifecycle::serve_health(
        listeners.health,
        health.clone(),
        shutdown.clone(),
    ));
    let name = if roles.len() == 1 { roles[0].as_str() } else { "up" };
    let Some(nats) = connected(&nats_settings, name, &health, &shutdown).await? else {
        return Ok(());
    };
    tasks.spawn(watch_nats(nats.clone(), health.clone(), shutdown.clone()));
    let connections: Arc<dyn ConnectionSource> = Arc::new(FileConnections::new(&config));
    if roles.iter().any(|role| role.uses_bot_token()) {
        tasks.spawn(reach::watch(
            connections.clone(),
            config.proxy.clone(),
            health.clone(),
            shutdown.clone(),
        ));
    }
    let (mut ingest, mut sandbox) = (listeners.ingest, sandbox);
    for role in roles {
        start(
            *role,
            &mut tasks,
            &config,
            &connections,
            &nats,
            &health,
            &shutdown,
            &mut ingest,
            &mut sandbox,
        )?;
    }
    let mut first_failure = None;
    while let Some(ended) = tasks.join_next().await {
        let ended =
            ended.unwrap_or_else(|panicked| Err(anyhow::Error::new(panicked).context("a role panicked")));
        if let Err(error) = ended {
            tracing::error!(error = format!("{error:#}"), "a role failed; the process ends");
            shutdown.soft.cancel();
            first_failure.get_or_insert(error);
        }
    }
    first_failure.map_or(Ok(()), Err)
}

#[expect(
    clippy::too_many_arguments,
    reason = "everything a role is given, passed once"
)]
fn start(
    role: Role,
    tasks: &mut JoinSet<Result<()>>,
    config: &Arc<Config>,
    connections: &Arc<dyn ConnectionSource>,
    nats: &Nats,
    health: &Health,
    shutdown: &Shutdown,
    ingest: &mut Option<TcpListener>,
    sandbox: &mut Option<workshop::Found>,
) -> Result<()> {
    let (config, connections) = (config.clone(), connections.clone());
    let (nats, health, shutdown) = (nats.clone(), health.clone(), shutdown.clone());
    match role {
        Role::WebhookIngest => {
            let listener = ingest.take().context("webhook-ingest has no listener")?;
            tasks.spawn(webhook_ingest::run(
                listener,
                config,
                connections,
                nats,
                health,
                shutdown,
            ));
        }
        Role::MentionParser => {
            tasks.spawn(mention_parser::run(config, connections, nats, health, shutdown));
        }
        Role::ContextBuilder => {
            tasks.spawn(context_builder::run(config, connections, nats, health, shutdown));
        }
        Role::Resolver => {
            let found = sandbox.take().context("nobody has looked for a sandbox")?;
            tasks.spawn(async move {
                match workshop::open(&config, found, &health, &shutdown).await? {
                    Some(workshop) => {
                        resolver::run(config, connections, workshop, nats, health, shutdown).await
                    }
                    None => Ok(()),
                }
            });
        }
        Role::Reply => {
            tasks.spawn(reply::run(config, connections, nats, health, shutdown));
        }
    }
    Ok(())
}

/// Connects and makes the streams, for as long as it takes. `None` when shut down meanwhile.
async fn connected(
    settings: &config::Nats,
    name: &str,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<Option<Nats>> {
    loop {
        let why = match Nats::connect(settings, name).await {
            Ok(nats) => match nats.ensure().await {
                Ok(()) => {
                    health.ready("nats");
                    return Ok(Some(nats));
                }
                Err(drift) => drift.to_string(),
            },
            Err(error @ worker::Error::Refused { .. }) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        tracing::warn!(why, "NATS is not ready");
        health.not_ready("nats", why);
        tokio::select! {
            () = shutdown.soft.cancelled() => return Ok(None),
            () = tokio::time::sleep(ENSURE_PAUSE) => {}
        }
    }
}

/// Keeps `/readyz` true to what NATS is.
async fn watch_nats(nats: Nats, health: Health, shutdown: Shutdown) -> Result<()> {
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        tokio::select! {
            () = shutdown.soft.cancelled() => return Ok(()),
            _ = ticks.tick() => match nats.check().await {
                Ok(()) => health.ready("nats"),
                Err(why) => health.not_ready("nats", why),
            },
        }
    }
}

pub(crate) fn init_telemetry(config: &Config, role: &str) -> Result<telemetry::Guard> {
    let settings = &config.telemetry;
    telemetry::init(
        &telemetry::Settings {
            log: settings.log.as_str(),
            filter: &settings.filter,
            otlp_endpoint: settings.otlp_endpoint.as_deref(),
        },
        role,
    )
}

/// Lets the last spans leave; the exporter blocks.
pub(crate) async fn flush(guard: telemetry::Guard) {
    let flushed = tokio::task::spawn_blocking(move || drop(guard));
    if tokio::time::timeout(FLUSH_MAX, flushed).await.is_err() {
        say::warning("the last traces could not be sent");
    }
}

pub(crate) fn exit_code(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::failure(&format!("{error:#}")),
    }
}
