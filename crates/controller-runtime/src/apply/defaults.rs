//! What the API server adds or drops by itself, so that it is no difference.
//!
//! Needed only inside values that are owned as a whole (atomic lists and
//! objects): everywhere else a field that we did not write is not ours.
//! Sources: `pkg/apis/*/v1/defaults.go` of Kubernetes, and the fixtures
//! recorded from a real API server beside the tests.

use serde_json::{Map, Value, json};

/// Whether `field: value`, which the live object has and ours has not, is a
/// default of the API server. `siblings` is the live object around the field.
pub(crate) fn is_default(field: &str, value: &Value, siblings: &Map<String, Value>) -> bool {
    let has = |name: &str| siblings.contains_key(name);
    match field {
        // NetworkPolicyPort, ServicePort, ContainerPort.
        "protocol" => value == "TCP",
        // PersistentVolumeClaimSpec in volumeClaimTemplates.
        "volumeMode" => value == "Filesystem",
        // PersistentVolumeClaim in volumeClaimTemplates.
        "status" => *value == json!({"phase": "Pending"}),
        "kind" => value == "PersistentVolumeClaim",
        // ObjectFieldSelector, PersistentVolumeClaim.
        "apiVersion" => value == "v1" && (has("fieldPath") || has("spec")),
        // ResourceFieldSelector.
        "divisor" => value == "0" || value == 0,
        // HTTPGetAction, TCPSocketAction.
        "scheme" => value == "HTTP",
        // GRPCAction.
        "service" => value == "",
        // ServiceAccountTokenProjection.
        "expirationSeconds" => value == 3600,
        // ConfigMap, Secret, projected and downward API volumes.
        "defaultMode" => value == 420,
        // TypedLocalObjectReference of a claim whose dataSource was set.
        "dataSourceRef" => siblings.get("dataSource") == Some(value),
        "creationTimestamp" => value.is_null(),
        _ => false,
    }
}

/// Value that the API server assumes for a key field of a list map that is
/// left out: `protocol` of ports (`x-kubernetes-list-map-keys`, default TCP).
pub(crate) fn key_default(field: &str) -> Option<Value> {
    (field == "protocol").then(|| json!("TCP"))
}

/// Whether the API server leaves this value out when it stores an object
/// (`omitempty` of Go): false, 0, the empty text and the empty list. Empty
/// objects are kept for pointer types, such as selectors, and so do not count.
pub(crate) fn is_dropped(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Whether values under this field are quantities.
pub(crate) fn holds_quantities(field: &str) -> bool {
    matches!(
        field,
        "limits"
            | "requests"
            | "capacity"
            | "storage"
            | "sizeLimit"
            | "divisor"
            | "hard"
            | "min"
            | "max"
    )
}

/// Whether an empty map is left out when it is stored: plain maps and structs
/// of Go, as opposed to pointers.
pub(crate) fn is_omitted_map(field: &str, value: &Value) -> bool {
    let plain = matches!(
        field,
        "labels"
            | "annotations"
            | "matchLabels"
            | "nodeSelector"
            | "limits"
            | "requests"
            | "metadata"
            | "resources"
    );
    plain && is_empty_object(value)
}

/// Objects that managers share field by field, so that one that we own as
/// empty may hold fields of others. Selectors are not among them: they are
/// owned as a whole.
pub(crate) fn is_shared(field: &str) -> bool {
    matches!(
        field,
        "annotations"
            | "binaryData"
            | "capabilities"
            | "data"
            | "emptyDir"
            | "labels"
            | "limits"
            | "metadata"
            | "requests"
            | "resources"
            | "rollingUpdate"
            | "securityContext"
            | "spec"
            | "status"
            | "updateStrategy"
    )
}

pub(crate) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}
