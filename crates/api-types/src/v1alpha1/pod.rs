//! `spec.pod`: where the server's pod runs and what it gets besides.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, HostAlias, PodDNSConfig, Toleration, TopologySpreadConstraint, VolumeMount,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ExtraVolume, Probes, bounded, reserved};
use crate::reference::{ObjectName, SecretRef};

/// Where the server's pod runs and what it gets besides. A change of any of these replaces the pod, which restarts the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.dnsPolicy) || self.dnsPolicy != 'None' || (has(self.dnsConfig) && has(self.dnsConfig.nameservers) && self.dnsConfig.nameservers.size() > 0)").message("dnsPolicy None needs dnsConfig.nameservers: without one the server resolves no name"))]
#[x_kube(validation = Rule::new("!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))").message("each of volumeMounts must name one of pod.volumes"))]
pub struct PodSettings {
    /// Labels of the pod besides the operator's own, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new(reserved::key_syntax()).message("each key must be a name such as team or example.org/team"))]
    #[x_kube(validation = Rule::new(reserved::labels()).message("the labels app, instance, those of dittofs.io, and app.kubernetes.io/name, instance, component, part-of and managed-by are the operator's, and controller-revision-hash, apps.kubernetes.io and statefulset.kubernetes.io are the StatefulSet's: choose other keys"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod besides the operator's own, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new(reserved::key_syntax()).message("each key must be a name such as team or example.org/team"))]
    #[x_kube(validation = Rule::new(reserved::annotations()).message("annotations of dittofs.io are the operator's: choose other keys"))]
    pub annotations: BTreeMap<String, String>,
    /// When the node pulls the image. When absent: Always for the tag latest, else IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ImagePullPolicy>")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with credentials for the image's registry, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretRef>,
    /// Labels that a node must have, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep the pod away, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::list::<Toleration, 64>")]
    pub tolerations: Vec<Toleration>,
    /// Nodes and pods that the pod wants to be near or far from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How pods of several servers are spread over nodes and zones, at most 16. A labelSelector must name them: there is one pod for each server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::list::<TopologySpreadConstraint, 16>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// PriorityClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ObjectName>,
    /// RuntimeClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<ObjectName>,
    /// ServiceAccount of the pod; the namespace's default when absent. Its token is not mounted: the server never talks to the Kubernetes API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ObjectName>,
    /// Environment variables of the server besides the operator's own, at most 64. DITTOFS_ variables overrule the configuration file; those of settings that the spec has are refused. New values in Secrets named here restart the server; in ConfigMaps they are seen at the next restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::named::<EnvVar, 64>")]
    #[x_kube(validation = Rule::new("!self.exists(e, e.name == 'AWS_CA_BUNDLE')").message("AWS_CA_BUNDLE makes every S3 store of the server fail: mount a trust store over /etc/ssl/certs with pod.volumes instead"))]
    #[x_kube(validation = Rule::new(reserved::variables()).message("this variable is set by the operator, or by a field of the spec (controlPlane, database, identity, logging, metrics, shutdownTimeout): use that field"))]
    #[x_kube(validation = Rule::new("self.all(e, !has(e.valueFrom) || !has(e.valueFrom.secretKeyRef) || (has(e.valueFrom.secretKeyRef.name) && e.valueFrom.secretKeyRef.name.matches('^[a-z0-9][-.a-z0-9]*$')))").message("secretKeyRef.name must be the name of a Secret"))]
    pub env: Vec<EnvVar>,
    /// Volumes of the pod besides the operator's own, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = Rule::new(reserved::volumes()).message("a volume of this name is the operator's own: choose another name"))]
    pub volumes: Vec<ExtraVolume>,
    /// Where the server's container finds those volumes, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::mounts::<VolumeMount, 32>")]
    #[x_kube(validation = Rule::new(reserved::path_syntax()).message("mountPath must be an absolute path without empty parts, '.', '..' and ':'"))]
    #[x_kube(validation = Rule::new(reserved::mounts()).message(reserved::mounts_message().as_str()))]
    pub volume_mounts: Vec<VolumeMount>,
    /// How patient the kubelet is with the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Where the pod's DNS settings come from; ClusterFirst when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<DnsPolicy>")]
    pub dns_policy: Option<DnsPolicy>,
    /// DNS settings besides those of dnsPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<PodDNSConfig>")]
    pub dns_config: Option<PodDNSConfig>,
    /// Lines of the pod's /etc/hosts, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::list::<HostAlias, 64>")]
    pub host_aliases: Vec<HostAlias>,
}

/// When a node pulls the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            ImagePullPolicy::Always => "Always",
            ImagePullPolicy::IfNotPresent => "IfNotPresent",
            ImagePullPolicy::Never => "Never",
        }
    }
}

/// Where a pod's DNS settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsPolicy {
    /// The cluster's DNS, which asks the node's for other names.
    ClusterFirst,
    /// The node's DNS.
    Default,
    /// dnsConfig only.
    None,
}

impl DnsPolicy {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            DnsPolicy::ClusterFirst => "ClusterFirst",
            DnsPolicy::Default => "Default",
            DnsPolicy::None => "None",
        }
    }
}

fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 64,
        "additionalProperties": {
            "type": "string", "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        },
    })
}

fn annotations(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 65536 },
    })
}
