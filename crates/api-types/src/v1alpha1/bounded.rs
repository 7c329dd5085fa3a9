//! Schemas of core types: every list, map and text bounded, so that the API server can bound the
//! cost of rules over them, and without the descriptions that Kubernetes itself documents.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// Longest text in a core type, in characters, where the type itself sets no bound.
const TEXT: u64 = 1024;
/// Longest value of a variable, in characters.
const VALUE: u64 = 32_768;
/// Longest list and largest map in a core type, in items.
const ITEMS: u64 = 64;

/// The schema of the core type `T`.
pub(crate) fn one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    if let Some(object) = schema.as_object_mut() {
        bound(object, TEXT);
    }
    schema
}

/// The schema of a list of `T` with at most `MAX` items.
pub(crate) fn list<T: JsonSchema, const MAX: u64>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": MAX, "items": one::<T>(generator) })
}

/// A list of `T` with at most `MAX` items and no two of one `name`.
pub(crate) fn named<T: JsonSchema, const MAX: u64>(generator: &mut SchemaGenerator) -> Schema {
    keyed(list::<T, MAX>(generator), "name")
}

/// A list of `T` with at most `MAX` items and no two of one `mountPath`.
pub(crate) fn mounts<T: JsonSchema, const MAX: u64>(generator: &mut SchemaGenerator) -> Schema {
    keyed(list::<T, MAX>(generator), "mountPath")
}

fn keyed(mut list: Schema, key: &str) -> Schema {
    list.insert("x-kubernetes-list-type".to_owned(), "map".into());
    list.insert(
        "x-kubernetes-list-map-keys".to_owned(),
        Value::from(vec![key]),
    );
    list
}

/// Bounds `schema` and everything below it; `text` is the bound of a text without one.
fn bound(schema: &mut Map<String, Value>, text: u64) {
    schema.remove("description");
    let quantity = schema.contains_key("x-kubernetes-int-or-string");
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if !quantity => default(schema, "maxLength", text),
        Some("array") => default(schema, "maxItems", ITEMS),
        _ => {}
    }
    if schema.contains_key("additionalProperties") {
        default(schema, "maxProperties", ITEMS);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(Value::Object(below)) = schema.get_mut(below) {
            bound(below, TEXT);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties {
            if let Value::Object(property) = property {
                bound(property, if name == "value" { VALUE } else { TEXT });
            }
        }
    }
}

fn default(schema: &mut Map<String, Value>, keyword: &str, value: u64) {
    schema.entry(keyword).or_insert_with(|| Value::from(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Affinity, EnvVar};

    /// Paths of lists, maps and texts without a bound, and of descriptions.
    fn flaws(path: &str, schema: &Value, found: &mut Vec<String>) {
        let Some(object) = schema.as_object() else {
            return;
        };
        let lacks = |keyword: &str| !object.contains_key(keyword);
        let free = match object.get("type").and_then(Value::as_str) {
            Some("string") => lacks("maxLength"),
            Some("array") => lacks("maxItems"),
            Some("object") => object.contains_key("additionalProperties") && lacks("maxProperties"),
            _ => false,
        };
        if free || !lacks("description") {
            found.push(path.to_owned());
        }
        for below in ["items", "additionalProperties"] {
            if let Some(schema) = object.get(below) {
                flaws(&format!("{path}[]"), schema, found);
            }
        }
        for (name, schema) in object
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            flaws(&format!("{path}.{name}"), schema, found);
        }
    }

    #[test]
    fn nothing_in_a_core_type_is_unbounded_or_described_twice() {
        let mut generator = schemars::generate::SchemaSettings::openapi3()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        let mut found = Vec::new();
        flaws(
            "affinity",
            one::<Affinity>(&mut generator).as_value(),
            &mut found,
        );
        flaws(
            "env",
            named::<EnvVar, 8>(&mut generator).as_value(),
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_crd_leaves_room_below_what_one_object_may_weigh() {
        use kube::CustomResourceExt;
        // kubectl apply keeps a copy in an annotation, as JSON without spaces, and annotations hold
        // 256 KiB in all. The files are twice as long, because YAML indents.
        for crd in [crate::DittoServer::crd(), crate::DittoFSShare::crd()] {
            let text = serde_json::to_string(&crd).unwrap();
            let kind = &crd.spec.names.kind;
            assert!(text.len() < 200 << 10, "{kind}: {} bytes", text.len());
        }
    }
}
