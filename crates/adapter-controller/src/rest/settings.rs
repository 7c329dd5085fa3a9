//! Declared settings of a protocol as the server takes them, and how they differ from its own. Pure.

use adapter_client::{
    AdapterSettings, Milliseconds, NfsSettings as LiveNfs, NfsSettingsPatch, Seconds,
    SmbSettings as LiveSmb, SmbSettingsPatch,
};
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
        portmapper_enabled,
        portmapper_port,
        portmapper_register_with_system,
        udp_enabled,
        mdns_enabled,
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
        portmapper_enabled: *portmapper_enabled,
        portmapper_port: *portmapper_port,
        portmapper_register_with_system: *portmapper_register_with_system,
        udp_enabled: *udp_enabled,
        mdns_enabled: *mdns_enabled,
        // The server takes them, and keeps its own values (server contract 3.8), so no spec has them.
        v4_min_minor_version: None,
        v4_max_minor_version: None,
        v4_max_connections_per_session: None,
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
        mdns_enabled,
        wsdiscovery_enabled,
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
        mdns_enabled: *mdns_enabled,
        wsdiscovery_enabled: *wsdiscovery_enabled,
        // Changes nothing: the server encrypts for every client that can (server contract 3.8). A
        // share has a switch of its own.
        enable_encryption: None,
    }
}

/// Declared settings of a protocol, and which of them a running adapter does not take.
pub(super) trait Declared: AdapterSettings {
    /// Those of `patch` that the adapter takes at its next start only. Source: server contract 3.8.
    fn taken_at_start(patch: &Self::Patch) -> Vec<&'static str>;
}

impl Declared for LiveNfs {
    fn taken_at_start(patch: &NfsSettingsPatch) -> Vec<&'static str> {
        let NfsSettingsPatch {
            min_version: _,
            max_version: _,
            lease_time: _,
            grace_period: _,
            delegation_recall_timeout: _,
            callback_timeout: _,
            lease_break_timeout: _,
            max_connections: _,
            max_clients: _,
            max_compound_ops: _,
            max_read_size: _,
            max_write_size: _,
            preferred_transfer_size: _,
            delegations_enabled: _,
            max_delegations: _,
            dir_deleg_batch_window_ms: _,
            v4_min_minor_version: _,
            v4_max_minor_version: _,
            v4_max_connections_per_session: _,
            blocked_operations: _,
            portmapper_enabled,
            portmapper_port,
            portmapper_register_with_system,
            udp_enabled,
            mdns_enabled: _,
        } = patch;
        let taken = [
            ("portmapper_enabled", portmapper_enabled.is_some()),
            ("portmapper_port", portmapper_port.is_some()),
            (
                "portmapper_register_with_system",
                portmapper_register_with_system.is_some(),
            ),
            ("udp_enabled", udp_enabled.is_some()),
        ];
        let declared = taken.into_iter().filter(|(_, declared)| *declared);
        declared.map(|(name, _)| name).collect()
    }
}

impl Declared for LiveSmb {
    fn taken_at_start(patch: &SmbSettingsPatch) -> Vec<&'static str> {
        let SmbSettingsPatch {
            min_dialect: _,
            max_dialect: _,
            session_timeout: _,
            oplock_break_timeout: _,
            max_connections: _,
            max_sessions: _,
            enable_encryption: _,
            signing: _,
            directory_leasing_enabled: _,
            blocked_operations: _,
            mdns_enabled: _,
            wsdiscovery_enabled: _,
        } = patch;
        Vec::new()
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

    #[test]
    fn what_a_running_adapter_does_not_take_is_known() {
        let settings = json!({"udpEnabled": true, "portmapperPort": 1111, "mdnsEnabled": true, "leaseTime": 60});
        let patch = nfs_patch(&serde_json::from_value(settings).unwrap());
        assert_eq!(
            LiveNfs::taken_at_start(&patch),
            ["portmapper_port", "udp_enabled"]
        );
        let settings = json!({"mdnsEnabled": true, "wsdiscoveryEnabled": false});
        let patch = smb_patch(&serde_json::from_value(settings).unwrap());
        assert_eq!(
            super::json(&patch),
            json!({"mdns_enabled": true, "wsdiscovery_enabled": false})
        );
        assert!(LiveSmb::taken_at_start(&patch).is_empty());
    }
}
