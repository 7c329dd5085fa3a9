//! Lists that are sets, or maps by a key: no item twice; and which old item a new one continues.

use serde_json::{Map, Value};

use crate::prune::{child, field};
use crate::refusal::Refusal;

/// Names the items that are there twice.
pub(crate) fn duplicates(schema: &Value, value: &Value, path: &str, found: &mut Vec<Refusal>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Some(schema) = field(schema, key) {
                    duplicates(schema, value, &child(path, key), found);
                }
            }
        }
        Value::Array(items) => {
            let identities: Vec<Value> = match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => items.clone(),
                Some("map") => items.iter().map(|item| key_of(schema, item)).collect(),
                _ => Vec::new(),
            };
            for (index, identity) in identities.iter().enumerate() {
                // The second one is named, and no further one.
                let before = identities[..index]
                    .iter()
                    .filter(|other| *other == identity);
                if before.count() == 1 {
                    found.push(Refusal::duplicate(&format!("{path}[{index}]"), identity));
                }
            }
            for (index, item) in items.iter().enumerate() {
                duplicates(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The item of `old` that `item` continues. Only items of a list with keys have a past.
pub(crate) fn predecessor<'v>(
    schema: &Value,
    old: Option<&'v Value>,
    item: &Value,
) -> Option<&'v Value> {
    if schema["x-kubernetes-list-type"] != "map" {
        return None;
    }
    let key = key_of(schema, item);
    old?.as_array()?
        .iter()
        .find(|old| key_of(schema, old) == key)
}

fn key_of(schema: &Value, item: &Value) -> Value {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let fields: Map<String, Value> = keys
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|key| Some((key.to_owned(), item.get(key)?.clone())))
        .collect();
    Value::Object(fields)
}
