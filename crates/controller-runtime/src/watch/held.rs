//! The Secrets that an object refers to: read once for each of their versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Api, Client, Resource};
use secrecy::{ExposeSecret, SecretSlice};

use super::{Asked, Remembered};

/// What is known of a Secret.
#[derive(Clone, Debug)]
pub enum SecretState {
    /// It exists.
    Present(Arc<HeldSecret>),
    /// It does not exist.
    Missing,
    /// The API server refuses to show it, with this explanation.
    Refused(String),
}

/// A Secret in memory: its values are never printed, and wiped when it is dropped.
#[derive(Clone, Debug)]
pub struct HeldSecret {
    /// Its metadata, without managedFields.
    pub object: PartialObjectMeta<Secret>,
    values: BTreeMap<String, SecretSlice<u8>>,
}

impl HeldSecret {
    /// Wraps what the API server answered.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        let Secret { metadata, data, .. } = secret;
        let metadata = ObjectMeta {
            managed_fields: None,
            ..metadata
        };
        let values = data.unwrap_or_default().into_iter();
        HeldSecret {
            object: PartialObjectMeta {
                metadata,
                ..PartialObjectMeta::default()
            },
            values: values
                .map(|(key, value)| (key, SecretSlice::from(value.0)))
                .collect(),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(ExposeSecret::expose_secret)
    }
}

/// The Secrets of these names. What was read of a version, or answered to our own creation, is not
/// read again while the watch tells of no newer one: [`Remembered`] says why that is never older
/// than a store. That one is missing is asked each time.
///
/// # Errors
/// When the API server neither shows nor refuses one: with its name.
pub async fn secrets(
    client: &Client,
    remembered: &Remembered<HeldSecret>,
    namespace: &str,
    names: &[String],
) -> Result<BTreeMap<String, SecretState>, (String, kube::Error)> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let reads = names.iter().map(|name| {
        let api = &api;
        async move {
            let state = match remembered.current(namespace, name) {
                Some(held) => Ok(SecretState::Present(held)),
                None => read(api, remembered, namespace, name).await,
            };
            match state {
                Ok(state) => Ok((name.clone(), state)),
                Err(error) => Err((name.clone(), error)),
            }
        }
    });
    join_all(reads).await.into_iter().collect()
}

async fn read(
    api: &Api<Secret>,
    remembered: &Remembered<HeldSecret>,
    namespace: &str,
    name: &str,
) -> Result<SecretState, kube::Error> {
    let asked = remembered.ask(namespace, name);
    match api.get_opt(name).await {
        Ok(Some(secret)) => Ok(SecretState::Present(keep(remembered, &asked, secret))),
        Ok(None) => Ok(SecretState::Missing),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(SecretState::Refused(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// Keeps an answer of the API server.
pub fn keep(remembered: &Remembered<HeldSecret>, asked: &Asked, secret: Secret) -> Arc<HeldSecret> {
    let held = HeldSecret::of(secret);
    let meta = held.object.meta().clone();
    remembered.keep(asked, &meta, held)
}
