//! What the HTTP client's own errors say about the request: was it sent, and why did it go wrong?

use std::error::Error as StdError;

use crate::answer::shown;
use crate::error::Error;

/// Tells one transport error from another. `secret` is taken out of whatever text is kept.
pub(crate) fn transport_error(error: &reqwest::Error, secret: &str) -> Error {
    let cause = shown(&innermost(error), secret);
    if error.is_connect() {
        // A handshake that fails belongs to connecting; a record that fails later says nothing about the request.
        if is_tls(error) {
            Error::Tls { cause }
        } else {
            Error::Unreachable { cause }
        }
    } else if error.is_timeout() {
        Error::Timeout
    } else if error.is_builder() {
        Error::Settings { cause }
    } else {
        Error::Disconnected { cause }
    }
}

/// The reason is wrapped several times; the innermost is the one that helps.
fn innermost(error: &reqwest::Error) -> String {
    let mut reason: &dyn StdError = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    // The outermost error's own text would name the URL.
    if error.source().is_none() {
        "no further reason".to_owned()
    } else {
        reason.to_string()
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut reason: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = reason {
        let wrapped = inner
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if inner.is::<rustls::Error>()
            || wrapped.is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        // An io::Error passes over what it wraps when asked for its source.
        reason = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    false
}
