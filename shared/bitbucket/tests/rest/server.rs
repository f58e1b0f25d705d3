//! A server that answers as a test says and remembers what it was asked.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use bitbucket::Client;
use config::{BaseUrl, Connection, Mention, Permission, Position, Proxy, RepositoryGlobs};
use http::{HeaderMap, Method, Response, StatusCode};
use pipeline::event::Repository;
use pipeline::ids::{ConnectionId, ProjectKey, PullRequestId, RepositoryId, RepositorySlug};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;

/// The token that every client of these tests has.
pub(crate) const TOKEN: &str = "BBDC-very-secret";

/// The pull request of the fixtures.
pub(crate) const PR: PullRequestId = PullRequestId(7);

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A running server; ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request by `answer`, which also gets the number of requests before it.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Asked) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        let app = Router::new().fallback(async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            let target = head
                .uri
                .path_and_query()
                .map_or_else(|| head.uri.to_string(), ToString::to_string);
            let asked = Asked {
                method: head.method,
                target,
                headers: head.headers,
                body,
            };
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(asked.clone());
                seen.len() - 1
            };
            answer(before, &asked)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked }
    }

    /// Everything it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// A connection to it, below a context path.
    pub(crate) fn connection(&self) -> Connection {
        connection(&format!("http://{}/bitbucket", self.address))
    }

    /// A client of that connection.
    pub(crate) fn client(&self) -> Client {
        client(&self.connection())
    }
}

pub(crate) fn connection(base_url: &str) -> Connection {
    let base_url = BaseUrl::parse(base_url).unwrap();
    Connection {
        id: ConnectionId::new("main").unwrap(),
        instance: base_url.instance(),
        base_url,
        bot_token_file: "/nowhere".into(),
        bot_user: None,
        commit_name: None,
        commit_email: None,
        webhook_secret_files: Vec::new(),
        ca_pem: None,
        proxy: None,
        repositories: RepositoryGlobs::new(&["PROJ/*"]).unwrap(),
        allow_http: false,
        request_burst: const { NonZeroU32::new(50).unwrap() },
        requests_per_minute: const { NonZeroU32::new(285).unwrap() },
        mention: Mention {
            names: vec!["openhands".into()],
            position: Position::Anywhere,
        },
        permission: Permission {
            change: "REPO_WRITE".into(),
            read: "REPO_READ".into(),
            ..Permission::default()
        },
    }
}

pub(crate) fn client(connection: &Connection) -> Client {
    Client::new(connection, SecretString::from(TOKEN), &Proxy::default()).unwrap()
}

pub(crate) fn repository() -> Repository {
    Repository {
        id: RepositoryId(84),
        project: ProjectKey::new("PROJ").unwrap(),
        slug: RepositorySlug::new("demo").unwrap(),
    }
}

pub(crate) fn json(status: u16, body: impl Into<String>) -> Response<Body> {
    answer(
        status,
        &[("content-type", "application/json;charset=UTF-8")],
        body,
    )
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response
            .headers_mut()
            .append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    response
}
