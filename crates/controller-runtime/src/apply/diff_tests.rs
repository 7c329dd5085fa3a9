//! The comparison against what a real API server does.

use serde_json::{Value, json};

use super::{DifferenceKind, difference, extract, fixtures};
use crate::apply::fixtures::MANAGER;

fn compare(desired: &Value, live: &Value) -> Option<(String, DifferenceKind)> {
    difference(desired, live, MANAGER, None).map(|found| (found.path, found.kind))
}

#[test]
fn what_was_just_applied_is_no_difference() {
    let found: Vec<String> = fixtures::all()
        .iter()
        .filter_map(|(name, desired, live)| {
            difference(desired, live, MANAGER, None).map(|found| format!("{name}: {found}"))
        })
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

/// Paths of every value that is no object and no list.
fn leaves(value: &Value, at: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(
                    value,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    paths,
                );
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), paths);
            }
        }
        _ => paths.push(at.to_owned()),
    }
}

/// Leaves of a fixture that a controller could want otherwise.
fn wanted_leaves(desired: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    leaves(desired, "", &mut paths);
    let identity = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ];
    paths.retain(|path| !identity.contains(&path.as_str()));
    paths
}

#[test]
fn any_other_wish_is_a_difference() {
    for (name, desired, live) in fixtures::all() {
        for path in wanted_leaves(&desired) {
            let mut other = desired.clone();
            *other.pointer_mut(&path).unwrap() = json!("something else");
            assert!(compare(&other, &live).is_some(), "{name}: {path}");
        }
    }
}

#[test]
fn any_wish_given_up_is_a_difference_unless_the_server_assumes_it() {
    let assumed = ["/protocol", "/kind", "/apiVersion"];
    for (name, desired, live) in fixtures::all() {
        for path in wanted_leaves(&desired) {
            let (parent, field) = path.rsplit_once('/').unwrap();
            let mut other = desired.clone();
            match other.pointer_mut(parent).unwrap() {
                Value::Object(fields) => {
                    fields
                        .remove(&field.replace("~1", "/").replace("~0", "~"))
                        .unwrap();
                }
                Value::Array(items) => {
                    items.remove(field.parse().unwrap());
                }
                _ => unreachable!(),
            }
            let stored_as_nothing = live.pointer(&path).is_none();
            if !stored_as_nothing && !assumed.iter().any(|end| path.ends_with(end)) {
                assert!(compare(&other, &live).is_some(), "{name}: {path}");
            }
        }
    }
}

#[test]
fn any_live_value_changed_by_others_is_a_difference() {
    for (name, desired, live) in fixtures::all() {
        for path in wanted_leaves(&desired) {
            let mut live = live.clone();
            if let Some(value) = live.pointer_mut(&path).filter(|value| !value.is_object()) {
                *value = json!("something else");
                assert!(compare(&desired, &live).is_some(), "{name}: {path}");
            }
        }
    }
}

