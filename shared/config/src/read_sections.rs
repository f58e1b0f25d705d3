//! Reads the sections that stand alone; connections are read in `read_connection`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::ca;
use crate::reader::Reader;
use crate::sections::{
    Agent, AgentKind, Api, Context, Health, Ingest, Limits, Llm, LogFormat, Mention, Model, Nats, Permission,
    Position, Provider, Telemetry, plain_url,
};

/// Bodies up to 16 MiB may be configured; Bitbucket's own payloads stay far below the default of 1 MiB.
const BODY_BYTES_RANGE: std::ops::RangeInclusive<usize> = 1024..=16 * 1024 * 1024;
/// A brief shorter than this cannot hold its own frame; one longer than this fits no model's window.
const CONTEXT_BYTES_RANGE: std::ops::RangeInclusive<usize> = 16 * 1024..=4 * 1024 * 1024;
/// A run may take up to a day, which is as long as a message waits for an unavailable dependency.
const RUN_SECONDS_RANGE: std::ops::RangeInclusive<u64> = 1..=86_400;
/// A lane remembers when its runs of the last hour were asked for, so there is an end to what may be configured.
const RUNS_PER_HOUR_RANGE: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Longer than an hour nobody thinks of two comments as one request.
const MERGE_SECONDS_RANGE: std::ops::RangeInclusive<u32> = 0..=3_600;
/// Below 2 s heartbeats (every third of it) would crowd the server; above 10 min a crash would look like a hang.
const ACK_WAIT_SECONDS_RANGE: std::ops::RangeInclusive<u64> = 2..=600;

pub(crate) fn ingest(mut reader: Reader<'_>) -> Ingest {
    let listen = address(&mut reader, "listen", 8080);
    let public_url = reader.parsed("public_url", |text| {
        plain_url(text, &["https", "http"]).map(|url| url.as_str().trim_end_matches('/').to_owned())
    });
    let body_bytes_max = reader.whole("body_bytes_max", BODY_BYTES_RANGE, 1_048_576);
    let tls_cert_file = reader.path("tls_cert_file");
    let tls_key_file = reader.path("tls_key_file");
    if tls_cert_file.is_some() != tls_key_file.is_some() {
        reader.problem("tls_cert_file", "tls_cert_file and tls_key_file go together");
    }
    reader.finish();
    Ingest {
        listen,
        public_url,
        body_bytes_max,
        tls_cert_file,
        tls_key_file,
    }
}

pub(crate) fn health(mut reader: Reader<'_>) -> Health {
    let listen = address(&mut reader, "listen", 9090);
    reader.finish();
    Health { listen }
}

pub(crate) fn nats(mut reader: Reader<'_>) -> Nats {
    let url = reader.parsed("url", |text| {
        let servers = text.split(',').map(|server| {
            let url = plain_url(server, &["nats", "tls"])?;
            Ok(url.as_str().trim_end_matches('/').to_owned())
        });
        let servers: Result<Vec<_>, String> = servers.collect();
        servers.map(|servers| servers.join(","))
    });
    let server_path = reader.path("server_path");
    let credentials_file = reader.path("credentials_file");
    let ca_file = reader.path("ca_file");
    let cert_file = reader.path("cert_file");
    let key_file = reader.path("key_file");
    if cert_file.is_some() != key_file.is_some() {
        reader.problem("cert_file", "cert_file and key_file go together");
    }
    let replicas: usize = reader.whole("replicas", 1..=5, 1);
    if replicas.is_multiple_of(2) {
        reader.problem("replicas", "must be odd: 1, or 3 or 5 in a cluster");
    }
    if url.is_none() && replicas > 1 {
        reader.problem(
            "replicas",
            "must be 1 for the managed server; a cluster needs nats.url",
        );
    }
    let ack_wait_seconds = reader.whole("ack_wait_seconds", ACK_WAIT_SECONDS_RANGE, Nats::ACK_WAIT_SECONDS);
    reader.finish();
    Nats {
        url,
        server_path,
        credentials_file,
        ca_file,
        cert_file,
        key_file,
        replicas,
        ack_wait_seconds,
        user: None,
        password: None,
    }
}

