//! Fields that have one writer as a whole, although server-side apply merges
//! them part by part.
//!
//! When somebody else adds a port to one of our Services, or replaces one half
//! of an either-or pair, an apply cannot take it away again, and may be
//! refused for ever because both together are invalid. Such a part is removed
//! by a merge patch instead. It leaves our manager with an entry of the
//! operation Update, which counts as ours.

use serde_json::{Map, Value, json};

/// The merge patch that removes from `live` what others put where only we
/// write; `None` where there is nothing of that kind.
pub(super) fn correction(kind: &str, desired: &Value, live: &Value) -> Option<Value> {
    match kind {
        "Service" => ports(desired, live),
        "PodDisruptionBudget" => either_or(desired, live, ["minAvailable", "maxUnavailable"]),
        _ => None,
    }
}

fn ports(desired: &Value, live: &Value) -> Option<Value> {
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
    let foreign = found
        .iter()
        .any(|port| !wanted.iter().any(|wanted| key(wanted) == key(port)));
    foreign.then(|| json!({"spec": {"ports": wanted}}))
}

fn either_or(desired: &Value, live: &Value, fields: [&str; 2]) -> Option<Value> {
    let (desired, live) = (desired.get("spec")?, live.get("spec")?);
    let foreign = |field: &&str| live.get(*field).is_some() && desired.get(*field).is_none();
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

    #[test]
    fn a_port_of_somebody_else_is_removed_and_our_own_are_left_to_apply() {
        let wanted = json!({"spec": {"ports": [{"name": "api", "port": 8080, "protocol": "TCP"}]}});
        let same = json!({"spec": {"ports": [{"name": "x", "port": 8080, "protocol": "TCP", "nodePort": 30000}]}});
        assert_eq!(correction("Service", &wanted, &same), None);
        let other = json!({"spec": {"ports": [{"name": "api", "port": 9999, "protocol": "TCP"}]}});
        assert_eq!(correction("Service", &wanted, &other), Some(wanted.clone()));
        let more = json!({"spec": {"ports": [{"name": "api", "port": 8080}, {"name": "b", "port": 8080, "protocol": "UDP"}]}});
        assert_eq!(correction("Service", &wanted, &more), Some(wanted));
    }

    #[test]
    fn the_other_half_of_a_pair_is_removed() {
        let wanted = json!({"spec": {"maxUnavailable": 1}});
        let live = json!({"spec": {"minAvailable": 1}});
        assert_eq!(
            correction("PodDisruptionBudget", &wanted, &live),
            Some(json!({"spec": {"minAvailable": null, "maxUnavailable": 1}}))
        );
        assert_eq!(correction("PodDisruptionBudget", &wanted, &wanted), None);
    }
}
