//! Types, bounds, patterns, enumerations and required fields.
//!
//! Checks and words are those of <https://pkg.go.dev/k8s.io/kube-openapi/pkg/validation/validate>, in
//! so far as a structural schema can hold them.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use crate::lists::predecessor;
use crate::prune::{child, field};
use crate::refusal::Refusal;

/// The regular expressions of a schema. Those that Kubernetes takes are written alike in Go and in Rust.
#[derive(Debug, Default)]
pub(crate) struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Compiles every pattern below `schema`.
    ///
    /// # Errors
    /// When one is none.
    pub(crate) fn of(schema: &Value) -> Result<Self, regex::Error> {
        let mut patterns = Patterns::default();
        patterns.collect(schema)?;
        Ok(patterns)
    }

    fn collect(&mut self, schema: &Value) -> Result<(), regex::Error> {
        match schema {
            Value::Object(fields) => {
                if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
                    self.0.insert(pattern.to_owned(), Regex::new(pattern)?);
                }
                fields.values().try_for_each(|value| self.collect(value))
            }
            Value::Array(items) => items.iter().try_for_each(|value| self.collect(value)),
            _ => Ok(()),
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        self.0
            .get(pattern)
            .is_some_and(|pattern| pattern.is_match(text))
    }
}

/// Checks `value`; a part that is as in `old` is not refused.
pub(crate) fn check(
    patterns: &Patterns,
    schema: &Value,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    found: &mut Vec<Refusal>,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(refusal) = type_of(schema, value, path) {
        found.push(refusal);
        // What follows would be refused for its type, not for its value.
        if !matches!(value, Value::String(_)) {
            enumeration(schema, value, path, found);
        }
        return;
    }
    match value {
        Value::Object(fields) => {
            bounded(schema, "maxProperties", fields.len(), path, found);
            for (key, value) in fields {
                if let Some(schema) = field(schema, key) {
                    let old = old.and_then(|old| old.get(key));
                    check(patterns, schema, value, old, &child(path, key), found);
                }
            }
            let required = schema["required"].as_array().into_iter().flatten();
            found.extend(
                required
                    .filter_map(Value::as_str)
                    .filter(|key| !fields.contains_key(*key))
                    .map(|key| Refusal::required(&child(path, key))),
            );
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let (old, path) = (predecessor(schema, old, item), format!("{path}[{index}]"));
                check(patterns, &schema["items"], item, old, &path, found);
            }
            if let Some(least) = schema["minItems"].as_u64()
                && (items.len() as u64) < least
            {
                let detail = format!("{path} in body should have at least {least} items");
                let found_items = Value::from(items.len());
                found.push(Refusal::invalid(path, &found_items, &detail));
            }
            bounded(schema, "maxItems", items.len(), path, found);
        }
        Value::String(text) => found.extend(string(patterns, schema, text, path)),
        Value::Number(_) => number(schema, value, path, found),
        Value::Bool(_) | Value::Null => {}
    }
    enumeration(schema, value, path, found);
}

fn bounded(schema: &Value, bound: &str, size: usize, path: &str, found: &mut Vec<Refusal>) {
    if let Some(most) = schema[bound].as_u64()
        && size as u64 > most
    {
        found.push(Refusal::too_many(path, size, most));
    }
}

fn enumeration(schema: &Value, value: &Value, path: &str, found: &mut Vec<Refusal>) {
    let Some(allowed) = schema["enum"].as_array() else {
        return;
    };
    if !allowed.contains(value) {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        found.push(Refusal::unsupported(path, value, &names));
    }
}

/// The flaw of a string; the API server names the first one only.
fn string(patterns: &Patterns, schema: &Value, text: &str, path: &str) -> Option<Refusal> {
    let length = text.chars().count() as u64;
    let value = Value::from(text);
    if let Some(most) = schema["maxLength"].as_u64()
        && length > most
    {
        return Some(Refusal::too_long(path, most));
    }
    if let Some(least) = schema["minLength"].as_u64()
        && length < least
    {
        let detail = format!("{path} in body should be at least {least} chars long");
        return Some(Refusal::invalid(path, &value, &detail));
    }
    let pattern = schema["pattern"].as_str()?;
    (!patterns.matches(pattern, text)).then(|| {
        let detail = format!("{path} in body should match '{pattern}'");
        Refusal::invalid(path, &value, &detail)
    })
}

fn number(schema: &Value, value: &Value, path: &str, found: &mut Vec<Refusal>) {
    let Some(number) = value.as_f64() else { return };
    let whole = value.as_i64();
    if schema["format"] == "int32" && whole.is_none_or(|whole| i32::try_from(whole).is_err()) {
        let detail = format!("Checked value must be of type integer with format int32 in {path}");
        found.push(Refusal::invalid("", &Value::from(""), &detail));
    }
    for (bound, broken, words) in [
        (
            "maximum",
            schema["maximum"].as_f64().is_some_and(|most| number > most),
            "less",
        ),
        (
            "minimum",
            schema["minimum"]
                .as_f64()
                .is_some_and(|least| number < least),
            "greater",
        ),
    ] {
        if broken {
            let limit = schema[bound].as_f64().unwrap_or_default();
            let detail = format!("{path} in body should be {words} than or equal to {limit}");
            found.push(Refusal::invalid(path, value, &detail));
        }
    }
}

/// The refusal of a value whose type is not the schema's.
fn type_of(schema: &Value, value: &Value, path: &str) -> Option<Refusal> {
    let either = schema["x-kubernetes-int-or-string"] == true;
    let wanted = if either {
        "integer,string"
    } else {
        schema["type"].as_str()?
    };
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (kind, fits) = match value {
        Value::Null => ("null", false),
        Value::Bool(_) => ("boolean", wanted == "boolean"),
        Value::String(_) => ("string", either || wanted == "string"),
        Value::Array(_) => ("array", wanted == "array"),
        Value::Object(_) => ("object", wanted == "object"),
        Value::Number(_) if is_whole => {
            ("integer", either || ["integer", "number"].contains(&wanted))
        }
        Value::Number(_) => ("number", wanted == "number"),
    };
    // Without a path there is only the object as a whole, which is always an object.
    (!fits).then(|| {
        let detail = format!("{path} in body must be of type {wanted}: \"{kind}\"");
        Refusal::wrong_type(path, value, &detail)
    })
}