/// Reads what is written and takes the rest from `default`.
pub(crate) fn mention(mut reader: Reader<'_>, default: &Mention) -> Mention {
    let names = reader.texts("names").inspect(|names| {
        if names.is_empty() {
            reader.problem("names", "must name at least one name that people write after '@'");
        }
        let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        for name in names.iter().filter(|name| !plain(name)) {
            reader.problem(
                "names",
                format!("{name:?} must be letters, digits, '-', '_' or '.', without '@'"),
            );
        }
    });
    let names = names.unwrap_or_else(|| default.names.clone());
    let words = [
        ("anywhere", Position::Anywhere),
        ("line-start", Position::LineStart),
    ];
    let position = reader.choice("position", &words, default.position);
    reader.finish();
    Mention { names, position }
}

/// Reads what is written and takes the rest from `default`.
pub(crate) fn permission(mut reader: Reader<'_>, default: &Permission) -> Permission {
    // The permissions that Bitbucket's users resource filters by within a repository (bitbucket-dc.md 3.4).
    const KNOWN: [&str; 3] = ["REPO_READ", "REPO_WRITE", "REPO_ADMIN"];
    let mut one = |key, default: &str| {
        let permission = reader.parsed(key, |text| {
            let known = KNOWN.contains(&text);
            known
                .then(|| text.to_owned())
                .ok_or_else(|| format!("must be {}, not {text:?}", KNOWN.join(" or ")))
        });
        permission.unwrap_or_else(|| default.to_owned())
    };
    let change = one("change", &default.change);
    let read = one("read", &default.read);
    let mut list = |key, default: &Vec<String>| reader.texts(key).unwrap_or_else(|| default.clone());
    let deny_users = list("deny_users", &default.deny_users);
    let deny_groups = list("deny_groups", &default.deny_groups);
    let deny_projects = list("deny_projects", &default.deny_projects);
    let allow_users = list("allow_users", &default.allow_users);
    let allow_groups = list("allow_groups", &default.allow_groups);
    let allow_projects = list("allow_projects", &default.allow_projects);
    let plan_needs_second_person = reader.flag("plan_needs_second_person", default.plan_needs_second_person);
    reader.finish();
    Permission {
        change,
        read,
        deny_users,
        deny_groups,
        deny_projects,
        allow_users,
        allow_groups,
        allow_projects,
        plan_needs_second_person,
    }
}

pub(crate) fn agent(mut reader: Reader<'_>) -> Agent {
    let words = [
        ("builtin", AgentKind::Builtin),
        ("acp", AgentKind::Acp),
        ("command", AgentKind::Command),
    ];
    let kind = reader.choice("kind", &words, AgentKind::Builtin);
    let preset = reader.text("preset");
    let command = reader.texts("command").unwrap_or_default();
    if kind == AgentKind::Builtin && (preset.is_some() || !command.is_empty()) {
        reader.problem(
            "kind",
            "preset and command are for the kinds \"acp\" and \"command\"",
        );
    }
    if kind != AgentKind::Builtin && preset.is_none() && command.is_empty() {
        reader.problem("kind", "this kind needs a preset or a command");
    }
    let read_paths = absolute_paths(&mut reader, "read_paths");
    reader.finish();
    Agent {
        kind,
        preset,
        command,
        read_paths,
    }
}

pub(crate) fn llm(mut reader: Reader<'_>) -> Llm {
    let words = [("openai", Provider::OpenAi), ("anthropic", Provider::Anthropic)];
    let provider = reader.choice("provider", &words, Provider::OpenAi);
    let words = [("chat", Api::Chat), ("responses", Api::Responses)];
    let api = reader.choice("api", &words, Api::Chat);
    if provider != Provider::OpenAi && api != Api::Chat {
        reader.problem("api", "is for the provider \"openai\"");
    }
    let base_url = reader.parsed("base_url", |text| {
        plain_url(text, &["https", "http"]).map(|url| url.as_str().trim_end_matches('/').to_owned())
    });
    let api_key_file = reader.path("api_key_file");
    let headers_file = reader.path("headers_file");
    let ca_pem = reader.parsed("ca_file", |file| ca::read(file.as_ref()));
    reader.finish();
    Llm {
        provider,
        api,
        base_url,
        api_key_file,
        headers_file,
        ca_pem,
    }
}

