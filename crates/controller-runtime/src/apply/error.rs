//! Why a write failed.

use kube::Error;

use crate::fence::LeaseLost;

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The object changed, went or was replaced since it was read: visit
    /// again with a fresh read. What was known of it is forgotten.
    #[error("{kind} {name} changed meanwhile")]
    Conflict {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
    },
    /// The API server refuses the object as invalid (422, or 400 for fields
    /// that it does not know).
    #[error("{kind} {name} is refused: {message}")]
    Invalid {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// The server's explanation.
        message: String,
    },
    /// This process is not the leader any more.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The object lacks what every write needs, a name and a namespace, or
    /// cannot be written as JSON.
    #[error("the object cannot be sent: {0}")]
    Malformed(String),
    /// Any other answer, or none.
    #[error("{kind} {name} cannot be written")]
    Api {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// The error of the client.
        #[source]
        source: Error,
    },
}

impl ApplyError {
    pub(crate) fn of(kind: &str, name: &str, error: Error) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        if LeaseLost::is_cause_of(&error) {
            return Self::LeaseLost(LeaseLost);
        }
        match error {
            Error::Api(status) if status.code == 409 || is_other_identity(&status) => {
                Self::Conflict { kind, name }
            }
            Error::Api(status) if status.code == 422 || status.code == 400 => Self::Invalid {
                kind,
                name,
                message: status.message,
            },
            source => Self::Api { kind, name, source },
        }
    }

    /// Whether a visit with a fresh read may succeed at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// An apply that names the UID of a predecessor is answered as an attempt to
/// change the UID.
fn is_other_identity(status: &kube::core::Status) -> bool {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice());
    status.code == 422
        && causes
            .unwrap_or_default()
            .iter()
            .any(|cause| cause.field == "metadata.uid")
}
