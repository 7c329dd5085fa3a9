//! From errors of the REST client to what people read in a condition.

use std::time::Duration;

use adapter_client::{Denial, Error, Refusal};
use api_types::conditions::Reason;

/// Why a server could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition that speaks of it.
    pub reason: Reason,
    /// For people: what is, and what to do.
    pub message: String,
    /// When the other side wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Trouble {
    /// A trouble without a wish of the other side.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Trouble {
            reason,
            message: message.into(),
            retry_after: None,
        }
    }
}

/// What an error of a call means, for our account.
#[must_use]
pub fn of(error: &Error) -> Trouble {
    let (reason, remedy) = match error {
        Error::Unreachable { .. } => (
            Reason::Unreachable,
            "Check the pod, and that network policies let the operator reach it",
        ),
        Error::TlsError { .. } => (
            Reason::TLSError,
            "Check ca.crt in the Secret controlPlane.certSecretName, the names in the certificate, and controlPlane.clientCertSecretName",
        ),
        Error::Unauthorized { .. } => (
            Reason::Unauthorized,
            "The account is made again as soon as the administrator's password is right",
        ),
        Error::Forbidden { denial, .. } => (
            Reason::Forbidden,
            match denial {
                Denial::Disabled => {
                    "Enable the account in the server, or delete it there: it is made again"
                }
                _ => "Delete the account in the server: it is made again",
            },
        ),
        Error::RateLimited { .. } => (
            Reason::RateLimited,
            "Something in between asks for fewer requests",
        ),
        Error::ServerError { .. } => (
            Reason::ServerError,
            "Look into the server's log; mostly its database is away",
        ),
        _ => (
            Reason::UnexpectedAnswer,
            "Check spec.image, and what stands between the operator and the server",
        ),
    };
    match error {
        // Without the time that it asks for: a message that does not change is not written again.
        Error::RateLimited {
            call, retry_after, ..
        } => {
            let mut trouble = Trouble::new(reason, format!("{call}: too many requests. {remedy}."));
            trouble.retry_after = *retry_after;
            trouble
        }
        _ => Trouble::new(reason, format!("{error}. {remedy}.")),
    }
}

/// What an error of a call means that was made as the administrator with the password of a Secret.
#[must_use]
pub fn of_admin(error: &Error, secret: &str) -> Trouble {
    match error {
        Error::Unauthorized {
            refusal: Refusal::Password,
            ..
        } => Trouble::new(
            Reason::Unauthorized,
            format!(
                "The server refuses the administrator's password in Secret {secret}: somebody changed it in the server. Put the present password there; it is tried at once."
            ),
        ),
        Error::Forbidden { denial, .. } => Trouble::new(
            Reason::Forbidden,
            format!(
                "The server does not let the account admin act ({denial}): see to it with the server's own tools."
            ),
        ),
        other => of(other),
    }
}
