//! What can go wrong, in terms of what a person can do about it.

use std::{collections::BTreeMap, time::Duration};

use crate::{route::Access, text::cut};

/// Why a call did not give what was asked for.
///
/// `call` is the call's name in the route table, such as `adapters.list`; when
/// the session could not be opened it is `auth.login` or `auth.refresh`. Every
/// text of the server in here has been cleaned: one line, at most 400
/// characters, no control characters, no mark-up, no secret of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing answered, or the connection ended before the whole answer was here.
    #[error("{call}: the server cannot be reached ({stage}): {detail}")]
    Unreachable {
        /// Name of the call.
        call: &'static str,
        /// How far it came.
        stage: Stage,
        /// What the network said.
        detail: String,
    },
    /// No secure connection: certificate not trusted, expired, for another name,
    /// client certificate refused, or no TLS on that port.
    #[error("{call}: no TLS connection: {detail}")]
    TlsError {
        /// Name of the call.
        call: &'static str,
        /// What the TLS library or the server's alert said.
        detail: String,
    },
    /// The server does not accept who we are.
    #[error("{call}: not authorized ({refusal}): {detail}")]
    Unauthorized {
        /// Name of the call.
        call: &'static str,
        /// What was refused.
        refusal: Refusal,
        /// The server's words.
        detail: String,
    },
    /// The server knows who we are and does not allow it.
    #[error("{call}: forbidden ({denial}; needed: {needed}): {detail}")]
    Forbidden {
        /// Name of the call.
        call: &'static str,
        /// Who may do this.
        needed: Access,
        /// Why we may not.
        denial: Denial,
        /// The server's words.
        detail: String,
    },
    /// The object does not exist. A route that does not exist is [`Error::Protocol`].
    #[error("{call}: not found: {detail}")]
    NotFound {
        /// Name of the call.
        call: &'static str,
        /// The server's words.
        detail: String,
    },
    /// The object exists already, is in use, or is in the wrong state (409).
    #[error("{call}: conflict: {detail}")]
    Conflict {
        /// Name of the call.
        call: &'static str,
        /// The server's words.
        detail: String,
    },
    /// Something must be allowed or done first (412), for instance a restore of
    /// a snapshot that is not durable.
    #[error("{call}: refused until a precondition holds: {detail}")]
    Precondition {
        /// Name of the call.
        call: &'static str,
        /// The server's words.
        detail: String,
    },
    /// The server refuses the request's content (other 4xx).
    #[error("{call}: refused with {status}: {detail}{}", listed(fields))]
    Invalid {
        /// Name of the call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
        /// Per field what is wrong with it, where the server says so (422 of the adapter settings).
        fields: BTreeMap<String, String>,
    },
    /// Too many requests (429).
    #[error("{call}: too many requests{}: {detail}", after(*retry_after))]
    RateLimited {
        /// Name of the call.
        call: &'static str,
        /// When to come back, from `Retry-After`.
        retry_after: Option<Duration>,
        /// The server's words.
        detail: String,
    },
    /// The server failed (5xx). dfs answers 500 to everything while its database is away.
    #[error("{call}: the server failed with {status}: {detail}")]
    ServerError {
        /// Name of the call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words; may be empty.
        detail: String,
    },
    /// Not what dfs answers: another program, a proxy, or another version.
    #[error("{call}: unexpected answer: {detail}")]
    Protocol {
        /// Name of the call.
        call: &'static str,
        /// What was expected or found; names the field that is missing or of another type.
        detail: String,
    },
}

/// How far a call came before the connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No connection, so nothing was sent: name not found, refused, no route, or time over.
    Connect,
    /// The request may have been carried out: no answer came, or not in time.
    Answer,
    /// The answer began and broke off.
    Body,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Stage::Connect => "no connection",
            Stage::Answer => "no answer",
            Stage::Body => "answer broken off",
        })
    }
}

/// What the server refused with 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client was built without an account and the call needs one. Nothing was sent.
    NoAccount,
    /// User or password. Remembered: nothing is sent until the account changes
    /// or [`crate::Client::forget_refusal`] is called.
    Password,
    /// The token, although it was renewed just now.
    Token,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Refusal::NoAccount => "no account",
            Refusal::Password => "user or password refused",
            Refusal::Token => "new token refused",
        })
    }
}

/// Why the server answered 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The account's role is too low for the call.
    Role,
    /// The account is disabled.
    Disabled,
    /// The account must set a new password first ([`crate::Auth::change_password`]).
    MustChangePassword,
    /// The object is protected, for instance a built-in group or the account `admin`.
    Protected,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Denial::Role => "role too low",
            Denial::Disabled => "account disabled",
            Denial::MustChangePassword => "new password needed",
            Denial::Protected => "protected",
        })
    }
}

impl Error {
    /// Name of the call that failed.
    #[must_use]
    pub fn call(&self) -> &'static str {
        match self {
            Error::Unreachable { call, .. }
            | Error::TlsError { call, .. }
            | Error::Unauthorized { call, .. }
            | Error::Forbidden { call, .. }
            | Error::NotFound { call, .. }
            | Error::Conflict { call, .. }
            | Error::Precondition { call, .. }
            | Error::Invalid { call, .. }
            | Error::RateLimited { call, .. }
            | Error::ServerError { call, .. }
            | Error::Protocol { call, .. } => call,
        }
    }

    /// One word for a condition's reason or a metric's label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Unreachable { .. } => "Unreachable",
            Error::TlsError { .. } => "TLSError",
            Error::Unauthorized { .. } => "Unauthorized",
            Error::Forbidden { .. } => "Forbidden",
            Error::NotFound { .. } => "NotFound",
            Error::Conflict { .. } => "Conflict",
            Error::Precondition { .. } => "PreconditionFailed",
            Error::Invalid { .. } => "Invalid",
            Error::RateLimited { .. } => "RateLimited",
            Error::ServerError { .. } => "ServerError",
            Error::Protocol { .. } => "Protocol",
        }
    }

    /// Whether the object asked for does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound { .. })
    }

    /// Whether a change may have been made although the call failed: read the
    /// state again before deciding anything. The server goes on with its work
    /// when its own write time-out cuts the connection.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Error::Unreachable { stage, .. } => *stage != Stage::Connect,
            Error::ServerError { .. } | Error::Protocol { .. } => true,
            _ => false,
        }
    }

    /// Whether the same call may succeed a moment later without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::RateLimited { .. } => true,
            Error::ServerError { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }
}

fn listed(fields: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = fields
        .iter()
        .map(|(field, problem)| format!("{field} {problem}"))
        .collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" ({})", cut(&all.join("; "), 400))
    }
}

fn after(delay: Option<Duration>) -> String {
    delay.map_or_else(String::new, |delay| {
        format!(", come back in {} s", delay.as_secs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_short_whatever_the_server_says() {
        let text = |number: usize| format!("{number}{}", "x".repeat(400));
        let error = Error::Invalid {
            call: "adapter_settings.patch",
            status: 422,
            detail: text(0),
            fields: (0..50).map(|number| (text(number), text(number))).collect(),
        };
        assert!(error.to_string().chars().count() < 1000, "{error}");
    }
}
