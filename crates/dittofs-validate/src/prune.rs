//! Fields that the schema does not know.

use serde_json::Value;

use crate::refusal::Refusal;

/// Names the unknown fields of `value`.
pub(crate) fn unknown(schema: &Value, value: &Value, path: &str, found: &mut Vec<Refusal>) {
    match value {
        Value::Object(fields) => {
            let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true;
            for (key, value) in fields {
                let path = child(path, key);
                match field(schema, key) {
                    Some(schema) => unknown(schema, value, &path, found),
                    None if keeps => {}
                    None => found.push(Refusal::unknown(&path)),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The schema of the field `key`, or of every entry of a map.
pub(crate) fn field<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    let map = &schema["additionalProperties"];
    schema["properties"]
        .get(key)
        .or_else(|| map.is_object().then_some(map))
}

pub(crate) fn child(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
