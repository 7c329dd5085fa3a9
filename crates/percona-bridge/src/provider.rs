//! What every operator of databases must answer.

use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{DatabaseDeletion, DatabaseProvider, SslMode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// A live object of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'o> {
    /// Its metadata.
    pub meta: &'o ObjectMeta,
    /// What is wanted of it, by us and by others.
    pub spec: &'o Value,
    /// What its operator says about it; null where it has said nothing.
    pub status: &'o Value,
}

/// What a database cluster is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Its operator has said nothing yet.
    Silent,
    /// It is on its way, or on its way back; for people, what its operator says.
    Starting(String),
    /// It is paused on somebody's request.
    Paused,
    /// It is ready.
    Ready,
}

/// Major version of PostgreSQL at the beginning of an image's tag; `None` where the tag begins otherwise.
pub(crate) fn major_of_tag(tag: &str) -> Option<i64> {
    let end = tag.find(|letter: char| !letter.is_ascii_digit());
    tag[..end.unwrap_or(tag.len())].parse().ok()
}

/// An operator of databases: the object that it is asked with, and what it makes of it. Pure.
pub trait Provider {
    /// The provider as `status.database.provider` names it.
    fn provider(&self) -> DatabaseProvider;
    /// Kind of its object.
    fn kind(&self) -> &'static str;
    /// Name of the CustomResourceDefinition.
    fn crd(&self) -> &'static str;
    /// Its name, for people.
    fn operator(&self) -> &'static str;
    /// Name of the object that exists already and shall be used.
    fn existing(&self) -> Option<&str>;
    /// Name of the control plane's database.
    fn database(&self) -> &str;
    /// Name of the Secret with host, port, user and password, which the operator makes for `cluster`.
    fn credentials(&self, cluster: &str) -> String;
    /// The CA of the certificate of `cluster`.
    fn authority(&self, cluster: &str) -> SecretKeyRef;
    /// Use of TLS.
    fn sslmode(&self) -> SslMode;
    /// What becomes of the object with the server.
    fn deletion(&self) -> DatabaseDeletion;
    /// Finalizers that have the operator remove the data with the object; none where it does so anyway.
    fn finalizers(&self) -> &'static [&'static str];
    /// Name and key of the Secret that backups need.
    fn backup_credentials(&self) -> Option<SecretKeyRef>;
    /// The spec of the object: only the fields that are ours. `metadata` are the names of further databases;
    /// `namespace` and `cluster` are those of the object.
    fn spec(&self, namespace: &str, cluster: &str, metadata: &[String]) -> Value;
    /// Major version of PostgreSQL that the object would ask for, and that of the image which it would name, where
    /// they differ: its database would not start.
    fn mismatch(&self) -> Option<(i64, i64)> {
        None
    }
    /// Major version of PostgreSQL that the object asks for; `None` where that is its operator's choice.
    fn version(&self) -> Option<i64>;
    /// Major version of PostgreSQL whose data `seen` has, as far as it tells.
    fn version_of(&self, seen: Seen<'_>) -> Option<i64>;
    /// Takes out of `spec`, which is that of [`Provider::spec`], what the live object has from elsewhere and keeps.
    fn keep(&self, spec: &mut Value, seen: Seen<'_>) {
        let _ = (spec, seen);
    }
    /// What `seen` is at the moment.
    fn state(&self, seen: Seen<'_>) -> ClusterState;
    /// Whether a database that is added to [`Provider::spec`] later is made by the operator.
    fn adds_databases(&self) -> bool;
}
