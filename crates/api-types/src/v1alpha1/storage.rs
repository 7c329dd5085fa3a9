//! `spec.storage`: the claims of the server.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::reference::ObjectName;
use crate::size::VolumeSize;

/// The server's volumes: each is a PersistentVolumeClaim of its own, ReadWriteOnce, and outlives
/// the DittoServer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume for metadata stores (mounted at /data/store/metadata), such as 10Gi.
    pub metadata_size: VolumeSize,
    /// Size of the volume for file contents (mounted at /data/store/block). Without it there is no such volume, and shares must keep their contents elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_size: Option<VolumeSize>,
    /// Size of the volume for the control-plane database (mounted at /data/controlplane).
    #[serde(default = "control_plane_size")]
    pub control_plane_size: VolumeSize,
    /// StorageClass of all volumes; the cluster's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
}

fn control_plane_size() -> VolumeSize {
    VolumeSize::from("1Gi")
}
