//! Objects with names that we need and that are somebody else's.

use kube::Resource;
use resources::{Children, Instance};

use super::Conflict;
use crate::observe::Observed;

/// Those among the children.
pub(super) fn conflicts(observed: &Observed, instance: &Instance<'_>) -> Vec<Conflict> {
    fn foreign<K: Resource<DynamicType = ()>>(
        instance: &Instance<'_>,
        live: Option<&K>,
    ) -> Option<String> {
        live.filter(|live| !instance.owns(*live))?
            .meta()
            .name
            .clone()
    }
    let Children {
        config,
        headless,
        api,
        metrics,
        stateful_set,
        budget,
        policy,
        monitor,
        rule,
    } = &observed.live;
    let spec = instance.spec.metrics.as_ref();
    let wants_metrics = spec.is_some_and(|spec| spec.enabled);
    let wants_monitor = spec.is_some_and(|spec| spec.wanted_monitor().is_some());
    let wants_rule = spec.is_some_and(|spec| spec.wanted_rule().is_some());
    let wants_policy = instance.spec.network_policy.enabled;
    [
        ("ConfigMap", foreign(instance, config.as_deref())),
        ("Service", foreign(instance, headless.as_deref())),
        ("Service", foreign(instance, api.as_deref())),
        (
            "Service",
            foreign(instance, metrics.as_deref().filter(|_| wants_metrics)),
        ),
        ("StatefulSet", foreign(instance, stateful_set.as_deref())),
        ("PodDisruptionBudget", foreign(instance, budget.as_deref())),
        (
            "NetworkPolicy",
            foreign(instance, policy.as_deref().filter(|_| wants_policy)),
        ),
        (
            "ServiceMonitor",
            foreign(instance, monitor.as_deref().filter(|_| wants_monitor)),
        ),
        (
            "PrometheusRule",
            foreign(instance, rule.as_deref().filter(|_| wants_rule)),
        ),
    ]
    .into_iter()
    .filter_map(|(kind, name)| Some(Conflict { kind, name: name? }))
    .collect()
}
