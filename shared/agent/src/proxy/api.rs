//! What the proxy answers: three APIs for answers of a model, the count of Anthropic's tokens, and the list of models.

use hyper::{Method, StatusCode};

/// An API in which an agent asks a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Anthropic's count of the tokens of a request; answers no words and costs nothing.
    CountTokens,
}

impl Api {
    /// The path under a base URL.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::CountTokens => "messages/count_tokens",
        }
    }

    /// Whose form its errors have.
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Chat => Form::OpenAi,
            Self::Responses => Form::Responses,
            Self::Messages | Self::CountTokens => Form::Anthropic,
        }
    }
}

/// The form of an error. OpenAI's two APIs differ inside a stream only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Chat completions, and everything unknown.
    OpenAi,
    /// Responses.
    Responses,
    /// Anthropic.
    Anthropic,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Something of the model.
    Model(Api),
    /// The list of models, which is answered here.
    Models,
}

/// Why there is no answer under a method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAsked {
    /// 404 or 405.
    pub(crate) status: StatusCode,
    /// The form that fits the path best.
    pub(crate) form: Form,
}

/// Finds what is asked for. Paths are exact, with and without `/v1`; a query has been taken off.
pub(crate) fn asked(method: &Method, path: &str) -> Result<Asked, NotAsked> {
    let route = path.strip_prefix("/v1").unwrap_or(path);
    let (asked, allowed) = match route {
        "/chat/completions" => (Asked::Model(Api::Chat), Method::POST),
        "/responses" => (Asked::Model(Api::Responses), Method::POST),
        "/messages" => (Asked::Model(Api::Messages), Method::POST),
        "/messages/count_tokens" => (Asked::Model(Api::CountTokens), Method::POST),
        "/models" => (Asked::Models, Method::GET),
        _ => {
            let form = if route.starts_with("/messages") {
                Form::Anthropic
            } else {
                Form::OpenAi
            };
            return Err(NotAsked {
                status: StatusCode::NOT_FOUND,
                form,
            });
        }
    };
    if *method == allowed {
        return Ok(asked);
    }
    Err(NotAsked {
        status: StatusCode::METHOD_NOT_ALLOWED,
        form: match asked {
            Asked::Model(api) => api.form(),
            Asked::Models => Form::OpenAi,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_paths_are_answered() {
        for (path, api) in [
            ("/chat/completions", Api::Chat),
            ("/v1/responses", Api::Responses),
            ("/v1/messages", Api::Messages),
            ("/messages/count_tokens", Api::CountTokens),
        ] {
            assert_eq!(asked(&Method::POST, path), Ok(Asked::Model(api)));
            assert_eq!(asked(&Method::GET, path).unwrap_err().status, 405);
        }
        assert_eq!(asked(&Method::GET, "/v1/models"), Ok(Asked::Models));
        for path in [
            "/",
            "",
            "/v1",
            "/v1/",
            "/v1/files",
            "/v1/embeddings",
            "/v1/responses/r1",
            "/v1/chat/completions/",
            "/v1/v1/messages",
            "/v1/../v1/messages",
            "/v1//messages",
            "/v2/messages",
            "/v1/messages/batches",
            "/v1/models/m",
        ] {
            for method in [Method::GET, Method::POST, Method::CONNECT] {
                assert_eq!(asked(&method, path).unwrap_err().status, 404, "{path}");
            }
        }
    }
}
