//! The Secrets that the operator makes. They are created once and never applied over.

use std::collections::BTreeMap;

use api_types::labels::Component;
use api_types::names;
use configgen::{JWT_KEY, PASSWORD_KEY};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};

use crate::Instance;

/// The Secret with the key that signs tokens. It goes with the server: only tokens depend on it.
pub fn jwt_secret(instance: &Instance<'_>, key: &SecretString) -> Secret {
    let metadata = instance.owned(
        names::jwt_secret(instance.name),
        instance.labels(Component::Credentials),
    );
    opaque(metadata, [(JWT_KEY, key.expose_secret())])
}

/// The Secret with the administrator's first password. It outlives the server, because the
/// control-plane database on the claim knows no other.
pub fn admin_secret(instance: &Instance<'_>, password: &SecretString) -> Secret {
    let metadata = instance.kept(
        names::admin_secret(instance.name),
        instance.labels(Component::Credentials),
    );
    opaque(
        metadata,
        [
            ("username", "admin"),
            (PASSWORD_KEY, password.expose_secret()),
        ],
    )
}

/// The Secret `name` with the password of a controller's account. It goes with the server: the
/// account gets a new password when it is missing.
pub fn account_credentials(
    instance: &Instance<'_>,
    name: String,
    password: &SecretString,
) -> Secret {
    let metadata = instance.owned(name, instance.labels(Component::Credentials));
    opaque(metadata, [(PASSWORD_KEY, password.expose_secret())])
}

pub(crate) fn opaque<'v>(
    metadata: ObjectMeta,
    data: impl IntoIterator<Item = (&'v str, &'v str)>,
) -> Secret {
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        string_data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>(),
        ),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::server;

    #[test]
    fn the_password_outlives_the_server_and_the_token_key_does_not() {
        let server = server(serde_json::json!({}));
        let instance = Instance::of(&server).unwrap();
        let value = SecretString::from("x".repeat(32));
        assert_eq!(
            admin_secret(&instance, &value).metadata.owner_references,
            None
        );
        assert!(
            jwt_secret(&instance, &value)
                .metadata
                .owner_references
                .is_some()
        );
        assert!(instance.owns(&admin_secret(&instance, &value)));
    }
}
