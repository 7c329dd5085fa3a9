//! `DittoFSShare.status`: what is, written by the share-controller.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwaitedRestart, ClaimStatus, PushedSecret};

/// What the share is at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DittoFSShareStatus {
    /// Generation of the spec that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the share in the server, without its leading slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_name: Option<String>,
    /// UUID of the share in the server.
    #[serde(default, rename = "shareID", skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// The stores in the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stores: Option<ShareStores>,
    /// The server's claims that the share was made on: with others its files are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Option<Vec<ClaimStatus>>,
    /// What the files need. It is renewed every few minutes, and only after a change that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ShareUsage>,
    /// Commands that mount the share, ready to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub mounts: Option<Vec<ShareMount>>,
    /// Secrets that were pushed to the server, as they were then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub pushed: Option<Vec<PushedSecret>>,
    /// New values of Secrets that the server has and takes at its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub awaiting_restart: Option<Vec<AwaitedRestart>>,
    /// The standard conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The stores of a share in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareStores {
    /// The metadata store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ShareStore>,
    /// The local block store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<ShareStore>,
    /// The remote block store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<ShareStore>,
}

/// A store in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareStore {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub id: String,
}

/// What the files of a share need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareUsage {
    /// Bytes in files.
    pub used_bytes: i64,
    /// Bytes in the block store.
    pub physical_bytes: i64,
}

/// A command that mounts the share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareMount {
    /// Protocol: nfs or smb.
    pub protocol: String,
    /// The client that it is for, such as `Linux NFSv4.1` or `Windows`.
    pub client: String,
    /// IP address or host name of the server.
    pub address: String,
    /// The command, or the URL where the client takes one.
    pub command: String,
}
