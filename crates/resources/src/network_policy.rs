//! The baseline NetworkPolicy: only the API, and metrics when served, may be reached. The
//! adapters' ports are opened by policies of the adapter-controller.

use api_types::labels::{self, Component};
use api_types::names;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Instance;

/// The policy that admits the API port, and the metrics port while metrics are served.
pub fn baseline_policy(instance: &Instance<'_>) -> NetworkPolicy {
    let metrics = instance
        .spec
        .metrics
        .as_ref()
        .filter(|metrics| metrics.enabled);
    let ports = [
        Some(instance.spec.control_plane.port),
        metrics.map(|metrics| metrics.port),
    ];
    NetworkPolicy {
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
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(
                    ports
                        .into_iter()
                        .flatten()
                        .map(|port| NetworkPolicyPort {
                            port: Some(IntOrString::Int(i32::from(port))),
                            protocol: Some("TCP".to_owned()),
                            end_port: None,
                        })
                        .collect(),
                ),
                from: None,
            }]),
            egress: None,
        }),
    }
}