#[test]
fn what_others_add_outside_of_our_fields_is_none_of_our_business() {
    let (desired, mut live) = fixtures::named("statefulset");
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    live["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"name": "sidecar"}));
    live["status"] = json!({"replicas": 7});
    assert_eq!(compare(&desired, &live), None);
}

#[test]
fn a_field_taken_over_by_another_manager_is_a_difference() {
    let (desired, mut live) = fixtures::named("statefulset");
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
        .as_object_mut()
        .unwrap()
        .remove("f:replicas");
    assert_eq!(
        compare(&desired, &live),
        Some((".spec.replicas".into(), DifferenceKind::NotOwned))
    );
}

#[test]
fn order_matters_in_atomic_lists_only() {
    let (mut desired, live) = fixtures::named("statefulset");
    desired["spec"]["template"]["spec"]["volumes"]
        .as_array_mut()
        .unwrap()
        .reverse();
    assert_eq!(compare(&desired, &live), None);
    desired["spec"]["volumeClaimTemplates"]
        .as_array_mut()
        .unwrap()
        .reverse();
    assert_eq!(
        compare(&desired, &live),
        Some((".spec.volumeClaimTemplates".into(), DifferenceKind::Changed))
    );
}

#[test]
fn quantities_compare_by_value_and_texts_do_not() {
    let (mut desired, live) = fixtures::named("statefulset");
    desired["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] =
        json!("500000u");
    desired["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
        json!(1_073_741_824);
    assert_eq!(compare(&desired, &live), None);
    let (desired, mut live) = fixtures::named("configmap");
    live["data"]["config.yaml"] = json!("a: 1");
    assert!(compare(&desired, &live).is_some());
}

#[test]
fn nulls_are_absent() {
    let (mut desired, live) = fixtures::named("service");
    desired["spec"]["externalName"] = Value::Null;
    desired["metadata"]["annotations"] = Value::Null;
    assert_eq!(compare(&desired, &live), None);
}

#[test]
fn paths_name_list_items_by_their_keys() {
    let (mut desired, live) = fixtures::named("service");
    desired["spec"]["ports"][1]["targetPort"] = json!(1);
    let path = ".spec.ports[port=2049,protocol=TCP].targetPort".to_owned();
    assert_eq!(
        compare(&desired, &live),
        Some((path, DifferenceKind::Changed))
    );
    desired["spec"]["ports"][1]["port"] = json!(2050);
    let path = ".spec.ports[port=2050,protocol=TCP]".to_owned();
    assert_eq!(
        compare(&desired, &live),
        Some((path, DifferenceKind::Missing))
    );
    desired["spec"]["ports"].as_array_mut().unwrap().remove(1);
    let path = ".spec.ports[port=2049,protocol=TCP]".to_owned();
    assert_eq!(
        compare(&desired, &live),
        Some((path, DifferenceKind::Unwanted))
    );
}

#[test]
fn an_object_that_we_never_applied_is_different() {
    let (desired, mut live) = fixtures::named("pdb");
    live["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    assert_eq!(
        compare(&desired, &live).map(|(_, kind)| kind),
        Some(DifferenceKind::NotOwned)
    );
}

#[test]
fn only_the_asked_part_is_compared() {
    let live = json!({"metadata": {"name": "x", "managedFields": [
        {"manager": MANAGER, "operation": "Apply", "subresource": "status", "fieldsV1":
            {"f:status": {"f:phase": {}, "f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}, "f:status": {}}}}}}
    ]}, "spec": {"a": 1}, "status": {"phase": "Up", "conditions": [
        {"type": "Other", "status": "True"}, {"type": "Ready", "status": "True"}]}});
    let mut desired = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": 2},
        "status": {"phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(difference(&desired, &live, MANAGER, Some("status")), None);
    desired["status"]["conditions"][0]["status"] = json!("False");
    let found = difference(&desired, &live, MANAGER, Some("status")).unwrap();
    assert_eq!(
        found.to_string(),
        ".status.conditions[type=Ready].status changed"
    );
    desired["status"] = json!({"phase": "Up"});
    let found = difference(&desired, &live, MANAGER, Some("status")).unwrap();
    assert_eq!(found.kind, DifferenceKind::Unwanted);
}

#[test]
fn the_extract_is_what_was_applied_and_extracting_again_changes_nothing() {
    for (name, desired, live) in fixtures::all() {
        let mut extracted = extract(&live, MANAGER, None).unwrap();
        assert_eq!(compare(&extracted, &live), None, "{name}");
        assert_eq!(extracted["metadata"]["name"], desired["metadata"]["name"]);
        assert!(extracted["metadata"].get("uid").is_none() && extracted.get("status").is_none());
        let once = extracted.clone();
        extracted["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        assert_eq!(extract(&extracted, MANAGER, None).unwrap(), once, "{name}");
    }
}
