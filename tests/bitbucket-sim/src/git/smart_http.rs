//! git over HTTP: `git http-backend` as a CGI program, bodies streamed (bitbucket-dc.md 5).

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::command::command;
use super::store::Store;
use crate::state::ids::RepositoryId;

/// A CGI header block is a few lines; more is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The answer to a push is a short report.
const REPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A transfer that takes longer than this in a test is stuck.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(600);
const CHUNK_BYTES: usize = 64 * 1024;

/// Settings of every repository as served; pull request refs are fetchable, not pushable.
const CONFIGURATION: [(&str, &str); 6] = [
    ("http.receivepack", "true"),
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
    ("receive.hideRefs", "refs/pull-requests"),
    ("receive.autogc", "false"),
    ("safe.directory", "*"),
];

/// What to run for one request.
pub(crate) struct GitRequest {
    pub(crate) repository: RepositoryId,
    /// Below the repository, for example `/info/refs`.
    pub(crate) path: String,
    pub(crate) method: Method,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) user: String,
    /// A pre-receive hook refuses with this text.
    pub(crate) reject: Option<String>,
}

/// Serves a request, streaming both ways.
pub(crate) async fn stream(store: &Store, request: &GitRequest, body: Body) -> anyhow::Result<Response> {
    let (mut child, head, rest, stdout) = start(store, request, body).await?;
    let chunks = futures::stream::unfold(
        (rest, stdout, Some(()), ()),
        |(rest, mut stdout, open, ())| async move {
            open?;
            if !rest.is_empty() {
                return Some((Ok(rest), (Bytes::new(), stdout, Some(()), ())));
            }
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            match stdout.read_buf(&mut chunk).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(chunk.freeze()), (Bytes::new(), stdout, Some(()), ()))),
                Err(error) => Some((Err(error), (Bytes::new(), stdout, None, ()))),
            }
        },
    );
    // The process is waited for beside the answer; when the client leaves, its output closes and it ends.
    tokio::spawn(async move {
        if tokio::time::timeout(TRANSFER_TIMEOUT, child.wait())
            .await
            .is_err()
        {
            tracing::warn!("a git transfer took too long and was ended");
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "git http-backend could not be ended");
            }
        }
    });
    Ok(head.into_response(Body::from_stream(chunks)))
}

/// Serves a push: answers only when git has ended, so that its effects can be seen first.
pub(crate) async fn complete(store: &Store, request: &GitRequest, body: Body) -> anyhow::Result<Response> {
    let (mut child, head, rest, stdout) = start(store, request, body).await?;
    let finish = async {
        let mut report = rest.to_vec();
        let limit = u64::try_from(REPORT_BYTES_MAX)?;
        stdout.take(limit).read_to_end(&mut report).await?;
        child.wait().await?;
        anyhow::Ok(report)
    };
    let report = tokio::time::timeout(TRANSFER_TIMEOUT, finish)
        .await
        .context("a push took too long")??;
    Ok(head.into_response(Body::from(report)))
}

/// The status line and headers of a CGI answer.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

impl Head {
    fn into_response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

async fn start(
    store: &Store,
    request: &GitRequest,
    body: Body,
) -> anyhow::Result<(Child, Head, Bytes, ChildStdout)> {
    let mut child = spawn(store, request)?;
    let stdin = child.stdin.take().context("git has no standard input")?;
    let stderr = child.stderr.take().context("git has no standard error")?;
    let mut stdout = child.stdout.take().context("git has no standard output")?;
    tokio::spawn(feed(stdin, body));
    tokio::spawn(async move {
        let mut said = String::new();
        let read = tokio::io::BufReader::new(stderr)
            .take(HEAD_BYTES_MAX as u64)
            .read_to_string(&mut said)
            .await;
        if read.is_err() || !said.trim().is_empty() {
            tracing::debug!(said = said.trim(), "git http-backend");
        }
    });
    let (head, rest) = tokio::time::timeout(TRANSFER_TIMEOUT, read_head(&mut stdout))
        .await
        .context("git http-backend gave no answer")??;
    Ok((child, head, rest, stdout))
}

fn spawn(store: &Store, request: &GitRequest) -> anyhow::Result<Child> {
    let dir = store.dir(request.repository);
    let mut backend = command(&dir, "git");
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &request.path)
        .env("REQUEST_METHOD", request.method.as_str())
        .env("QUERY_STRING", &request.query)
        .env("REMOTE_USER", &request.user)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("GIT_CONFIG_COUNT", CONFIGURATION.len().to_string())
        .stdin(Stdio::piped());
    for (index, (key, value)) in CONFIGURATION.iter().enumerate() {
        backend
            .env(format!("GIT_CONFIG_KEY_{index}"), key)
            .env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    let optional = [
        ("CONTENT_LENGTH", header("content-length")),
        ("HTTP_CONTENT_ENCODING", header("content-encoding")),
        ("GIT_PROTOCOL", header("git-protocol")),
        ("BITBUCKET_SIM_REJECT", request.reject.as_deref()),
    ];
    for (name, value) in optional {
        match value {
            Some(value) => backend.env(name, value),
            None => backend.env_remove(name),
        };
    }
    backend.spawn().context("git http-backend cannot be started")
}

/// Copies the request body; the receiver may close early, for example on a rejected push.
async fn feed(mut stdin: ChildStdin, body: Body) {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let written = match chunk {
            Ok(chunk) => stdin.write_all(&chunk).await,
            Err(error) => Err(std::io::Error::other(error)),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a git request's body ended early");
            return;
        }
    }
    if let Err(error) = stdin.shutdown().await {
        tracing::debug!(%error, "git http-backend had already ended");
    }
}

async fn read_head(stdout: &mut ChildStdout) -> anyhow::Result<(Head, Bytes)> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some((end, skip)) = head_end(&buffer) {
            let head = parse_head(&String::from_utf8_lossy(&buffer[..end]))?;
            let rest = buffer.split_off(end + skip).freeze();
            return Ok((head, rest));
        }
        if buffer.len() > HEAD_BYTES_MAX || stdout.read_buf(&mut buffer).await? == 0 {
            bail!("git http-backend gave no header block");
        }
    }
}

fn head_end(buffer: &[u8]) -> Option<(usize, usize)> {
    let crlf = buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| (at, 4));
    crlf.or_else(|| buffer.windows(2).position(|w| w == b"\n\n").map(|at| (at, 2)))
}

fn parse_head(text: &str) -> anyhow::Result<Head> {
    let mut head = Head {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    for line in text.lines() {
        let (name, value) = line.split_once(':').context("a CGI header without a colon")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            head.status = code.parse().context("a CGI status that is no number")?;
        } else {
            head.headers
                .append(HeaderName::try_from(name)?, HeaderValue::from_str(value)?);
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgi_head_gives_status_and_headers() {
        let text = b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nbody";
        let (end, skip) = head_end(text).unwrap();
        let head = parse_head(std::str::from_utf8(&text[..end]).unwrap()).unwrap();
        assert_eq!(head.status, StatusCode::FORBIDDEN);
        assert_eq!(head.headers["content-type"], "text/plain");
        assert_eq!(&text[end + skip..], b"body");
    }
}
