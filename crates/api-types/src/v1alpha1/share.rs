//! `DittoFSShare`: a folder of a file server that people mount over NFS and SMB.
//!
//! Ranges, words and sizes are those of the server (server contract 3.9 to 3.14 and 6.2).

use std::borrow::Cow;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{BlockStore, DittoFSShareStatus, MetadataStore, Retention, ShareAccess, bounded};
use crate::duration::GoDuration;
use crate::reference::ObjectName;
use crate::size::VolumeSize;

/// Longest name of a share, in bytes.
///
/// The server puts a slash, the name, a colon and a UUID of 36 bytes into each NFS file handle, and a handle
/// holds 64. It stores a longer name all the same (seen with v0.29.0): with metadata in Badger or SQLite the
/// share is then never served, with metadata in memory the server panics at every start from then on.
pub const MAX_SHARE_NAME: usize = 26;

const NAME_FITS: &str =
    "oldSelf.hasValue() || has(self.spec.shareName) || self.metadata.name.size() <= 26";
const NAME_FITS_MESSAGE: &str = "metadata.name is the name of the share and has more than 26 characters, which NFS file handles cannot hold: set spec.shareName to a shorter name";
const SAME_NAME: &str = "(has(self.spec.shareName) ? self.spec.shareName : self.metadata.name) == (has(oldSelf.spec.shareName) ? oldSelf.spec.shareName : oldSelf.metadata.name)";
const SAME_NAME_MESSAGE: &str = "shareName cannot be changed, set or removed: the server cannot rename a share. Set it back; for another name create another DittoFSShare";
const SAME_SERVER_MESSAGE: &str = "serverRef cannot be changed: a share stays on the server that it was made on. Set it back; to move the files, create another DittoFSShare and copy them";

/// What a share shall be.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dittofs.dittofs.com",
    version = "v1alpha1",
    kind = "DittoFSShare",
    plural = "dittofsshares",
    singular = "dittofsshare",
    shortname = "dshare",
    namespaced,
    status = "DittoFSShareStatus",
    derive = "PartialEq",
    doc = "A DittoFSShare is one share of a DittoServer: its stores, who may use it and how, its limits and its snapshots. Its status has the commands that mount it.",
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name"),
    printcolumn(name = "Share", type_ = "string", json_path = ".status.shareName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Size", type_ = "string", json_path = ".spec.quota"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.usage.usedBytes", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(NAME_FITS).message(NAME_FITS_MESSAGE).optional_old_self(true),
    validation = Rule::new(SAME_NAME).message(SAME_NAME_MESSAGE)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.retention) || has(self.blockStore.remote)").message("retention says what stays in the local cache of a share with a remote store: set blockStore.remote, or remove retention"))]
#[x_kube(validation = Rule::new("!has(self.snapshotPolicy) || self.blockStore.local.type != 'memory'").message("snapshots need a local store on a volume: set blockStore.local.type to fs, or remove snapshotPolicy"))]
pub struct DittoFSShareSpec {
    /// The server that serves the share. It cannot be changed.
    pub server_ref: ServerRef,
    /// Name of the share as clients see it: NFS export `/NAME`, SMB share `NAME`. At most 26 lower-case letters, digits, '-', '_' and '.'; metadata.name when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_name: Option<ShareName>,
    /// Where the names and attributes of the files are kept. It cannot be changed.
    #[serde(default)]
    pub metadata_store: MetadataStore,
    /// Where the contents of the files are kept.
    #[serde(default)]
    pub block_store: BlockStore,
    /// Who may use the share, and how.
    #[serde(default)]
    pub access: ShareAccess,
    /// Bytes that the files of the share may have together, such as 100Gi; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<VolumeSize>,
    /// Whether nobody may write. When absent it stays as people set it with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Whether the share is served. Switched off, its clients lose it, and everything is kept.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The recycle bin. When absent it stays as people set it with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<Trash>,
    /// What stays in the local cache of a share with a remote store. When absent it stays as people set it with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<CacheRetention>,
    /// Snapshots that the server makes at intervals. When absent it stays as people set it with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_policy: Option<ShareSnapshotPolicy>,
    /// What becomes of the share in the server when the DittoFSShare is deleted: Retain leaves it, and a DittoFSShare of the same namespace and name finds it again; Delete removes the share and the stores made for it. The server itself leaves files on its volumes and in buckets in place.
    #[serde(default)]
    pub deletion_policy: Retention,
}

impl DittoFSShare {
    /// Name of the share in the server, without its leading slash.
    pub fn share_name(&self) -> &str {
        let own = self.metadata.name.as_deref().unwrap_or_default();
        self.spec
            .share_name
            .as_ref()
            .map_or(own, |name| name.0.as_str())
    }
}

