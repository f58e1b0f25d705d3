//! Reads connections, and checks what concerns two of them.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use pipeline::ids::ConnectionId;

use crate::ca;
use crate::connection::{BaseUrl, Connection};
use crate::read_sections;
use crate::reader::{Reader, Sink};
use crate::repositories::RepositoryGlobs;
use crate::sections::{Mention, Permission, plain_url};

/// Bitbucket's own default is 60 at once and 5 per second, per user and node (bitbucket-dc.md 3.3). Ten are left to
/// git, whose requests count as well, and a margin to the clocks.
const REQUEST_BURST: u32 = 50;
const REQUESTS_PER_MINUTE: u32 = 285;
/// As much as an administrator may want who has exempted the bot.
const REQUESTS_RANGE: RangeInclusive<u32> = 1..=60_000;

/// Reads every `[[connection]]`; a connection without its required parts is left out, with a problem.
pub(crate) fn connections(
    sink: &Sink,
    readers: Vec<Reader<'_>>,
    mention: &Mention,
    permission: &Permission,
) -> Vec<Connection> {
    if readers.is_empty() {
        sink.add("connection", "at least one [[connection]] is needed");
    }
    let connections: Vec<Option<Connection>> = readers
        .into_iter()
        .map(|reader| connection(reader, mention, permission))
        .collect();
    let pairs = connections.iter().enumerate().flat_map(|(second, later)| {
        connections[..second]
            .iter()
            .enumerate()
            .map(move |(first, earlier)| (first, earlier, second, later))
    });
    for (first, earlier, second, later) in pairs {
        if let (Some(earlier), Some(later)) = (earlier, later) {
            check_pair(sink, (first, earlier), (second, later));
        }
    }
    connections.into_iter().flatten().collect()
}

fn check_pair(sink: &Sink, (first, earlier): (usize, &Connection), (second, later): (usize, &Connection)) {
    if earlier.id == later.id {
        sink.add(
            format!("connection[{second}].id"),
            format!("{:?} is also connection[{first}]'s", later.id.as_str()),
        );
    }
    if earlier.base_url != later.base_url {
        return;
    }
    if let Some((ours, theirs)) = later.repositories.overlap(&earlier.repositories) {
        let text = format!(
            "{ours:?} overlaps with {theirs:?} of connection[{first}] on {}; a repository belongs to one connection",
            later.base_url
        );
        sink.add(format!("connection[{second}].repositories"), text);
    }
}

fn connection(mut reader: Reader<'_>, mention: &Mention, permission: &Permission) -> Option<Connection> {
    let id = required(&mut reader, "id", |text| ConnectionId::new(text));
    let base_url = required(&mut reader, "base_url", BaseUrl::parse);
    let bot_token_file = required(&mut reader, "bot_token_file", |text| Ok::<_, String>(text.into()));
    let bot_user = reader.text("bot_user");
    let commit_name = reader.parsed("commit_name", identity_part);
    let commit_email = reader.parsed("commit_email", identity_part);
    let webhook_secret_files = reader.texts("webhook_secret_files").unwrap_or_default();
    let ca_pem = reader.parsed("ca_file", |file| ca::read(file.as_ref()));
    let proxy = reader.parsed("proxy", |text| {
        plain_url(text, &["http", "https"])
            .map_err(|cause| format!("{cause}; a proxy's password goes into HTTPS_PROXY"))
    });
    let repositories = repositories(&mut reader);
    let allow_http = reader.flag("allow_http", false);
    let request_burst = reader.whole("request_burst", REQUESTS_RANGE, REQUEST_BURST);
    let requests_per_minute = reader.whole("requests_per_minute", REQUESTS_RANGE, REQUESTS_PER_MINUTE);
    let mention = read_sections::mention(reader.section("mention"), mention);
    let permission = read_sections::permission(reader.section("permission"), permission);
    if let Some(base_url) = &base_url
        && base_url.scheme() == "http"
        && !base_url.is_loopback()
        && !allow_http
    {
        reader.problem("base_url", "plain http beyond this machine sends the token unencrypted; use https, or write allow_http = true");
    }
    reader.finish();
    let base_url = base_url?;
    Some(Connection {
        id: id?,
        instance: base_url.instance(),
        base_url,
        bot_token_file: bot_token_file?,
        bot_user,
        commit_name,
        commit_email,
        webhook_secret_files: webhook_secret_files.into_iter().map(Into::into).collect(),
        ca_pem,
        proxy,
        repositories: repositories?,
        allow_http,
        request_burst: NonZeroU32::new(request_burst).unwrap_or(NonZeroU32::MIN),
        requests_per_minute: NonZeroU32::new(requests_per_minute).unwrap_or(NonZeroU32::MIN),
        mention,
        permission,
    })
}

fn repositories(reader: &mut Reader<'_>) -> Option<RepositoryGlobs> {
    let globs = reader.texts("repositories").unwrap_or_default();
    if globs.is_empty() {
        reader.problem("repositories", "is required, for example [\"PROJ/*\"]");
        return None;
    }
    match RepositoryGlobs::new(&globs) {
        Ok(repositories) => Some(repositories),
        Err(invalid) => {
            for glob in &invalid {
                reader.problem("repositories", glob);
            }
            None
        }
    }
}

fn required<T, E: std::fmt::Display>(
    reader: &mut Reader<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    // An absent value is told from a wrong one by whether the parser was reached.
    let mut reached = false;
    let value = reader.parsed(key, |text| {
        reached = true;
        parse(text)
    });
    if !reached {
        reader.problem(key, "is required");
    }
    value
}

/// A name or e-mail address as it can stand in a commit's header (gix refuses the rest).
fn identity_part(text: &str) -> Result<String, &'static str> {
    if text.contains(['<', '>', '\n', '\r', '\0']) {
        return Err("must not contain '<', '>' or a line break");
    }
    Ok(text.to_owned())
}
