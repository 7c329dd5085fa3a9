//! The digest of a rendering: how a later release tells its own older rendering from somebody
//! else's edit.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of a rendering, as 64 hexadecimal digits.
///
/// It does not depend on the order of keys, nor on the amounts below `limits` and `requests`, in
/// `sizeLimit` and `divisor`: the API server rewrites those (`1024Mi` becomes `1Gi`).
pub fn rendering(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (key, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                match (key.as_str(), value) {
                    ("limits" | "requests", Value::Object(amounts)) => {
                        let resources: Vec<&String> = amounts.keys().collect();
                        let _ = write!(out, "{resources:?}");
                    }
                    ("sizeLimit" | "divisor", _) => out.push('?'),
                    _ => canonical(value, out),
                }
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_renderings_have_equal_digests_whatever_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[{"c":2,"d":3}]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":[{"d":3,"c":2}],"a":1}"#).unwrap();
        assert_eq!(rendering(&one), rendering(&two));
        assert_ne!(rendering(&one), rendering(&json!({"a": 1})));
    }

    #[test]
    fn amounts_that_the_api_server_rewrites_do_not_count_but_their_presence_does() {
        let of = |limits: Value| rendering(&json!({"resources": {"limits": limits}}));
        assert_eq!(
            of(json!({"memory": "1024Mi"})),
            of(json!({"memory": "1Gi"}))
        );
        assert_ne!(
            of(json!({"memory": "1Gi"})),
            of(json!({"memory": "1Gi", "cpu": "1"}))
        );
    }
}
