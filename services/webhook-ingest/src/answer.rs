//! What Bitbucket is told.

use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// An answer to one request. The same answer is the same bytes, whatever led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200: stored.
    Accepted,
    /// 200: signed, and nothing in it for us; the reason is recorded as a decision.
    Ignored,
    /// 200: Bitbucket's "Test connection"; no effect.
    Ping,
    /// 400: signed, and not JSON.
    Malformed,
    /// 400: the body broke off.
    Broken,
    /// 401: not signed by a secret of this connection, or no such connection.
    Refused,
    /// 408: the body took too long.
    TooSlow,
    /// 413: the body is over the limit.
    TooLarge,
    /// 503: not stored within the publish budget, or this process is short of memory or of its secrets.
    Unavailable,
}

impl Answer {
    /// The label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Ping => "ping",
            Self::Malformed => "malformed",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::TooSlow => "too-slow",
            Self::TooLarge => "too-large",
            Self::Unavailable => "unavailable",
        }
    }

    /// Status and words; the words are for whoever looks at Bitbucket's page of the webhook's last request.
    fn status_and_text(self) -> (StatusCode, &'static str) {
        match self {
            Self::Accepted => (StatusCode::OK, "accepted\n"),
            Self::Ignored => (StatusCode::OK, "ignored\n"),
            Self::Ping => (
                StatusCode::OK,
                "reached; a test request is not signed, so the secret was not checked\n",
            ),
            Self::Malformed => (StatusCode::BAD_REQUEST, "the body is not JSON\n"),
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n"),
            Self::Refused => (StatusCode::UNAUTHORIZED, "connection id or signature is wrong\n"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "not stored; try again\n"),
        }
    }

    /// Whether part of the request may still be under way, so that the connection cannot be used again.
    fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Broken | Self::TooSlow | Self::TooLarge | Self::Unavailable
        )
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = self.status_and_text().into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if self.ends_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
