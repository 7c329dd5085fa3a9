//! Hands the predecessor's entries of managedFields over to one of our managers. Pure.
//!
//! The Go operator wrote everything by Update. Fields that it owns would survive our applies for
//! ever; fields that we own and no longer want are removed by the next one.

use serde_json::{Map, Value, json};

/// The field managers, other than `manager`, that acted as an operator for a server by Update: they
/// wrote its status, or put `finalizer` there.
#[must_use]
pub fn predecessors(live: &Value, manager: &str, finalizer: &str) -> Vec<String> {
    let finalizer = json!(finalizer).to_string();
    let finalizer = format!(
        "/f:metadata/f:finalizers/{}",
        pointer_token(&format!("v:{finalizer}"))
    );
    let mut found: Vec<String> = entries(live)
        .into_iter()
        .flatten()
        .filter(|entry| {
            is_update(entry, "status", manager)
                || is_update(entry, "", manager) && entry["fieldsV1"].pointer(&finalizer).is_some()
        })
        .filter_map(|entry| Some(entry["manager"].as_str()?.to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The managedFields of a child after the hand-over of every entry of `predecessors`, and of the
/// manager that put the owner reference to `uid` there, to our `manager`; `None` when there is none.
/// Entries of people and of Kubernetes itself stay.
#[must_use]
pub fn child(live: &Value, uid: &str, manager: &str, predecessors: &[String]) -> Option<Value> {
    let predecessors = of_owner(live, uid, manager, predecessors);
    hand_over(entries(live)?, manager, |entry| {
        is_update(entry, "", manager) && is_of(entry, &predecessors)
    })
}

/// The managedFields of an object that we keep and never apply: the same entries are ours, as
/// updates. `None` when there is none.
#[must_use]
pub fn renamed(live: &Value, uid: &str, manager: &str, predecessors: &[String]) -> Option<Value> {
    let predecessors = of_owner(live, uid, manager, predecessors);
    let mut after = entries(live)?.clone();
    let mut any = false;
    for entry in &mut after {
        if is_update(entry, "", manager) && is_of(entry, &predecessors) {
            entry["manager"] = manager.into();
            any = true;
        }
    }
    any.then_some(Value::Array(after))
}

/// The managedFields of a server after the hand-over of every entry for its status: nobody but an
/// operator writes that. What the same managers own beside it, nobody owns afterwards: the spec is
/// people's.
#[must_use]
pub fn server(live: &Value, manager: &str, finalizer: &str) -> Option<Value> {
    let predecessors = predecessors(live, manager, finalizer);
    let kept: Vec<Value> = entries(live)?
        .iter()
        .filter(|entry| !(is_update(entry, "", manager) && is_of(entry, &predecessors)))
        .cloned()
        .collect();
    let handed_over = hand_over(&kept, manager, |entry| is_update(entry, "status", manager));
    handed_over.or_else(|| (!predecessors.is_empty()).then_some(Value::Array(kept)))
}

/// `predecessors`, and who put the owner reference to `uid` there.
fn of_owner(live: &Value, uid: &str, manager: &str, predecessors: &[String]) -> Vec<String> {
    let owner = json!({ "uid": uid }).to_string();
    let owner = format!(
        "/f:metadata/f:ownerReferences/{}",
        pointer_token(&format!("k:{owner}"))
    );
    let by_owner = entries(live)
        .into_iter()
        .flatten()
        .filter(|entry| {
            is_update(entry, "", manager) && entry["fieldsV1"].pointer(&owner).is_some()
        })
        .filter_map(|entry| Some(entry["manager"].as_str()?.to_owned()));
    predecessors.iter().cloned().chain(by_owner).collect()
}

fn is_of(entry: &Value, managers: &[String]) -> bool {
    managers.iter().any(|manager| entry["manager"] == **manager)
}

fn entries(live: &Value) -> Option<&Vec<Value>> {
    live.pointer("/metadata/managedFields")?.as_array()
}

fn is_update(entry: &Value, subresource: &str, manager: &str) -> bool {
    entry["operation"] == "Update"
        && entry["manager"] != manager
        && entry["subresource"].as_str().unwrap_or_default() == subresource
}

/// `entries` with those that `goes` names merged into our own Apply entry.
fn hand_over(entries: &[Value], manager: &str, goes: impl Fn(&Value) -> bool) -> Option<Value> {
    let (gone, mut kept): (Vec<&Value>, Vec<&Value>) =
        entries.iter().partition(|entry| goes(entry));
    let template = *gone.first()?;
    let is_ours = |entry: &&Value| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"] == template["subresource"]
    };
    let mut fields = Map::new();
    for entry in gone
        .iter()
        .copied()
        .chain(kept.iter().copied().filter(is_ours))
    {
        merge(&mut fields, &entry["fieldsV1"]);
    }
    kept.retain(|entry| !is_ours(entry));
    let mut ours = template.clone();
    ours["manager"] = manager.into();
    ours["operation"] = "Apply".into();
    ours["fieldsV1"] = Value::Object(fields);
    Some(kept.into_iter().cloned().chain([ours]).collect())
}

/// The union of two field sets, which are trees of objects.
fn merge(into: &mut Map<String, Value>, from: &Value) {
    for (path, below) in from.as_object().into_iter().flatten() {
        let slot = into.entry(path).or_insert_with(|| json!({}));
        if let Value::Object(slot) = slot {
            merge(slot, below);
        }
    }
}

/// `text` as one step of a JSON pointer.
fn pointer_token(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGER: &str = "ours";
    const FINALIZER: &str = "dittofs.dittofs.com/finalizer";

    fn child(ours: Value) -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "operator", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"uid-1\"}": {}}}, "f:spec": {"f:a": {}}}},
            {"manager": "operator", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:b": {}}}},
            ours,
        ]}})
    }

    #[test]
    fn what_the_predecessor_owned_is_ours_and_what_a_person_owned_stays_theirs() {
        let after = super::child(&child(json!({})), "uid-1", MANAGER, &[]).unwrap();
        let ours = after
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["manager"] == MANAGER)
            .unwrap();
        assert_eq!(ours["operation"], "Apply");
        assert_eq!(ours["fieldsV1"]["f:spec"], json!({"f:a": {}}));
        let managers: Vec<&str> = after
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["manager"].as_str())
            .collect();
        assert_eq!(
            managers,
            ["operator", "kubectl-edit", MANAGER],
            "its status entry and the person's stay"
        );
    }

    #[test]
    fn a_hand_over_that_was_interrupted_is_completed() {
        let half =
            json!({"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:c": {}}}});
        let after = super::child(&child(half), "uid-1", MANAGER, &[]).unwrap();
        let ours: Vec<&Value> = after
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["manager"] == MANAGER)
            .collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0]["fieldsV1"]["f:spec"], json!({"f:a": {}, "f:c": {}}));
        let done = json!({"metadata": {"managedFields": after}});
        assert_eq!(super::child(&done, "uid-1", MANAGER, &[]), None);
    }

    #[test]
    fn an_object_that_another_server_owns_is_not_touched() {
        assert_eq!(super::child(&child(json!({})), "uid-2", MANAGER, &[]), None);
    }

    #[test]
    fn the_status_of_a_server_is_handed_over_whoever_wrote_it() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            {"manager": "operator", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}},
        ]}});
        let after = server(&live, MANAGER, FINALIZER).unwrap();
        assert_eq!(after[0]["manager"], "kubectl-client-side-apply");
        assert_eq!(after[1]["manager"], MANAGER);
        assert_eq!(after[1]["subresource"], "status");
    }

    #[test]
    fn an_operator_is_known_by_the_status_and_by_the_finalizer_that_it_wrote() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            {"manager": "operator", "operation": "Update",
             "fieldsV1": {"f:metadata": {"f:finalizers": {".": {}, "v:\"dittofs.dittofs.com/finalizer\"": {}}}}},
            {"manager": MANAGER, "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
        ]}});
        assert_eq!(predecessors(&live, MANAGER, FINALIZER), ["operator"]);
        let after = server(&live, MANAGER, FINALIZER).unwrap();
        let managers: Vec<_> = after
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap())
            .collect();
        assert_eq!(managers, ["kubectl-client-side-apply", MANAGER]);
        assert!(
            predecessors(
                &json!({"metadata": {"managedFields": after}}),
                MANAGER,
                FINALIZER
            )
            .is_empty()
        );
    }

    #[test]
    fn an_operator_that_came_back_is_known_by_its_name() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}},
            {"manager": "operator", "operation": "Update", "fieldsV1": {"f:spec": {"f:b": {}}}},
        ]}});
        assert_eq!(super::child(&live, "uid-1", MANAGER, &[]), None);
        let after = super::child(&live, "uid-1", MANAGER, &["operator".to_owned()]).unwrap();
        assert_eq!(
            after[0]["fieldsV1"],
            json!({"f:spec": {"f:a": {}, "f:b": {}}})
        );
    }
}
