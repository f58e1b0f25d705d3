//! What a REST call is answered with; error bodies as in bitbucket-dc.md 3.1.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::json::{Json, object};
use crate::state::ids::PullRequestId;

/// What every REST handler returns.
pub(crate) type Reply = Result<Answer, RestError>;

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Json(Json),
    Bytes(&'static str, Vec<u8>),
}

impl Answer {
    /// 200 with JSON.
    pub(crate) fn ok(json: Json) -> Answer {
        Answer {
            status: StatusCode::OK,
            content: Content::Json(json),
        }
    }

    /// Another status with JSON.
    pub(crate) fn with_status(status: StatusCode, json: Json) -> Answer {
        Answer {
            status,
            content: Content::Json(json),
        }
    }

    /// 201 with JSON.
    pub(crate) fn created(json: Json) -> Answer {
        Answer::with_status(StatusCode::CREATED, json)
    }

    /// 204.
    pub(crate) fn no_content() -> Answer {
        Answer {
            status: StatusCode::NO_CONTENT,
            content: Content::Nothing,
        }
    }

    /// 200 with plain text.
    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Answer {
        Answer::bytes("text/plain;charset=UTF-8", text)
    }

    /// 200 with bytes of the given content type.
    pub(crate) fn bytes(content_type: &'static str, bytes: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status: StatusCode::OK,
            content: Content::Bytes(content_type, bytes.into()),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.content {
            Content::Nothing => response(self.status, None, Body::empty()),
            Content::Json(json) => json_response(self.status, &json),
            Content::Bytes(content_type, bytes) => {
                response(self.status, Some(content_type), Body::from(bytes))
            }
        }
    }
}

/// A JSON answer.
pub(crate) fn json_response(status: StatusCode, json: &Json) -> Response {
    response(
        status,
        Some("application/json;charset=UTF-8"),
        Body::from(json.text()),
    )
}

