//! `spec.pod.volumes`: volumes of the pod besides the operator's own.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    EphemeralVolumeSource, HostPathVolumeSource, ImageVolumeSource, NFSVolumeSource,
    PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretVolumeSource,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::bounded;

/// A volume of the pod: a name and exactly one source. The sources are those of the core API that
/// Kubernetes has not retired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(EXACTLY_ONE).message("a volume needs exactly one source: configMap, csi, downwardAPI, emptyDir, ephemeral, hostPath, image, nfs, persistentVolumeClaim, projected or secret"))]
pub struct ExtraVolume {
    /// Name by which volumeMounts refer to it: a DNS label.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Keys of a ConfigMap as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ConfigMapVolumeSource>")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A volume that a CSI driver makes for the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<CSIVolumeSource>")]
    pub csi: Option<CSIVolumeSource>,
    /// Fields of the pod as files.
    #[serde(
        default,
        rename = "downwardAPI",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "bounded::one::<DownwardAPIVolumeSource>")]
    pub downward_api: Option<DownwardAPIVolumeSource>,
    /// An empty folder that goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<EmptyDirVolumeSource>")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A claim that is made for the pod and goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<EphemeralVolumeSource>")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A file or folder of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<HostPathVolumeSource>")]
    pub host_path: Option<HostPathVolumeSource>,
    /// The files of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ImageVolumeSource>")]
    pub image: Option<ImageVolumeSource>,
    /// An export of an NFS server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<NFSVolumeSource>")]
    pub nfs: Option<NFSVolumeSource>,
    /// A claim of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<PersistentVolumeClaimVolumeSource>")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// Several sources in one folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ProjectedVolumeSource>")]
    pub projected: Option<ProjectedVolumeSource>,
    /// Keys of a Secret as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<SecretVolumeSource>")]
    pub secret: Option<SecretVolumeSource>,
}

const EXACTLY_ONE: &str = "[has(self.configMap), has(self.csi), has(self.downwardAPI), has(self.emptyDir), has(self.ephemeral), has(self.hostPath), has(self.image), has(self.nfs), has(self.persistentVolumeClaim), has(self.projected), has(self.secret)].filter(x, x).size() == 1";
