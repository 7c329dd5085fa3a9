//! The first step: everything in Kubernetes that a decision about one share needs to know. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::v1alpha1::{MetadataDatabase, NamespacesFrom};
use api_types::{DittoFSShare, DittoServer};
use controller_runtime::{SecretState, watch};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{Selector, SelectorExt};
use kube::{Api, Client, ResourceExt};

use crate::watches::Watches;

/// Everything in Kubernetes that a decision about one share needs to know.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The share.
    pub share: Arc<DittoFSShare>,
    /// Its server.
    pub server: Option<Arc<DittoServer>>,
    /// Whether the server takes shares of this namespace.
    pub consent: Consent,
    /// The Secrets beside the share that it names.
    pub secrets: BTreeMap<String, SecretState>,
    /// The Secret beside the server with the connection to the share's database.
    pub database: Option<SecretState>,
}

/// Whether a server takes shares of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It does.
    Given,
    /// It does not.
    Refused,
    /// Its selector asks for labels that cannot be read.
    Unreadable,
}

/// Something could not be read; nothing may be concluded.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read")]
pub struct ObserveError {
    what: String,
    #[source]
    source: kube::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ObserveError {
    let what = what.into();
    move |source| ObserveError { what, source }
}

/// Namespace and name of the server of `share`.
pub fn server_of(share: &DittoFSShare) -> (String, String) {
    let reference = &share.spec.server_ref;
    let namespace = reference.namespace.clone();
    (
        namespace.unwrap_or_else(|| share.namespace().unwrap_or_default()),
        reference.name.0.clone(),
    )
}

/// Names of the Secrets beside `share` that it needs.
pub fn secret_names(share: &DittoFSShare) -> Vec<String> {
    let spec = &share.spec;
    let bucket = spec
        .block_store
        .remote
        .iter()
        .map(|remote| remote.s3.credentials().0.clone());
    let postgres = spec.metadata_store.postgres.iter();
    let postgres = postgres
        .filter_map(|postgres| postgres.secret_ref.as_ref())
        .map(|secret| secret.name.0.clone());
    let users = spec.access.users.iter();
    let users = users
        .filter_map(|user| user.password_secret_ref.as_ref())
        .map(|secret| secret.name.0.clone());
    let mut names: Vec<String> = bucket.chain(postgres).chain(users).collect();
    names.sort();
    names.dedup();
    names
}

/// The database of the server that `share` names for its metadata, as the server's status tells of it.
pub fn database_of<'a>(
    share: &DittoFSShare,
    server: &'a DittoServer,
) -> Option<&'a MetadataDatabase> {
    let postgres = share.spec.metadata_store.postgres.as_ref()?;
    let name = postgres.database.as_ref()?;
    let status = server.status.as_ref()?.database.as_ref()?;
    let mut databases = status.metadata.iter().flatten();
    databases.find(|database| database.name == *name)
}

/// Reads the world of `share`.
///
/// # Errors
/// When something cannot be read.
pub async fn observe(
    client: &Client,
    watches: &Watches,
    share: Arc<DittoFSShare>,
) -> Result<Observed, ObserveError> {
    let namespace = share.namespace().unwrap_or_default();
    let (of, name) = server_of(&share);
    let server = match watches.servers.get(&of, &name).await {
        Ok(server) => server,
        // In a namespace that this process does not serve.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => return Err(failed(format!("DittoServer {of}/{name}"))(error)),
    };
    let consent = match &server {
        Some(server) => consent(client, server, &of, &namespace).await?,
        None => Consent::Refused,
    };
    let mut observed = Observed {
        share,
        server,
        consent,
        secrets: BTreeMap::new(),
        database: None,
    };
    if observed.consent != Consent::Given || observed.share.metadata.deletion_timestamp.is_some() {
        return Ok(observed);
    }
    let names = secret_names(&observed.share);
    let unreadable = |(name, error): (String, kube::Error)| failed(format!("Secret {name}"))(error);
    observed.secrets = watch::secrets(client, &watches.secrets, &namespace, &names)
        .await
        .map_err(unreadable)?;
    let database = observed
        .server
        .as_ref()
        .and_then(|server| database_of(&observed.share, server)?.secret_ref.clone());
    if let Some(secret) = database {
        let names = [secret.name.0];
        let mut read = watch::secrets(client, &watches.secrets, &of, &names)
            .await
            .map_err(unreadable)?;
        observed.database = read.remove(&names[0]);
    }
    Ok(observed)
}

/// Whether `server` in namespace `of` takes shares of `namespace`.
async fn consent(
    client: &Client,
    server: &DittoServer,
    of: &str,
    namespace: &str,
) -> Result<Consent, ObserveError> {
    let allowed = &server.spec.shares.allowed_namespaces;
    let given = |given| {
        if given {
            Consent::Given
        } else {
            Consent::Refused
        }
    };
    if of == namespace {
        return Ok(Consent::Given);
    }
    match allowed.from {
        NamespacesFrom::Same => Ok(Consent::Refused),
        NamespacesFrom::All => Ok(Consent::Given),
        NamespacesFrom::Selector => {
            // The schema asks for a selector that can be used.
            let selector = allowed.selector.clone().map(Selector::try_from);
            let Some(Ok(selector)) = selector else {
                return Ok(Consent::Refused);
            };
            let namespaces: Api<Namespace> = Api::all(client.clone());
            match namespaces.get_metadata_opt(namespace).await {
                Ok(Some(found)) => Ok(given(selector.matches(found.labels()))),
                Ok(None) => Ok(Consent::Refused),
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(Consent::Unreadable),
                Err(error) => Err(failed(format!("Namespace {namespace}"))(error)),
            }
        }
    }
}
