//! A REST call as handlers see it.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::answer::RestError;
use super::paging::PageRequest;
use super::query::Query;
use crate::app::App;
use crate::state::ids::{CommentId, ProjectId, PullRequestId, PullRequestKey, RepositoryId};
use crate::state::permission::Level;
use crate::state::user::Caller;
use crate::state::world::World;

/// Everything about one REST request.
pub(crate) struct Call {
    pub(crate) app: App,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    caller: Option<Caller>,
    params: Vec<(String, String)>,
    target: String,
}

/// What the door knows of a request, put into its extensions.
#[derive(Clone)]
pub(crate) struct Identified {
    pub(crate) caller: Option<Caller>,
    /// Path and query below the context path, before routing takes it apart.
    pub(crate) target: String,
}

impl FromRequest<App> for Call {
    type Rejection = RestError;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Call, RestError> {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, app)
            .await
            .map_err(|_| RestError::invalid("path", "The path is not UTF-8"))?;
        let params = params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = body
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?
            .to_bytes();
        let identified = parts.extensions.remove::<Identified>();
        let (caller, target) = identified.map(|i| (i.caller, i.target)).unwrap_or_default();
        Ok(Call {
            app: app.clone(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
            caller,
            params,
            target,
        })
    }
}

impl Call {
    /// The caller; anonymous requests get 401.
    pub(crate) fn caller(&self) -> Result<&Caller, RestError> {
        self.caller.as_ref().ok_or_else(RestError::anonymous)
    }

    /// A path parameter; empty if the route has none of this name.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The body as JSON of the expected shape, else 400.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, RestError> {
        let bytes: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(bytes).map_err(|error| RestError::invalid("body", error.to_string()))
    }

    /// Whether the client asks for this media type first.
    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        let accept = self
            .headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| accept.trim_start().starts_with(media_type))
    }

    /// The page the query asks for.
    pub(crate) fn page(&self, cap: usize) -> PageRequest {
        PageRequest::of(&self.query, cap)
    }

    /// The expected version of a write: in the query or in the body.
    pub(crate) fn version(&self) -> Option<u64> {
        let in_body = || {
            serde_json::from_slice::<serde_json::Value>(&self.body)
                .ok()?
                .get("version")?
                .as_u64()
        };
        self.query.number("version").or_else(in_body)
    }

    /// The project in the path, if the caller may do this much there.
    pub(crate) fn project(&self, world: &World, need: Level) -> Result<ProjectId, RestError> {
        let caller = self.caller()?;
        let key = self.param("key");
        let project = world
            .project_by_key(key)
            .ok_or_else(|| RestError::no_such_project(key))?;
        if world.caller_on_project(caller, project.id) >= Some(need) {
            return Ok(project.id);
        }
        Err(RestError::not_permitted())
    }

    /// The repository in the path, if the caller may do this much there.
    pub(crate) fn repository(&self, world: &World, need: Level) -> Result<RepositoryId, RestError> {
        let caller = self.caller()?;
        let (key, slug) = (self.param("key"), self.param("slug"));
        let project = world
            .project_by_key(key)
            .ok_or_else(|| RestError::no_such_project(key))?;
        let Some(repository) = world.repository_by_slug(key, slug) else {
            let former = world
                .former_names
                .get(&(project.key.to_ascii_lowercase(), slug.to_ascii_lowercase()));
            return Err(match former {
                Some(id) => self.moved(world, *id, key, slug)?,
                None => RestError::no_such_repository(&project.key, slug),
            });
        };
        if world.caller_on_repository(caller, repository.id) >= Some(need) {
            return Ok(repository.id);
        }
        Err(RestError::not_permitted())
    }

    fn moved(&self, world: &World, id: RepositoryId, key: &str, slug: &str) -> Result<RestError, RestError> {
        let repository = world.repository(id)?;
        let project = world.project_of(repository)?;
        let old = format!("/projects/{key}/repos/{slug}");
        let new = format!("/projects/{}/repos/{}", project.key, repository.slug);
        let path = self.target.replacen(&old, &new, 1);
        Ok(RestError::moved(format!("{}{path}", self.app.base_url())))
    }

    /// The pull request in the path, if the caller may do this much in its repository.
    pub(crate) fn pull_request(&self, world: &World, need: Level) -> Result<PullRequestKey, RestError> {
        let repository = self.repository(world, need)?;
        let id = self.param("id");
        let id = PullRequestId(
            id.parse()
                .map_err(|_| RestError::invalid("pullRequestId", format!("'{id}' is no number")))?,
        );
        let key = PullRequestKey { repository, id };
        world.pull_request(key)?;
        Ok(key)
    }

    /// The comment id in the path.
    pub(crate) fn comment_id(&self) -> Result<CommentId, RestError> {
        let id = self.param("comment");
        id.parse()
            .map(CommentId)
            .map_err(|_| RestError::no_such_comment(id))
    }
}