pub(crate) fn models(readers: Vec<Reader<'_>>) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for mut reader in readers {
        let alias = reader.text("alias");
        let model = reader.text("model");
        let price_in = reader.amount("price_in", 0.0);
        let price_cached_in = reader.amount("price_cached_in", price_in);
        let price_out = reader.amount("price_out", 0.0);
        let takes_effort = reader.flag("takes_effort", false);
        match (alias, model) {
            (Some(alias), Some(_)) if models.iter().any(|other| other.alias == alias) => {
                reader.problem("alias", format!("{alias:?} is already another model's"));
            }
            (Some(alias), Some(model)) => models.push(Model {
                alias,
                model,
                price_in,
                price_cached_in,
                price_out,
                takes_effort,
            }),
            _ => reader.problem("alias", "a model needs an alias and a model"),
        }
        reader.finish();
    }
    models
}

pub(crate) fn context(mut reader: Reader<'_>) -> Context {
    let bytes_max = reader.whole("bytes_max", CONTEXT_BYTES_RANGE, 120_000);
    reader.finish();
    Context { bytes_max }
}

pub(crate) fn limits(mut reader: Reader<'_>) -> Limits {
    let run_seconds = reader.whole("run_seconds", RUN_SECONDS_RANGE, 1800);
    let run_turns = reader.whole("run_turns", 1..=10_000, 150);
    let run_tokens = reader.whole("run_tokens", 1..=1_000_000_000, 2_000_000);
    let run_usd = reader.amount("run_usd", 5.0);
    let runs_per_pull_request_hour = reader.whole("runs_per_pull_request_hour", RUNS_PER_HOUR_RANGE, 20);
    let merge_within_seconds = reader.whole("merge_within_seconds", MERGE_SECONDS_RANGE, 0);
    reader.finish();
    Limits {
        run_seconds,
        run_turns,
        run_tokens,
        run_usd,
        runs_per_pull_request_hour,
        merge_within_seconds,
    }
}

pub(crate) fn telemetry(mut reader: Reader<'_>) -> Telemetry {
    let otlp_endpoint = reader.parsed("otlp_endpoint", |text| {
        plain_url(text, &["https", "http"]).map(|url| url.as_str().trim_end_matches('/').to_owned())
    });
    let log = reader.choice(
        "log",
        &[("human", LogFormat::Human), ("json", LogFormat::Json)],
        LogFormat::Human,
    );
    let filter = reader.text("filter").unwrap_or_else(|| "info".to_owned());
    reader.finish();
    Telemetry {
        otlp_endpoint,
        log,
        filter,
    }
}

/// A list of directories or files that are named from the root, as the sandbox names them too.
pub(crate) fn absolute_paths(reader: &mut Reader<'_>, key: &'static str) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = reader
        .texts(key)
        .unwrap_or_default()
        .into_iter()
        .map(PathBuf::from)
        .collect();
    for path in paths.iter().filter(|path| !path.is_absolute()) {
        reader.problem(
            key,
            format!("{:?} must begin with '/'", path.display().to_string()),
        );
    }
    paths
}

/// A listener's address, on loopback at its usual port when absent. Port 0 takes any free one.
fn address(reader: &mut Reader<'_>, key: &'static str, port: u16) -> SocketAddr {
    let address = reader.parsed(key, |text| {
        let text = text.replace("localhost", "127.0.0.1");
        text.parse()
            .map_err(|_| format!("{text:?} is not ADDRESS:PORT, for example \"127.0.0.1:{port}\""))
    });
    address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
}
