//! Reads answers: good ones into types, bad ones into errors.

use std::{collections::BTreeMap, time::Duration};

use http::{Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    error::{Denial, Error, Refusal},
    route::Request,
    text::{clean, clean_bytes},
};

/// The body of a good answer as `T`. Unknown fields do not matter; a missing or
/// wrong one is named with its place.
pub(crate) fn decode<T: DeserializeOwned>(
    request: &Request,
    answer: &Response<Bytes>,
) -> Result<T, Error> {
    let call = request.route.call;
    let protocol = |detail: String| Error::Protocol { call, detail };
    let kind = content_type(answer);
    if kind != "application/json" {
        let kind = if kind.is_empty() { "nothing" } else { &kind };
        return Err(protocol(format!(
            "expected JSON with status {}, got {}{}",
            answer.status().as_u16(),
            clean(kind, &[]),
            quoted(request, answer),
        )));
    }
    let mut reader = serde_json::Deserializer::from_slice(answer.body());
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let text = error.inner().to_string();
        // A question mark is where the reader stopped.
        let path = error.path().to_string();
        let place = match path.trim_end_matches(['.', '?']) {
            "" => "the answer".to_owned(),
            path => clean(path, &request.secrets),
        };
        if text.starts_with("missing field") || !request.hold_answer {
            protocol(format!("in {place}: {}", clean(&text, &request.secrets)))
        } else {
            // serde's own text quotes what it found.
            protocol(format!("in {place}: not as expected"))
        }
    })?;
    reader
        .end()
        .map_err(|_| protocol("something follows the JSON of the answer".into()))?;
    Ok(value)
}

/// The error that an answer outside 2xx stands for. `authenticated`: a token was sent along.
pub(crate) fn error(
    request: &Request,
    answer: &Response<Bytes>,
    authenticated: bool,
    retry_after: Option<Duration>,
    secrets: &[SecretString],
) -> Error {
    let call = request.route.call;
    let problem = Problem::of(answer, secrets);
    let from_handler = problem.is_some();
    let Problem { detail, errors } = problem.unwrap_or_else(|| Problem::from_text(answer, secrets));
    let status = answer.status();
    match status {
        StatusCode::UNAUTHORIZED => Error::Unauthorized {
            call,
            // A wrong present password is answered by the handler, a bad token before it.
            refusal: if authenticated && !from_handler {
                Refusal::Token
            } else {
                Refusal::Password
            },
            detail,
        },
        StatusCode::FORBIDDEN => Error::Forbidden {
            call,
            needed: request.route.access,
            denial: denial(&detail, authenticated, from_handler),
            detail,
        },
        // An absent route is answered by the router, in plain text.
        StatusCode::NOT_FOUND if from_handler => Error::NotFound { call, detail },
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Error::Protocol {
            call,
            detail: format!(
                "the server has no route {} {} ({} {detail})",
                request.route.method.method(),
                request.route.path,
                status.as_u16(),
            ),
        },
        StatusCode::CONFLICT => Error::Conflict { call, detail },
        StatusCode::PRECONDITION_FAILED => Error::Precondition { call, detail },
        StatusCode::TOO_MANY_REQUESTS => Error::RateLimited {
            call,
            retry_after,
            detail,
        },
        _ if status.is_client_error() => Error::Invalid {
            call,
            status: status.as_u16(),
            detail,
            fields: errors,
        },
        _ if status.is_server_error() => Error::ServerError {
            call,
            status: status.as_u16(),
            detail,
        },
        _ => Error::Protocol {
            call,
            detail: format!("status {} {detail}", status.as_u16()),
        },
    }
}

/// The middleware answers in plain text, handlers with a problem document; the
/// words are those of the server (contract 3.3, 3.4).
fn denial(detail: &str, authenticated: bool, from_handler: bool) -> Denial {
    if detail.contains("must set a new password") {
        Denial::MustChangePassword
    } else if !authenticated || detail.contains("disabled") {
        Denial::Disabled
    } else if from_handler && detail.contains("Cannot") {
        Denial::Protected
    } else {
        Denial::Role
    }
}

fn content_type(answer: &Response<Bytes>) -> String {
    answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn quoted(request: &Request, answer: &Response<Bytes>) -> String {
    if request.hold_answer || answer.body().is_empty() {
        return String::new();
    }
    format!(": {}", clean_bytes(answer.body(), &request.secrets))
}

/// What is said about a problem.
struct Problem {
    detail: String,
    errors: BTreeMap<String, String>,
}

impl Problem {
    /// RFC 9457, as the server's handlers write it.
    fn of(answer: &Response<Bytes>, secrets: &[SecretString]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            title: String,
            #[serde(default)]
            detail: String,
            #[serde(default)]
            hint: String,
            #[serde(default)]
            errors: BTreeMap<String, String>,
        }
        if content_type(answer) != "application/problem+json" {
            return None;
        }
        let document: Document = serde_json::from_slice(answer.body()).ok()?;
        let mut detail = if document.detail.is_empty() {
            document.title
        } else {
            document.detail
        };
        if !document.hint.is_empty() {
            detail = format!("{detail} ({})", document.hint);
        }
        Some(Self {
            detail: clean(&detail, secrets),
            errors: document
                .errors
                .iter()
                .take(50)
                .map(|(field, problem)| (clean(field, secrets), clean(problem, secrets)))
                .collect(),
        })
    }

    fn from_text(answer: &Response<Bytes>, secrets: &[SecretString]) -> Self {
        Self {
            detail: clean_bytes(answer.body(), secrets),
            errors: BTreeMap::new(),
        }
    }
}
