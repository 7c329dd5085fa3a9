//! `spec.service`, `spec.adapterServices`, `spec.adapterDiscovery`, `spec.disruption`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable in the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Reachable on a port of every node.
    NodePort,
    /// Reachable at an address that the cluster's load balancer gives.
    LoadBalancer,
}

impl ServiceType {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceType::ClusterIp => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
        }
    }
}

/// The Service of the REST API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiService {
    /// Type of the Service.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, at most 64. One that is removed here is removed there; annotations of others stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// The Services of the protocol adapters (NFS, SMB).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdapterServices {
    /// Type of the Services. Absent means ClusterIP for a new Service, and the type it has for an existing one.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// Annotations of every adapter Service, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// How the live protocol adapters are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterDiscovery {
    /// Time between two looks at the server, at least 10 seconds. A change does not restart the server.
    #[serde(default = "polling_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s')").message("must be at least 10s"))]
    pub polling_interval: GoDuration,
}

fn polling_interval() -> GoDuration {
    "30s".into()
}

impl Default for AdapterDiscovery {
    fn default() -> Self {
        AdapterDiscovery {
            polling_interval: polling_interval(),
        }
    }
}

/// Whether a node drain may evict the server's pod. There is only one pod: an eviction costs its clients their sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Disruption {
    /// Evictions are allowed; clients reconnect to the new pod.
    #[default]
    Allow,
    /// Evictions are refused until a person deletes the pod.
    Block,
}
