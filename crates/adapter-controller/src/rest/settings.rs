//! Declared settings of a protocol as the server takes them, and how they differ from its own. Pure.

use adapter_client::{Milliseconds, NfsSettingsPatch, Seconds, SmbSettingsPatch};
use api_types::v1alpha1::{NfsSettings, OperationName, SmbSettings};
use serde::Serialize;
use serde_json::Value;

/// `value` as the server reads it.
pub(super) fn json<T: Serialize>(value: &T) -> Value {
    // Numbers, texts and lists of texts.
    serde_json::to_value(value).unwrap_or_default()
}

/// The fields that are wanted and have another value. The order of a list means nothing.
pub(super) fn differing(wanted: &Value, live: &Value) -> Vec<String> {
    let sorted = |value: &Value| match value {
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
            items.sort();
            items.dedup();
            Value::from(items)
        }
        other => other.clone(),
    };
    let fields = wanted.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| sorted(value) != sorted(&live[name.as_str()]))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The NFS settings that the spec declares.
pub(super) fn nfs_patch(settings: &NfsSettings) -> NfsSettingsPatch {
    let NfsSettings {
        min_version,
        max_version,
        lease_time,
        grace_period,
        delegation_recall_timeout,
        callback_timeout,
        lease_break_timeout,
        max_connections,
        max_clients,
        max_compound_ops,
        max_read_size,
        max_write_size,
        preferred_transfer_size,
        delegations_enabled,
        max_delegations,
        dir_deleg_batch_window_ms,
        blocked_operations,
    } = settings;
    NfsSettingsPatch {
        min_version: min_version.as_ref().and_then(text),
        max_version: max_version.as_ref().and_then(text),
        lease_time: seconds(*lease_time),
        grace_period: seconds(*grace_period),
        delegation_recall_timeout: seconds(*delegation_recall_timeout),
        callback_timeout: seconds(*callback_timeout),
        lease_break_timeout: seconds(*lease_break_timeout),
        max_connections: *max_connections,
        max_clients: *max_clients,
        max_compound_ops: *max_compound_ops,
        max_read_size: *max_read_size,
        max_write_size: *max_write_size,
        preferred_transfer_size: *preferred_transfer_size,
        delegations_enabled: *delegations_enabled,
        max_delegations: *max_delegations,
        dir_deleg_batch_window_ms: dir_deleg_batch_window_ms
            .map(|window| Milliseconds(u64::from(window))),
        blocked_operations: names(blocked_operations.as_deref()),
        ..NfsSettingsPatch::default()
    }
}

/// The SMB settings that the spec declares.
pub(super) fn smb_patch(settings: &SmbSettings) -> SmbSettingsPatch {
    let SmbSettings {
        min_dialect,
        max_dialect,
        session_timeout,
        oplock_break_timeout,
        max_connections,
        max_sessions,
        signing,
        directory_leasing_enabled,
        blocked_operations,
    } = settings;
    SmbSettingsPatch {
        min_dialect: min_dialect.as_ref().and_then(text),
        max_dialect: max_dialect.as_ref().and_then(text),
        session_timeout: seconds(*session_timeout),
        oplock_break_timeout: seconds(*oplock_break_timeout),
        max_connections: *max_connections,
        max_sessions: *max_sessions,
        signing: signing.as_ref().and_then(text),
        directory_leasing_enabled: *directory_leasing_enabled,
        blocked_operations: names(blocked_operations.as_deref()),
        ..SmbSettingsPatch::default()
    }
}

/// The server's spelling of a value, which is also that of the spec.
fn text<T: Serialize>(value: &T) -> Option<String> {
    json(value).as_str().map(str::to_owned)
}

fn seconds(seconds: Option<u32>) -> Option<Seconds> {
    seconds.map(|seconds| Seconds(u64::from(seconds)))
}

fn names(operations: Option<&[OperationName]>) -> Option<Vec<String>> {
    let operations = operations?.iter();
    Some(operations.map(|operation| operation.0.clone()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_operations_is_no_difference() {
        let wanted = json!({"blocked_operations": ["B", "A"], "lease_time": 60});
        let live = json!({"blocked_operations": ["A", "B"], "lease_time": 60, "version": 7});
        assert!(differing(&wanted, &live).is_empty());
        let other = json!({"blocked_operations": ["A"], "lease_time": 60});
        assert_eq!(differing(&wanted, &other), ["blocked_operations"]);
    }
}