fn enabled() -> bool {
    true
}

/// A DittoServer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self == oldSelf").message(SAME_SERVER_MESSAGE))]
pub struct ServerRef {
    /// Name of the DittoServer.
    pub name: ObjectName,
    /// Its namespace; that of the DittoFSShare when absent. Another one must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
}

/// Name of a share: 1 to [`MAX_SHARE_NAME`] lower-case letters, digits, `-`, `_` and `.`, with a letter
/// or digit at both ends. SMB clients ask for lower-case names only, and a slash or colon makes a share
/// that cannot be served (server contract 3.11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShareName(pub String);

impl JsonSchema for ShareName {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ShareName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": MAX_SHARE_NAME,
            "pattern": r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$",
        })
    }
}

/// The recycle bin of a share, a folder `#recycle`. What is absent stays as it is in the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trash {
    /// Whether deleted files go to the bin. Switching it off empties the bin at once.
    pub enabled: bool,
    /// Days until the bin forgets a file; 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 36500), extend("format" = "int32"))]
    pub retention_days: Option<u32>,
    /// Bytes that the bin may hold, such as 10Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<VolumeSize>,
    /// Whether only administrators see the bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrict_to_admin: Option<bool>,
    /// Names of files that do not go to the bin, such as *.tmp; at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 255), regex(pattern = r"^[^/\x00-\x1f\x7f]+$"))
    )]
    pub exclude_patterns: Option<Vec<String>>,
}

/// What stays in the local cache of a share with a remote store. Nothing of it removes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.ttl) == (self.policy == 'ttl')").message("policy ttl needs ttl, and no other policy has one"))]
pub struct CacheRetention {
    /// pin keeps everything, ttl what was used within a time, lru what was used last.
    #[schemars(schema_with = "bounded::one::<CachePolicy>")]
    pub policy: CachePolicy,
    /// For how long, with the policy ttl; longer than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("must be longer than 0s"))]
    pub ttl: Option<GoDuration>,
}

/// Which contents stay in a local cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CachePolicy {
    /// All.
    Pin,
    /// Those that were used within a time.
    Ttl,
    /// Those that were used last.
    Lru,
}

/// Snapshots of a share at intervals, made by the server. What is absent is as the server has it for a new policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareSnapshotPolicy {
    /// Time between two snapshots, counted from the last one: a duration such as 6h, or @hourly, @daily, @weekly.
    #[schemars(
        length(min = 2, max = 32),
        regex(pattern = r"^(@hourly|@daily|@weekly|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$")
    )]
    #[x_kube(validation = Rule::new("self.startsWith('@') || duration(self) >= duration('1m')").message("must be at least 1m: the server looks once a minute whether a snapshot is due"))]
    pub interval: String,
    /// Snapshots kept; 0 or absent keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000), extend("format" = "int32"))]
    pub keep_last: Option<u32>,
    /// Age at which a snapshot goes; longer than 0. When absent none goes because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("must be longer than 0s"))]
    pub ttl: Option<GoDuration>,
    /// Beginning of the snapshots' names: at most 64 letters, digits, '_' and '-'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub name_prefix: Option<String>,
    /// Whether the policy acts.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_name_fills_a_file_handle() {
        const HANDLE: usize = 64;
        let uuid = "00000000-0000-0000-0000-000000000000";
        let handle = format!("/{}:{uuid}", "a".repeat(MAX_SHARE_NAME));
        assert_eq!(handle.len(), HANDLE);
        for text in [NAME_FITS, NAME_FITS_MESSAGE] {
            assert!(text.contains(&format!(" {MAX_SHARE_NAME}")), "{text}");
        }
    }

    #[test]
    fn a_share_is_called_like_its_object_unless_the_spec_says_otherwise() {
        let share = |spec| -> DittoFSShare {
            let manifest = json!({"metadata": {"name": "films"}, "spec": spec,
                "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare"});
            serde_json::from_value(manifest).unwrap()
        };
        let server = json!({"name": "files"});
        assert_eq!(share(json!({"serverRef": server})).share_name(), "films");
        let named = share(json!({"serverRef": server, "shareName": "music"}));
        assert_eq!(named.share_name(), "music");
    }

    #[test]
    fn what_is_not_declared_is_none_of_ours() {
        let spec: DittoFSShareSpec =
            serde_json::from_value(json!({"serverRef": {"name": "files"}})).unwrap();
        assert_eq!(spec.access, ShareAccess::default());
        assert!(spec.enabled);
        assert_eq!(spec.deletion_policy, Retention::Retain);
        assert_eq!(
            (spec.read_only, spec.quota, spec.trash, spec.retention),
            (None, None, None, None)
        );
    }
}
