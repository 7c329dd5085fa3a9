//! The part of a live object that a field manager owns.

use serde_json::{Map, Value, json};

use super::{diff::has_keys, owned::Owned};

/// The live object reduced to the fields that `manager` owns through
/// server-side apply, on the main resource or on a subresource, with
/// `apiVersion`, `kind`, name and namespace; `None` when it owns nothing. What
/// Go calls `ExtractInto` in `k8s.io/client-go/applyconfigurations`.
#[must_use]
pub fn extract(live: &Value, manager: &str, subresource: Option<&str>) -> Option<Value> {
    let owned = Owned::of(live, manager, subresource)?;
    let mut extracted = match reduce(live, &owned) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = live.get(name) {
            extracted.insert(name.to_owned(), value.clone());
        }
    }
    let metadata = extracted.entry("metadata").or_insert_with(|| json!({}));
    for name in ["name", "namespace"] {
        if let (Some(metadata), Some(value)) =
            (metadata.as_object_mut(), live["metadata"].get(name))
        {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    Some(Value::Object(extracted))
}

fn reduce(live: &Value, owned: &Owned) -> Option<Value> {
    if owned.is_leaf() {
        return Some(live.clone());
    }
    match live {
        Value::Object(fields) => {
            let reduced = owned.fields.iter().filter_map(|(name, below)| {
                fields
                    .get(name)
                    .and_then(|value| reduce(value, below))
                    .map(|value| (name.clone(), value))
            });
            Some(Value::Object(reduced.collect()))
        }
        Value::Array(items) if !owned.items.is_empty() => {
            let reduced = items.iter().filter_map(|item| {
                let (keys, below) = owned.items.iter().find(|(keys, _)| has_keys(item, keys))?;
                let mut reduced = match reduce(item, below) {
                    Some(Value::Object(fields)) => fields,
                    _ => Map::new(),
                };
                for name in keys.keys() {
                    if let Some(value) = item.get(name) {
                        reduced.insert(name.clone(), value.clone());
                    }
                }
                Some(Value::Object(reduced))
            });
            Some(Value::Array(reduced.collect()))
        }
        Value::Array(items) => Some(Value::Array(
            items
                .iter()
                .filter(|item| owned.values.contains(item))
                .cloned()
                .collect(),
        )),
        scalar => Some(scalar.clone()),
    }
}
