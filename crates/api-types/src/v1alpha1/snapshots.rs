//! `spec.snapshotPolicies`: snapshots of shares.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// When snapshots of a share are taken and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotPolicy {
    /// Name of the share.
    #[schemars(length(min = 1, max = 255))]
    pub share: String,
    /// Time between two snapshots: a duration such as 6h, or @hourly, @daily, @weekly.
    #[schemars(
        length(min = 2, max = 32),
        regex(pattern = r"^(@hourly|@daily|@weekly|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$")
    )]
    pub interval: String,
    /// Snapshots kept; 0 or absent keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub keep_last: Option<i32>,
    /// Age at which a snapshot goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// Beginning of the snapshots' names: at most 64 letters, digits, `_` and `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub name_prefix: Option<String>,
    /// Whether the policy acts; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
