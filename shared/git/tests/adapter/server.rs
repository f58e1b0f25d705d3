//! git smart HTTP on loopback: `git http-backend` as a CGI program, with Bitbucket's way of refusing.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "t0ken-of-the-bot";

/// Bytes of a request that the server takes; tests push little.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What the server does instead of serving, and what it has seen.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Answer everything with this status and these headers.
    pub(crate) instead: Option<(StatusCode, Vec<(&'static str, String)>)>,
    /// Answer only POSTs to this service with this status.
    pub(crate) instead_of_post: Option<(&'static str, StatusCode)>,
    /// Do what a push asks, and lose the answer.
    pub(crate) lose_push_answer: bool,
    /// Never answer POSTs to this service.
    pub(crate) silent_to: Option<&'static str>,
    /// Pretend to know protocol version 0 only, as behind a proxy that drops `Git-Protocol`.
    pub(crate) version_0_only: bool,
    /// `METHOD path?query authorization`
    pub(crate) seen: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    root: PathBuf,
}

impl Server {
    /// Serves the bare repositories below `root` until the process ends.
    pub(crate) fn start(root: &Path) -> Self {
        Self::serve(root, "http", |listener, app| async move {
            let _ended = axum::serve(listener, app).await;
        })
    }

    /// As [`Server::start`], by TLS: `wrap` makes the listener.
    pub(crate) fn start_tls<L>(root: &Path, wrap: impl FnOnce(TcpListener) -> L + Send + 'static) -> Self
    where
        L: axum::serve::Listener<Addr = SocketAddr>,
    {
        Self::serve(root, "https", |listener, app| async move {
            let _ended = axum::serve(wrap(listener), app).await;
        })
    }

    fn serve<F: Future>(
        root: &Path,
        scheme: &str,
        serve: impl FnOnce(TcpListener, Router) -> F + Send + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            url: format!("{scheme}://{}", listener.local_addr().unwrap()),
            behaviour: Arc::default(),
            root: root.to_owned(),
        };
        let app = Router::new().fallback(answer).with_state(server.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), app).await });
        });
        server
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.behaviour.lock().unwrap().seen.clone()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let authorization = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-")
        .to_owned();
    let posted_to = |service: &str| head.method == "POST" && head.uri.path().ends_with(service);
    let (instead, silent, lose, version_0) = {
        let mut behaviour = server.behaviour.lock().unwrap();
        behaviour
            .seen
            .push(format!("{} {} {authorization}", head.method, head.uri));
        (
            instead(&behaviour, posted_to),
            behaviour.silent_to.is_some_and(posted_to),
            behaviour.lose_push_answer && posted_to("/git-receive-pack"),
            behaviour.version_0_only,
        )
    };
    if silent {
        std::future::pending::<()>().await;
    }
    if let Some(response) = instead {
        return response;
    }
    if authorization != format!("Bearer {TOKEN}") {
        return (
            StatusCode::UNAUTHORIZED,
            [("www-authenticate", "Basic realm=\"Atlassian Bitbucket\"")],
        )
            .into_response();
    }
    let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let root = server.root.clone();
    let output = tokio::task::spawn_blocking(move || {
        backend(&root, (&method, &path, &query), &head.headers, &body, version_0)
    })
    .await
    .unwrap();
    if lose {
        StatusCode::BAD_GATEWAY.into_response()
    } else {
        from_cgi(output)
    }
}

/// The answer that git is not asked for.
fn instead(behaviour: &Behaviour, posted_to: impl Fn(&str) -> bool) -> Option<Response> {
    if let Some((status, headers)) = &behaviour.instead {
        let mut response = status.into_response();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        return Some(response);
    }
    let (service, status) = behaviour.instead_of_post?;
    posted_to(service).then(|| status.into_response())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server under test's counterpart is git itself"
)]
fn backend(
    root: &Path,
    (method, path, query): (&str, &str, &str),
    headers: &HeaderMap,
    body: &Bytes,
    version_0: bool,
) -> Vec<u8> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REMOTE_USER", "bot")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if !version_0 {
        command.env("GIT_PROTOCOL", header("git-protocol"));
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap();
    // git may stop reading early, for example when it refuses.
    let _ = writing.join().unwrap();
    output.stdout
}

fn from_cgi(output: Vec<u8>) -> Response {
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a CGI answer has a head");
    let mut response = Response::new(output[end + 4..].to_vec().into());
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().split(' ').next().unwrap();
            *response.status_mut() = code.parse().unwrap();
        } else {
            response.headers_mut().insert(
                name.parse::<axum::http::HeaderName>().unwrap(),
                value.trim().parse().unwrap(),
            );
        }
    }
    response
}
