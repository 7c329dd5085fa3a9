//! The baseline NetworkPolicy: only the API, and metrics when served, may be reached. The
//! adapters' ports are opened by policies of the adapter-controller.

use api_types::labels::{self, Component};
use api_types::names;
use api_types::v1alpha1::NetworkPolicySettings;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Instance;

/// The policy that admits the API port, and the metrics port while metrics are served, each from
/// its own peers; `None` when the spec wants no policy.
pub fn baseline_policy(instance: &Instance<'_>) -> Option<NetworkPolicy> {
    let NetworkPolicySettings {
        enabled,
        api_from,
        metrics_from,
        // A matter of the adapters' policies.
        adapters_from: _,
    } = &instance.spec.network_policy;
    if !enabled {
        return None;
    }
    let metrics = instance
        .spec
        .metrics
        .as_ref()
        .filter(|metrics| metrics.enabled);
    let mut rules = vec![rule(instance.spec.control_plane.port, api_from.as_ref())];
    rules.extend(metrics.map(|metrics| rule(metrics.port, metrics_from.as_ref())));
    Some(NetworkPolicy {
        metadata: instance.owned(
            names::baseline_policy(instance.name),
            instance.labels(Component::Network),
        ),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(instance.name)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules),
            egress: None,
        }),
    })
}

/// Admits TCP `port` from `peers`; from everybody when there are none.
pub(crate) fn rule(port: u16, peers: Option<&Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(port))),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
        from: peers.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::server;
    use serde_json::json;

    fn rules(spec: serde_json::Value) -> Option<serde_json::Value> {
        let server = server(spec);
        let policy = baseline_policy(&Instance::of(&server).unwrap())?;
        Some(serde_json::to_value(policy.spec.unwrap().ingress).unwrap())
    }

    #[test]
    fn each_port_has_its_own_peers() {
        let peers = |name: &str| json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]);
        let port = |number: i32| json!([{"port": number, "protocol": "TCP"}]);
        assert_eq!(
            rules(json!({
                "metrics": {"enabled": true},
                "networkPolicy": {"apiFrom": peers("operator"), "metricsFrom": peers("monitoring")},
            })),
            Some(json!([
                {"ports": port(8080), "from": peers("operator")},
                {"ports": port(9090), "from": peers("monitoring")},
            ]))
        );
        assert_eq!(
            rules(json!({"networkPolicy": {"metricsFrom": peers("monitoring")}})),
            Some(json!([{"ports": port(8080)}])),
            "without metrics their port stays closed"
        );
    }

    #[test]
    fn no_policy_is_made_where_none_is_wanted() {
        assert_eq!(rules(json!({"networkPolicy": {"enabled": false}})), None);
    }
}
