//! Kubernetes quantities compared by value: `1024Mi` is `1Gi`, `0.5` is `500m`.

use api_types::quantity::nanos;
use serde_json::Value;

/// Whether both values are quantities of the same amount.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (amount(one), amount(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The amount in units of 1e-9.
fn amount(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => nanos(text),
        Value::Number(number) => nanos(&number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_compare_by_value() {
        for (one, other) in [
            (json!("1024Mi"), json!("1Gi")),
            (json!("0.5"), json!("500m")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!("1e3"), json!("1k")),
            (json!("1E3"), json!("1000")),
            (json!(2), json!("2")),
            (json!("-1"), json!("-1000m")),
            (json!("+1"), json!("1")),
            (json!("1E"), json!("1000P")),
        ] {
            assert!(equal(&one, &other), "{one} {other}");
        }
        for (one, other) in [
            (json!("1G"), json!("1Gi")),
            (json!("1"), json!("1m")),
            (json!("x"), json!("x")),
            (json!(""), json!("0")),
            (json!("1.2.3"), json!("1.2.3")),
            (json!("1e"), json!("1")),
        ] {
            assert!(!equal(&one, &other), "{one} {other}");
        }
    }
}
