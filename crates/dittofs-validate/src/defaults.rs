//! Defaults of the schema, and nulls that mean "absent".
//!
//! As <https://pkg.go.dev/k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting>: a null where
//! none is allowed gives way to the default, or goes.

use serde_json::Value;

use crate::prune::field;

/// Puts in the defaults.
pub(crate) fn apply(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
                let absent = fields
                    .get(key)
                    .is_none_or(|value| value.is_null() && !is_nullable(schema));
                if let (true, Some(default)) = (absent, schema.get("default")) {
                    fields.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in fields.iter_mut() {
                if let Some(schema) = field(schema, key) {
                    apply(schema, value);
                }
            }
            fields.retain(|key, value| {
                !value.is_null() || field(schema, key).is_none_or(is_nullable)
            });
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| apply(&schema["items"], item)),
        _ => {}
    }
}

fn is_nullable(schema: &Value) -> bool {
    schema["nullable"] == true
}
