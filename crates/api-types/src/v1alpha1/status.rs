//! `DittoServer.status`: what is, written by two controllers, each its own fields.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SslMode;
use crate::reference::{SecretKeyRef, SecretRef};

/// What the server is at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DittoServerStatus {
    /// Generation of the spec that the server-controller has acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; tools read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Keyed digest of everything whose change restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// Where the REST API is, and what opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiStatus>,
    /// The control-plane database in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// The claims in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,
    /// The protocol adapters as last seen; written by the adapter-controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub adapters: Option<Vec<AdapterStatus>>,
    /// Secrets that were pushed over REST, as they were then; written by the adapter-controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub pushed: Option<Vec<PushedSecret>>,
    /// Declared settings that the server has and takes at a later start; written by the adapter-controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub awaiting_restart: Option<Vec<AwaitedRestart>>,
    /// The standard conditions; each is written by one controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// On the way to serving.
    Pending,
    /// Serving.
    Running,
    /// Needs a person: see the condition Degraded.
    Failed,
    /// Stopped on request.
    Stopped,
    /// Being deleted.
    Deleting,
}

/// Where the REST API is, and what opens it. The account is always `admin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiStatus {
    /// URL of the API inside the cluster, such as `http://files-api.media.svc.cluster.local:8080`.
    pub url: String,
    /// Name of the pod that serves it.
    pub pod_name: String,
    /// Initial password of the account admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_secret_ref: Option<SecretKeyRef>,
    /// CA of the API's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Client certificate for an API with mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<SecretRef>,
}

/// The control-plane database in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// What provides it.
    pub provider: DatabaseProvider,
    /// Name of the PostgreSQL database with the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Secret with its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// UID of the provider's object.
    #[serde(
        default,
        rename = "clusterUID",
        skip_serializing_if = "Option::is_none"
    )]
    pub cluster_uid: Option<String>,
    /// Databases for the metadata stores of shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metadata: Option<Vec<MetadataDatabase>>,
}

/// What provides a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatabaseProvider {
    /// SQLite on the control-plane volume.
    Sqlite,
    /// A PostgreSQL server named by a Secret.
    Secret,
    /// A PerconaPGCluster.
    Percona,
    /// A CloudNativePG Cluster.
    #[serde(rename = "cloudnativePG")]
    CloudNativePg,
}

/// A database for the metadata store of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataDatabase {
    /// Name of the database.
    pub name: String,
    /// Secret with its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Use of TLS, as the control plane's connection has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
    /// Whether it can be used.
    pub ready: bool,
}

/// The claims in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StorageStatus {
    /// Each claim with the UID it had when it was last seen.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Vec<ClaimStatus>,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimStatus {
    /// Name of the PersistentVolumeClaim.
    pub name: String,
    /// Its UID: another one means another volume.
    pub uid: String,
}

/// A protocol adapter of the server as last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterStatus {
    /// Protocol: nfs or smb.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the server shall serve it.
    pub enabled: bool,
    /// Whether the server reports its listener healthy.
    pub healthy: bool,
    /// TCP port on which the server listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<i32>,
    /// Secret with the certificate of NFS over TLS, while the server uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// The Service that leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<AdapterService>,
    /// Addresses at which clients reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub addresses: Option<Vec<AdapterAddress>>,
}

/// The Service that leads to an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterService {
    /// Name of the Service.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// TCP port that clients use.
    pub port: i32,
    /// TCP port on every node, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<i32>,
}

/// An address at which clients reach an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdapterAddress {
    /// What the value is, such as ClusterIP, LoadBalancerIP or Hostname.
    pub kind: String,
    /// IP address or host name.
    pub value: String,
}

/// What `pushed` has while the server uses the keytab: with it gone the server would not start again.
pub const KERBEROS_IN_USE: &str = "identity.kerberos";

/// A Secret that was pushed over REST, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushedSecret {
    /// Setting that it feeds.
    pub what: String,
    /// UID of the Secret.
    #[serde(rename = "secretUID")]
    pub secret_uid: String,
    /// resourceVersion of the Secret.
    pub resource_version: String,
}

/// Declared settings that the server has and takes at a later start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwaitedRestart {
    /// What must be started anew: adapters.nfs, adapters.smb, or server.
    pub what: String,
    /// The settings.
    #[schemars(length(max = 64))]
    pub settings: Vec<String>,
    /// When they were stored, by the server's clock.
    pub since: String,
}
