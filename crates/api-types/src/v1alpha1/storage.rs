//! `spec.storage`: the claims of the server.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::ObjectName;
use crate::size::VolumeSize;

/// The server's volumes: each is a PersistentVolumeClaim of its own, ReadWriteOnce, and outlives
/// the DittoServer unless retentionPolicy says otherwise.
// The rules that compare with the old object stand here, on the parent, so that they see a field
// that appears or goes. Each holds for an unchanged object, whatever it holds: writes of status and
// finalizers run them too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message("storageClassName cannot be changed, set or removed: volumes stay in the class that they were made in. Set it back; to move the data, create another DittoServer and copy the shares"))]
#[x_kube(validation = Rule::new("has(self.contentSize) == has(oldSelf.contentSize)").message("contentSize cannot be added or removed later: a server keeps the volumes that it was created with. Set it back; for another layout create another DittoServer"))]
#[x_kube(validation = Rule::new("self.metadataSize == oldSelf.metadataSize || !isQuantity(oldSelf.metadataSize) || !isQuantity(self.metadataSize) || !quantity(self.metadataSize).isLessThan(quantity(oldSelf.metadataSize))").message("metadataSize cannot shrink: volumes only grow. Set it to the old size or more"))]
#[x_kube(validation = Rule::new("!has(self.contentSize) || !has(oldSelf.contentSize) || self.contentSize == oldSelf.contentSize || !isQuantity(oldSelf.contentSize) || !isQuantity(self.contentSize) || !quantity(self.contentSize).isLessThan(quantity(oldSelf.contentSize))").message("contentSize cannot shrink: volumes only grow. Set it to the old size or more"))]
#[x_kube(validation = Rule::new("!has(self.controlPlaneSize) || !has(oldSelf.controlPlaneSize) || self.controlPlaneSize == oldSelf.controlPlaneSize || !isQuantity(oldSelf.controlPlaneSize) || !isQuantity(self.controlPlaneSize) || !quantity(self.controlPlaneSize).isLessThan(quantity(oldSelf.controlPlaneSize))").message("controlPlaneSize cannot shrink: volumes only grow. Set it to the old size or more"))]
pub struct Storage {
    /// Size of the volume for metadata stores (mounted at /data/store/metadata), such as 10Gi. It can grow where the StorageClass allows expansion.
    pub metadata_size: VolumeSize,
    /// Size of the volume for file contents (mounted at /data/store/block). Without it there is no such volume, and shares must keep their contents elsewhere. It can grow, but not be added or removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_size: Option<VolumeSize>,
    /// Size of the volume for the control-plane database (mounted at /data/controlplane). It can grow.
    #[serde(default = "control_plane_size")]
    pub control_plane_size: VolumeSize,
    /// StorageClass of all volumes; the cluster's default class when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
    /// What becomes of the volumes when the DittoServer is deleted.
    #[serde(default)]
    pub retention_policy: RetentionPolicy,
}

/// What becomes of the server's volumes, and of the Secret with its administrator's password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// Retain keeps the volumes when the DittoServer is deleted, and a DittoServer of the same name finds them again. Delete removes them, once the pod is gone.
    #[serde(default)]
    pub when_deleted: Retention,
}

/// Whether data outlives its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// The data stays.
    #[default]
    Retain,
    /// The data goes.
    Delete,
}

fn control_plane_size() -> VolumeSize {
    VolumeSize::from("1Gi")
}
