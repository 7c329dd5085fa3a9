//! What metadata and block stores have in common.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::Milliseconds;

/// What the server shows in place of a secret.
const MASK: &str = "********";

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StoreHealth {
    /// Whether the store works.
    pub healthy: bool,
    /// How long the probe took.
    #[serde(rename = "latency_ms")]
    pub latency: Milliseconds,
    /// When it was made.
    pub checked_at: Timestamp,
    /// More, in the server's words.
    #[serde(default)]
    pub details: String,
}

/// A store to be made or changed. The server wants the configuration as JSON
/// within a string, and shows it as an object.
#[derive(Serialize)]
pub(crate) struct StoreBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    r#type: &'a str,
    config: String,
}

impl<'a> StoreBody<'a> {
    pub(crate) fn new(name: Option<&'a str>, kind: &'a str, config: &impl Serialize) -> Self {
        Self {
            name,
            r#type: kind,
            // Our own types have string keys and no failing implementations.
            config: serde_json::to_string(config).expect("store configurations serialize"),
        }
    }
}

/// Whether `shown` is what the server shows of `wanted`.
pub(crate) fn same(wanted: &impl Serialize, shown: Option<&Map<String, Value>>) -> bool {
    let wanted = serde_json::to_value(wanted).expect("store configurations serialize");
    match shown {
        Some(shown) => same_object(wanted.as_object(), shown),
        None => wanted.as_object().is_none_or(Map::is_empty),
    }
}

fn same_object(wanted: Option<&Map<String, Value>>, shown: &Map<String, Value>) -> bool {
    let Some(wanted) = wanted else {
        return false;
    };
    wanted.len() == shown.len()
        && wanted.iter().all(|(key, value)| match shown.get(key) {
            Some(Value::String(text)) if text == MASK => true,
            Some(Value::Object(shown)) => same_object(value.as_object(), shown),
            Some(shown) => shown == value,
            None => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn equal(wanted: Value, shown: Value) -> bool {
        same(&wanted, shown.as_object())
    }

    #[test]
    fn secrets_count_as_equal_and_everything_else_is_compared() {
        assert!(equal(
            json!({"a": 1, "password": "x"}),
            json!({"a": 1, "password": MASK})
        ));
        assert!(!equal(json!({"a": 1}), json!({"a": 2})));
        assert!(!equal(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(!equal(json!({"a": 1, "b": 2}), json!({"a": 1})));
        assert!(equal(
            json!({"a": {"key": "x"}}),
            json!({"a": {"key": MASK}})
        ));
        assert!(!equal(json!({"a": {"b": 1}}), json!({"a": {"b": 2}})));
        assert!(equal(json!({}), json!(null)));
        assert!(!equal(json!({"a": 1}), json!(null)));
    }
}