fn response(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// An error answer: `{"errors":[{context, message, exceptionName, …}]}`.
#[derive(Debug)]
pub(crate) struct RestError(Box<Details>);

#[derive(Debug)]
struct Details {
    status: StatusCode,
    context: Option<String>,
    message: Option<String>,
    exception: Option<String>,
    extras: Vec<(&'static str, Json)>,
    location: Option<String>,
}

const PREFIX: &str = "com.atlassian.bitbucket.";

impl RestError {
    /// An error with an exception of Bitbucket's own package, `exception` without its prefix.
    pub(crate) fn new(status: StatusCode, exception: &str, message: impl Into<String>) -> RestError {
        RestError::raw(status, Some(format!("{PREFIX}{exception}")), Some(message.into()))
    }

    fn raw(status: StatusCode, exception: Option<String>, message: Option<String>) -> RestError {
        RestError(Box::new(Details {
            status,
            context: None,
            message,
            exception,
            extras: Vec::new(),
            location: None,
        }))
    }

    /// Names the field the error is about.
    pub(crate) fn about(mut self, field: &str) -> RestError {
        self.0.context = Some(field.to_owned());
        self
    }

    /// Adds a key beside the message.
    pub(crate) fn extra(mut self, key: &'static str, value: impl Into<Json>) -> RestError {
        self.0.extras.push((key, value.into()));
        self
    }

    /// 401: known, but lacks the permission.
    pub(crate) fn not_permitted() -> RestError {
        let message = "You are not permitted to access this resource";
        RestError::new(StatusCode::UNAUTHORIZED, "AuthorisationException", message)
    }

    /// 401: wrong password or token.
    pub(crate) fn bad_credentials() -> RestError {
        RestError::new(
            StatusCode::UNAUTHORIZED,
            "auth.IncorrectPasswordAuthenticationException",
            "Authentication failed. Please check your credentials and try again.",
        )
    }

    /// 401: no longer licensed.
    pub(crate) fn unlicensed() -> RestError {
        RestError::new(
            StatusCode::UNAUTHORIZED,
            "auth.NoAccessAuthenticationException",
            "You are not currently licensed to use Bitbucket.\nPlease contact your administrator to resolve this issue.",
        )
    }

    /// 401: nobody said who they are.
    pub(crate) fn anonymous() -> RestError {
        let exception = "com.atlassian.plugins.rest.api.security.exception.AuthenticationRequiredException";
        RestError::raw(StatusCode::UNAUTHORIZED, Some(exception.to_owned()), None)
    }

    /// 404
    pub(crate) fn no_such_project(key: &str) -> RestError {
        let message = format!("Project {key} does not exist.");
        RestError::new(StatusCode::NOT_FOUND, "project.NoSuchProjectException", message)
    }

    /// 404
    pub(crate) fn no_such_repository(key: &str, slug: &str) -> RestError {
        let message = format!("Repository {key}/{slug} does not exist.");
        RestError::new(
            StatusCode::NOT_FOUND,
            "repository.NoSuchRepositoryException",
            message,
        )
    }

    /// 404
    pub(crate) fn no_such_pull_request(id: PullRequestId, repository: &str) -> RestError {
        let message = format!("Pull request {id} does not exist in {repository}.");
        RestError::new(StatusCode::NOT_FOUND, "pull.NoSuchPullRequestException", message)
    }

    /// 404
    pub(crate) fn no_such_user(slug: &str) -> RestError {
        let message = format!("User {slug} does not exist.");
        RestError::new(StatusCode::NOT_FOUND, "user.NoSuchUserException", message)
    }

    /// 404
    pub(crate) fn no_such_commit(commit: &str, slug: &str) -> RestError {
        let message = format!("Commit '{commit}' does not exist in repository '{slug}'.");
        RestError::new(StatusCode::NOT_FOUND, "commit.NoSuchCommitException", message)
    }

    /// 404
    pub(crate) fn no_such_comment(id: &str) -> RestError {
        let message = format!("The comment with ID {id} does not exist.");
        RestError::new(StatusCode::NOT_FOUND, "comment.NoSuchCommentException", message)
    }

    /// 404
    pub(crate) fn no_such_branch(name: &str) -> RestError {
        let message = format!("Branch \"{name}\" does not exist.");
        RestError::new(StatusCode::NOT_FOUND, "repository.NoSuchBranchException", message)
    }

    /// 404 of another kind.
    pub(crate) fn not_found(exception: &str, message: impl Into<String>) -> RestError {
        RestError::new(StatusCode::NOT_FOUND, exception, message)
    }

    /// 400: an argument is wrong.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> RestError {
        RestError::new(
            StatusCode::BAD_REQUEST,
            "validation.ArgumentValidationException",
            message,
        )
        .about(field)
    }

    /// 409 of any kind.
    pub(crate) fn conflict(exception: &str, message: impl Into<String>) -> RestError {
        RestError::new(StatusCode::CONFLICT, exception, message)
    }

    /// 409: the version is stale. `what` is `comment` or `pull request`.
    pub(crate) fn out_of_date(what: &str, current: u64, expected: Option<u64>) -> RestError {
        let exception = match what {
            "comment" => "comment.CommentOutOfDateException",
            _ => "pull.PullRequestOutOfDateException",
        };
        let message = format!("You are attempting to modify a {what} based on out-of-date information.");
        RestError::conflict(exception, message)
            .extra("currentVersion", current)
            .extra("expectedVersion", expected)
    }

    /// 307 to where the resource is now.
    pub(crate) fn moved(location: String) -> RestError {
        let mut error = RestError::raw(StatusCode::TEMPORARY_REDIRECT, None, None);
        error.0.location = Some(location);
        error
    }
}

impl From<anyhow::Error> for RestError {
    /// A failure of the simulator itself, for example git; 500, so that a test notices.
    fn from(error: anyhow::Error) -> RestError {
        tracing::error!(error = format!("{error:#}"), "the simulator failed");
        let message = format!("the simulator failed: {error:#}");
        RestError::raw(StatusCode::INTERNAL_SERVER_ERROR, None, Some(message))
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let details = *self.0;
        if let Some(location) = details.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
            let mut response = response(details.status, None, Body::empty());
            response.headers_mut().insert(header::LOCATION, location);
            return response;
        }
        let mut error = object! {
            "context": details.context,
            "message": details.message,
            "exceptionName": details.exception,
        };
        for (key, value) in details.extras {
            error = error.with(key, value);
        }
        json_response(details.status, &object! { "errors": vec![error] })
    }
}
