//! From a file to a [`Config`], or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Table;
use url::Url;

use crate::problems::{Found, Problems};
use crate::proxy::Proxy;
use crate::reader::{Reader, Sink};
use crate::sections::{Config, Mention, Permission, Position};
use crate::{confinement, env, read_connection, read_sections};

/// Variables that override a scalar start with this: `OPENHANDS_RESOLVER__INGEST__LISTEN` is `[ingest] listen`.
pub const ENV_PREFIX: &str = "OPENHANDS_RESOLVER__";

/// Longest configuration file; a hundred connections need a tenth of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Syntax errors listed at once; one slip often causes a row of them.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Reads the file at `path`, with overrides and proxies from the process environment.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_with(path, env::variables())
}

/// Reads the file at `path`, with overrides and proxies from `variables`.
pub fn load_with(
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Problems> {
    let variables: BTreeMap<String, String> = variables.into_iter().collect();
    let overrides = variables
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(ENV_PREFIX)?.to_owned(), value.clone())))
        .collect();
    let sink = Sink::new(ENV_PREFIX, overrides);
    let table = table(path)?;
    let config = config(&sink, table, &variables);
    sink.found.into_inner().or(config)
}

/// The file as a TOML table; its syntax errors with line and column.
fn table(path: &Path) -> Result<Table, Problems> {
    let place = path.display().to_string();
    let mut found = Found::default();
    let text = match read(path) {
        Ok(text) => text,
        Err(cause) => {
            found.add(place, cause);
            return found.or(None);
        }
    };
    let (_, errors) = toml::de::DeTable::parse_recoverable(&text);
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let (line, column) = line_and_column(&text, error.span().map_or(0, |span| span.start));
        found.add(format!("{place}:{line}:{column}"), error.message());
    }
    let parsed = text.parse::<Table>();
    if let (Err(error), true) = (&parsed, found.is_empty()) {
        let (line, column) = line_and_column(&text, error.span().map_or(0, |span| span.start));
        found.add(format!("{place}:{line}:{column}"), error.message());
    }
    found.or(parsed.ok())
}

fn read(path: &Path) -> Result<String, String> {
    let length = path
        .metadata()
        .map_err(|cause| format!("cannot be read: {cause}"))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(format!("is longer than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| format!("cannot be read: {cause}"))?;
    // Some editors begin a file with a byte order mark, which is not TOML.
    Ok(text
        .strip_prefix('\u{feff}')
        .map_or(text.clone(), ToOwned::to_owned))
}

/// Counted from 1, columns in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Reads every section, whatever is wrong with the ones before.
fn config(sink: &Sink, table: Table, variables: &BTreeMap<String, String>) -> Option<Config> {
    let mut root = Reader::root(sink, table);
    let data_dir = root.path("data_dir");
    if data_dir.is_none() {
        root.problem("data_dir", "is required");
    }
    let mention = Mention {
        names: vec!["openhands".to_owned()],
        position: Position::Anywhere,
    };
    let mention = read_sections::mention(root.section("mention"), &mention);
    let permission = read_sections::permission(root.section("permission"), &Permission::default());
    let connections = read_connection::connections(sink, root.sections("connection"), &mention, &permission);
    let ingest = read_sections::ingest(root.section("ingest"));
    let health = read_sections::health(root.section("health"));
    let nats = read_sections::nats(root.section("nats"));
    let sandbox = confinement::sandbox(root.section("sandbox"));
    let policy = confinement::policy(root.section("policy"));
    let agent = read_sections::agent(root.section("agent"));
    let llm = read_sections::llm(root.section("llm"));
    let models = read_sections::models(root.sections("model"));
    let context = read_sections::context(root.section("context"));
    let limits = read_sections::limits(root.section("limits"));
    let telemetry = read_sections::telemetry(root.section("telemetry"));
    let reply = crate::reply::reply(root.section("reply"));
    root.finish();
    let proxy = proxy(sink, variables);
    sink.report_unused_overrides();
    Some(Config {
        data_dir: data_dir?,
        ingest,
        health,
        nats,
        connections,
        mention,
        permission,
        sandbox,
        policy,
        agent,
        llm,
        models,
        context,
        limits,
        telemetry,
        reply,
        proxy,
    })
}

/// The proxies of the environment. Lower case wins over upper case, as in curl.
fn proxy(sink: &Sink, variables: &BTreeMap<String, String>) -> Proxy {
    let named = |lower: &'static str, upper: &'static str| {
        [lower, upper]
            .into_iter()
            .find_map(|name| Some((name, variables.get(name).filter(|text| !text.is_empty())?)))
    };
    let url = |lower, upper| {
        let (name, text) = named(lower, upper)?;
        let with_scheme = if text.contains("://") {
            text.clone()
        } else {
            format!("http://{text}")
        };
        match Url::parse(&with_scheme) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Some(url),
            // The text may hold a password, so it is not quoted.
            _ => {
                sink.add(name, "is not the URL of an http proxy");
                None
            }
        }
    };
    Proxy {
        https: url("https_proxy", "HTTPS_PROXY"),
        http: url("http_proxy", "HTTP_PROXY"),
        no_proxy: named("no_proxy", "NO_PROXY")
            .map(|(_, text)| text.clone())
            .unwrap_or_default(),
    }
}
