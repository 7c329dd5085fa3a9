//! `spec.networkPolicy`: who may reach the server over the network.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::bounded;

/// Who may reach the server over the network. Peers are those of a NetworkPolicy: a namespaceSelector and a podSelector in one peer must both match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySettings {
    /// Whether the operator makes NetworkPolicies for the server. With false it removes its own, and whatever other policies say holds.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Who may reach the REST API, at most 32; everybody when absent. The operator's other controllers must be among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "bounded::list::<NetworkPolicyPeer, 32>",
        length(min = 1)
    )]
    #[x_kube(validation = Rule::new(EITHER).message(EITHER_MESSAGE))]
    pub api_from: Option<Vec<NetworkPolicyPeer>>,
    /// Who may reach the Prometheus endpoint, at most 32; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "bounded::list::<NetworkPolicyPeer, 32>",
        length(min = 1)
    )]
    #[x_kube(validation = Rule::new(EITHER).message(EITHER_MESSAGE))]
    pub metrics_from: Option<Vec<NetworkPolicyPeer>>,
    /// Who may reach the protocol adapters, at most 32. When absent: the source ranges of an adapter's load balancer where it keeps the clients' addresses (externalTrafficPolicy Local), else everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "bounded::list::<NetworkPolicyPeer, 32>",
        length(min = 1)
    )]
    #[x_kube(validation = Rule::new(EITHER).message(EITHER_MESSAGE))]
    pub adapters_from: Option<Vec<NetworkPolicyPeer>>,
}

const EITHER: &str =
    "self.all(p, has(p.ipBlock) != (has(p.podSelector) || has(p.namespaceSelector)))";
const EITHER_MESSAGE: &str =
    "each peer needs either ipBlock, or podSelector, namespaceSelector or both of these";

fn enabled() -> bool {
    true
}

impl Default for NetworkPolicySettings {
    fn default() -> Self {
        NetworkPolicySettings {
            enabled: enabled(),
            api_from: None,
            metrics_from: None,
            adapters_from: None,
        }
    }
}
