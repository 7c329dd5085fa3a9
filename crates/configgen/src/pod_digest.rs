//! The part of the restart digest that `spec.pod` makes.

use std::collections::BTreeMap;

use api_types::v1alpha1::PodSettings;
use serde_json::{Value, json};

/// What `spec` changes in the pod; `None` when it sets nothing. Empty values inside core types
/// stay, because they have a meaning there: an empty namespaceSelector is every namespace, none is
/// the pod's own.
pub(crate) fn pod_part(spec: &PodSettings) -> Option<Value> {
    // All of it lands in the pod template, and a new template is a new pod.
    let PodSettings {
        labels,
        annotations,
        image_pull_policy,
        image_pull_secrets,
        node_selector,
        tolerations,
        affinity,
        topology_spread_constraints,
        priority_class_name,
        runtime_class_name,
        service_account_name,
        env,
        volumes,
        volume_mounts,
        probes,
        dns_policy,
        dns_config,
        host_aliases,
    } = spec;
    let part = json!({
        "labels": labels,
        "annotations": annotations,
        "imagePullPolicy": image_pull_policy,
        "imagePullSecrets": image_pull_secrets,
        "nodeSelector": node_selector,
        "tolerations": tolerations,
        "affinity": affinity,
        "topologySpreadConstraints": topology_spread_constraints,
        "priorityClassName": priority_class_name,
        "runtimeClassName": runtime_class_name,
        "serviceAccountName": service_account_name,
        "env": env,
        "volumes": volumes,
        "volumeMounts": volume_mounts,
        "probes": probes,
        "dnsPolicy": dns_policy,
        "dnsConfig": dns_config,
        "hostAliases": host_aliases,
    });
    let set: BTreeMap<String, Value> = match part {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !absent(value))
            .map(|(name, value)| (name, sorted(value)))
            .collect(),
        _ => BTreeMap::new(),
    };
    (!set.is_empty()).then(|| Value::Object(set.into_iter().collect()))
}

fn absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// `value` with the keys of every object in order, whatever order the JSON library keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, sorted(value)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pod: Value) -> Option<Value> {
        pod_part(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_section_that_sets_nothing_leaves_no_trace() {
        assert_eq!(of(json!({})), None);
        assert_eq!(
            of(json!({"labels": {}, "env": [], "affinity": {}, "probes": {}})),
            None
        );
    }

    #[test]
    fn every_field_of_the_section_restarts_the_server() {
        let every = [
            json!({"labels": {"team": "storage"}}),
            json!({"annotations": {"team": "storage"}}),
            json!({"imagePullPolicy": "Always"}),
            json!({"imagePullSecrets": [{"name": "registry"}]}),
            json!({"nodeSelector": {"disk": "fast"}}),
            json!({"tolerations": [{"operator": "Exists"}]}),
            json!({"affinity": {"nodeAffinity": {}}}),
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            json!({"priorityClassName": "high"}),
            json!({"runtimeClassName": "gvisor"}),
            json!({"serviceAccountName": "files"}),
            json!({"env": [{"name": "TZ", "value": "UTC"}]}),
            json!({"volumes": [{"name": "ca", "emptyDir": {}}]}),
            json!({"volumeMounts": [{"name": "ca", "mountPath": "/ca"}]}),
            json!({"probes": {"startup": {"budgetSeconds": 600}}}),
            json!({"dnsPolicy": "Default"}),
            json!({"dnsConfig": {"nameservers": ["10.0.0.1"]}}),
            json!({"hostAliases": [{"ip": "10.0.0.1"}]}),
        ];
        let parts: Vec<Value> = every.iter().cloned().filter_map(of).collect();
        assert_eq!(parts.len(), every.len());
        let fields = serde_json::to_value(PodSettings::default()).unwrap();
        assert_eq!(fields, json!({}), "a field without a value shows up");
        for (index, part) in parts.iter().enumerate() {
            assert!(!parts[..index].contains(part), "{part}");
        }
    }

    #[test]
    fn empty_values_that_mean_something_in_core_types_count() {
        let term = |selector: Value| {
            let mut term =
                json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}});
            term.as_object_mut()
                .unwrap()
                .extend(selector.as_object().unwrap().clone());
            of(
                json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}),
            )
        };
        assert_ne!(term(json!({"namespaceSelector": {}})), term(json!({})));
    }
}
