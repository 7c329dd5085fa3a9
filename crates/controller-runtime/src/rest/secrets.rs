//! The Secrets that open an API, read by name when they are needed.

use api_types::conditions::Reason;
use api_types::reference::SecretKeyRef;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{Sessions, Site, Trouble};

/// A Secret beside the server; `None` when it does not exist.
///
/// # Errors
/// When it cannot be had: what people should do.
pub async fn find(
    sessions: &Sessions,
    site: &Site<'_>,
    name: &str,
) -> Result<Option<Secret>, Trouble> {
    let api: Api<Secret> = Api::namespaced(sessions.client.clone(), site.instance.namespace);
    api.get_opt(name)
        .await
        .map_err(|error| unreadable(sessions.account.controller, name, &error))
}

/// What it means that the API server does not let the `controller` at a Secret.
#[must_use]
pub fn unreadable(controller: &str, name: &str, error: &kube::Error) -> Trouble {
    tracing::debug!(%error, "a Secret is out of reach");
    let message = match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "The API server does not give Secret {name} to the {controller}: bind the role dittofs-{controller} in this namespace."
        ),
        // Its words may tell of times and addresses, and change with each attempt.
        _ => format!(
            "The API server does not answer for Secret {name} at the moment: it is asked again."
        ),
    };
    Trouble::new(Reason::InputUnreadable, message)
}

/// A Secret beside the server.
///
/// # Errors
/// When it cannot be had: what people should do.
pub async fn read(sessions: &Sessions, site: &Site<'_>, name: &str) -> Result<Secret, Trouble> {
    find(sessions, site, name).await?.ok_or_else(|| {
        Trouble::new(
            Reason::SecretMissing,
            format!("Secret {name} does not exist: create it."),
        )
    })
}

/// The value of a key of a Secret.
///
/// # Errors
/// When it cannot be had: what people should do.
pub fn key(secret: &Secret, name: &str, key: &str) -> Result<Vec<u8>, Trouble> {
    let data = secret.data.as_ref();
    let value = data.and_then(|data| data.get(key)).map(|value| &value.0);
    value
        .filter(|value| !value.is_empty())
        .cloned()
        .ok_or_else(|| {
            Trouble::new(
                Reason::SecretKeyMissing,
                format!("Secret {name} has no value under {key}: add it."),
            )
        })
}

/// The value that a reference names.
///
/// # Errors
/// When it cannot be had: what people should do.
pub async fn value(
    sessions: &Sessions,
    site: &Site<'_>,
    reference: &SecretKeyRef,
) -> Result<Vec<u8>, Trouble> {
    let name = reference.name.0.as_str();
    let secret = read(sessions, site, name).await?;
    key(&secret, name, &reference.key.0)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_role_is_advised_only_where_the_role_is_missing() {
        let advised = |code| {
            let status = Status::failure("no", "reason").with_code(code);
            let trouble = unreadable(
                "adapter-controller",
                "files",
                &kube::Error::Api(status.boxed()),
            );
            trouble.message.contains("bind the role")
        };
        assert!(advised(403));
        assert!(!advised(500));
        assert!(!advised(429));
    }
}
