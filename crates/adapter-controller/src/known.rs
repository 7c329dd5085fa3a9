//! What is known of the adapters of a server: what the last look found, else what the status says
//! of a time before this process. Pure.

use api_types::DittoServer;
use api_types::annotations;
use api_types::conditions::{ConditionType, find};
use api_types::v1alpha1::{AdapterKind, AdapterStatus, WhenStopped};

use crate::poll::{Memory, Serving};

/// What is known of one adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether the server shall serve it.
    pub enabled: bool,
    /// Whether it listens.
    pub healthy: bool,
    /// TCP port of its listener.
    pub port: Option<u16>,
}

/// What is known of the adapter `kind`; `None` when nothing ever was.
pub fn known(server: &DittoServer, memory: &Memory, kind: AdapterKind) -> Option<Known> {
    let before = last_status(server, kind);
    let port_before = before
        .and_then(|adapter| adapter.listen_port)
        .and_then(|port| u16::try_from(port).ok());
    if memory.found.is_none() {
        return before.map(|adapter| Known {
            enabled: adapter.enabled,
            healthy: adapter.healthy,
            port: port_before,
        });
    }
    match memory.seen(kind) {
        Some(seen) => Some(Known {
            enabled: seen.enabled,
            healthy: seen.serving == Serving::Healthy,
            port: seen.port.or(port_before),
        }),
        None => before.map(|_| Known {
            enabled: false,
            healthy: false,
            port: port_before,
        }),
    }
}

/// The adapter as the status has it.
pub fn last_status(server: &DittoServer, kind: AdapterKind) -> Option<&AdapterStatus> {
    let adapters = server.status.as_ref()?.adapters.as_ref()?;
    adapters
        .iter()
        .find(|adapter| adapter.kind == kind.as_str())
}

/// Since when the server serves, as its condition says; `None` while it does not.
pub fn available_since(server: &DittoServer) -> Option<String> {
    let status = server.status.as_ref()?;
    let available = find(&status.conditions, ConditionType::Available)?;
    (available.status == "True").then(|| available.last_transition_time.0.to_string())
}

/// Whether a person stopped all writes for `server`.
pub fn is_paused(server: &DittoServer) -> bool {
    let annotations = server.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(annotations::PAUSED))
        .is_some_and(|value| value == "true")
}

/// Whether `server` was made by the Go operator and taken over.
pub fn is_taken_over(server: &DittoServer) -> bool {
    let annotations = server.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(annotations::TAKEN_OVER))
}

/// Whether every adapter Service that the status knows of is one that we applied. Before that
/// a Service that the Go operator made carries none of our labels.
pub fn has_own_services(server: &DittoServer) -> bool {
    let adapters = server.status.as_ref();
    let Some(adapters) = adapters.and_then(|status| status.adapters.as_ref()) else {
        return false;
    };
    adapters.iter().all(|adapter| {
        let mut overrides = server.spec.adapter_services.overrides.iter();
        let withdrawn = overrides
            .any(|other| other.adapter.as_str() == adapter.kind && other.disabled == Some(true));
        let wanted = adapter.enabled && !withdrawn;
        let inherited = adapter.addresses.is_some();
        adapter.service.is_some() || !(wanted || inherited)
    })
}

/// Whether the spec gives up the addresses because the server is stopped.
pub fn is_released(server: &DittoServer) -> bool {
    server.spec.replicas == 0
        && server.spec.adapter_services.when_stopped == Some(WhenStopped::Release)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_services_are_ours_once_each_was_applied() {
        let of = |spec: serde_json::Value, adapters: serde_json::Value| {
            let mut server = crate::testing::server(spec);
            let status = json!({"conditions": [], "adapters": adapters});
            server.status = serde_json::from_value(status).unwrap();
            has_own_services(&server)
        };
        let service = json!({"name": "s", "uid": "u", "type": "ClusterIP", "port": 2049});
        let row =
            |kind: &str, enabled: bool| json!({"type": kind, "enabled": enabled, "healthy": false});
        let mut applied = row("nfs", true);
        applied["service"] = service;
        assert!(!of(json!({}), serde_json::Value::Null));
        assert!(of(json!({}), json!([applied, row("smb", false)])));
        assert!(
            !of(json!({}), json!([applied, row("smb", true)])),
            "refused"
        );
        let mut inherited = row("smb", false);
        inherited["addresses"] = json!([{"kind": "ClusterIP", "value": "10.0.0.7"}]);
        assert!(!of(json!({}), json!([applied, inherited])));
        let off = json!({"adapterServices": {"overrides": [{"adapter": "smb", "disabled": true}]}});
        assert!(of(off, json!([applied, row("smb", true)])));
    }
}
