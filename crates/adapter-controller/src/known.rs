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

/// Whether the spec gives up the addresses because the server is stopped.
pub fn is_released(server: &DittoServer) -> bool {
    server.spec.replicas == 0
        && server.spec.adapter_services.when_stopped == Some(WhenStopped::Release)
}
