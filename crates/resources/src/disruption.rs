//! The PodDisruptionBudget: whether a node drain may evict the pod.

use api_types::labels::{self, Component};
use api_types::names;
use api_types::v1alpha1::Disruption;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Instance;

/// The budget of the server's one pod.
pub fn disruption_budget(instance: &Instance<'_>) -> PodDisruptionBudget {
    let (max_unavailable, min_available) = match instance.spec.disruption {
        Disruption::Allow => (Some(IntOrString::Int(1)), None),
        Disruption::Block => (None, Some(IntOrString::Int(1))),
    };
    PodDisruptionBudget {
        metadata: instance.owned(
            names::disruption_budget(instance.name),
            instance.labels(Component::Server),
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable,
            min_available,
            selector: Some(LabelSelector {
                match_labels: Some(labels::selector(instance.name)),
                ..LabelSelector::default()
            }),
            // A pod that does not serve protects nobody: let a drain move it.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        ..PodDisruptionBudget::default()
    }
}
