//! Fields that have one writer as a whole, although server-side apply merges
//! them part by part.
//!
//! When somebody else adds a port to one of our Services, or replaces one half
//! of an either-or pair, an apply cannot take it away again, and may be
//! refused for ever because both together are invalid. Such a part is removed
//! by a merge patch instead. It leaves our manager with an entry of the
//! operation Update, which counts as ours. What we applied ourselves goes with
//! the next apply and needs none.

use serde_json::{Map, Value, json};

use super::diff::has_keys;
use super::owned::Owned;

/// The merge patch that removes from `live` what others put where only we, as
/// `manager`, write; `None` where there is nothing of that kind.
pub(super) fn correction(
    kind: &str,
    desired: &Value,
    live: &Value,
    manager: &str,
) -> Option<Value> {
    let applied = || {
        let owned = Owned::applied(live, manager)?;
        owned.fields.get("spec").cloned()
    };
    match kind {
        "Service" => ports(desired, live, &applied().unwrap_or_default()),
        "PodDisruptionBudget" => {
            let halves = ["minAvailable", "maxUnavailable"];
            either_or(desired, live, &applied().unwrap_or_default(), halves)
        }
        _ => None,
    }
}

fn ports(desired: &Value, live: &Value, applied: &Owned) -> Option<Value> {
    // The key of the list map `ports` (`x-kubernetes-list-map-keys`).
    let key = |port: &Value| {
        (
            port["port"].clone(),
            port.get("protocol")
                .cloned()
                .unwrap_or_else(|| json!("TCP")),
        )
    };
    let wanted = desired.pointer("/spec/ports")?.as_array()?;
    let found = live.pointer("/spec/ports")?.as_array()?;
    let ours = applied.fields.get("ports");
    let applied = |port: &Value| {
        let mut items = ours.into_iter().flat_map(|ports| &ports.items);
        items.any(|(keys, _)| has_keys(port, keys))
    };
    let foreign = found
        .iter()
        .any(|port| !applied(port) && !wanted.iter().any(|wanted| key(wanted) == key(port)));
    foreign.then(|| json!({"spec": {"ports": wanted}}))
}

fn either_or(desired: &Value, live: &Value, applied: &Owned, fields: [&str; 2]) -> Option<Value> {
    let (desired, live) = (desired.get("spec")?, live.get("spec")?);
    let foreign = |field: &&str| {
        live.get(*field).is_some()
            && desired.get(*field).is_none()
            && !applied.fields.contains_key(*field)
    };
    fields.iter().any(foreign).then(|| {
        let values = fields.map(|field| {
            (
                field.to_owned(),
                desired.get(field).cloned().unwrap_or_default(),
            )
        });
        json!({"spec": Map::from_iter(values)})
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "us";

    /// `live` with the fields of its spec that we applied.
    fn by_us(mut live: Value, spec: Value) -> Value {
        live["metadata"]["managedFields"] =
            json!([{"manager": US, "operation": "Apply", "fieldsV1": {"f:spec": spec}}]);
        live
    }

    #[test]
    fn what_we_applied_ourselves_goes_by_apply() {
        let wanted = json!({"spec": {"ports": [{"name": "api", "port": 8080, "protocol": "TCP"}]}});
        let before = json!({"spec": {"ports": [{"name": "api", "port": 9999, "protocol": "TCP"}]}});
        let ours = json!({"f:ports": {"k:{\"port\":9999,\"protocol\":\"TCP\"}": {".": {}}}});
        assert_eq!(
            correction("Service", &wanted, &by_us(before, ours), US),
            None
        );
        let wanted = json!({"spec": {"maxUnavailable": 1}});
        let before = json!({"spec": {"minAvailable": 1}});
        let before = by_us(before, json!({"f:minAvailable": {}}));
        assert_eq!(
            correction("PodDisruptionBudget", &wanted, &before, US),
            None
        );
    }

    #[test]
    fn a_port_of_somebody_else_is_removed_and_our_own_are_left_to_apply() {
        let wanted = json!({"spec": {"ports": [{"name": "api", "port": 8080, "protocol": "TCP"}]}});
        let same = json!({"spec": {"ports": [{"name": "x", "port": 8080, "protocol": "TCP", "nodePort": 30000}]}});
        assert_eq!(correction("Service", &wanted, &same, US), None);
        let other = json!({"spec": {"ports": [{"name": "api", "port": 9999, "protocol": "TCP"}]}});
        assert_eq!(
            correction("Service", &wanted, &other, US),
            Some(wanted.clone())
        );
        let more = json!({"spec": {"ports": [{"name": "api", "port": 8080}, {"name": "b", "port": 8080, "protocol": "UDP"}]}});
        assert_eq!(correction("Service", &wanted, &more, US), Some(wanted));
    }

    #[test]
    fn the_other_half_of_a_pair_is_removed() {
        let wanted = json!({"spec": {"maxUnavailable": 1}});
        let live = json!({"spec": {"minAvailable": 1}});
        assert_eq!(
            correction("PodDisruptionBudget", &wanted, &live, US),
            Some(json!({"spec": {"minAvailable": null, "maxUnavailable": 1}}))
        );
        assert_eq!(
            correction("PodDisruptionBudget", &wanted, &wanted, US),
            None
        );
    }
}
