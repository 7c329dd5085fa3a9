//! Hands the predecessor's entries of managedFields over to us. Pure.
//!
//! The Go operator wrote everything by Update. Fields that it owns would survive our applies for
//! ever; fields that we own and no longer want are removed by the next one.

use serde_json::{Map, Value, json};

use crate::MANAGER;

/// The managedFields of a child after the hand-over of every entry of the manager that put the
/// owner reference to `uid` there; `None` when there is none. Entries of people and of Kubernetes
/// itself stay.
pub(super) fn of_child(live: &Value, uid: &str) -> Option<Value> {
    let owner = json!({ "uid": uid }).to_string();
    let owner = format!(
        "/f:metadata/f:ownerReferences/{}",
        pointer_token(&format!("k:{owner}"))
    );
    let entries = entries(live)?;
    let predecessor = entries
        .iter()
        .find(|entry| is_update(entry, "") && entry["fieldsV1"].pointer(&owner).is_some())?["manager"]
        .clone();
    hand_over(entries, |entry| {
        is_update(entry, "") && entry["manager"] == predecessor
    })
}

/// The managedFields of a server after the hand-over of every entry for its status: nobody but an
/// operator writes that.
pub(super) fn of_server(live: &Value) -> Option<Value> {
    hand_over(entries(live)?, |entry| is_update(entry, "status"))
}

fn entries(live: &Value) -> Option<&Vec<Value>> {
    live.pointer("/metadata/managedFields")?.as_array()
}

fn is_update(entry: &Value, subresource: &str) -> bool {
    entry["operation"] == "Update"
        && entry["manager"] != MANAGER
        && entry["subresource"].as_str().unwrap_or_default() == subresource
}

/// `entries` with those that `goes` names merged into our own Apply entry.
fn hand_over(entries: &[Value], goes: impl Fn(&Value) -> bool) -> Option<Value> {
    let (gone, mut kept): (Vec<&Value>, Vec<&Value>) =
        entries.iter().partition(|entry| goes(entry));
    let template = *gone.first()?;
    let is_ours = |entry: &&Value| {
        entry["manager"] == MANAGER
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
    ours["manager"] = MANAGER.into();
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
        let after = of_child(&child(json!({})), "uid-1").unwrap();
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
        let after = of_child(&child(half), "uid-1").unwrap();
        let ours: Vec<&Value> = after
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["manager"] == MANAGER)
            .collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0]["fieldsV1"]["f:spec"], json!({"f:a": {}, "f:c": {}}));
        let done = json!({"metadata": {"managedFields": after}});
        assert_eq!(of_child(&done, "uid-1"), None);
    }

    #[test]
    fn an_object_that_another_server_owns_is_not_touched() {
        assert_eq!(of_child(&child(json!({})), "uid-2"), None);
    }

    #[test]
    fn the_status_of_a_server_is_handed_over_whoever_wrote_it() {
        let live = json!({"metadata": {"managedFields": [
            {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            {"manager": "operator", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}},
        ]}});
        let after = of_server(&live).unwrap();
        assert_eq!(after[0]["manager"], "kubectl-client-side-apply");
        assert_eq!(after[1]["manager"], MANAGER);
        assert_eq!(after[1]["subresource"], "status");
    }
}
