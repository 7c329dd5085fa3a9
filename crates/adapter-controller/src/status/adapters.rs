//! The adapters as last known, and AdaptersReady.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use api_types::v1alpha1::{AdapterAddress, AdapterKind, AdapterService, AdapterStatus};
use k8s_openapi::api::core::v1::Service;

use super::{Visit, obstacle};
use crate::known::{known, last_status};
use crate::plan::Plan;
use crate::poll::{Found, Memory, Serving};

/// What the status says of one adapter; `None` when there is nothing to say.
pub(super) fn adapter(visit: Visit<'_>, kind: AdapterKind) -> Option<AdapterStatus> {
    let Visit {
        observed, applied, ..
    } = visit;
    let known = known(&observed.server, &observed.memory, kind);
    let service = applied
        .live
        .get(&kind)
        .and_then(|live| live.service.as_deref());
    let is_told = observed.memory.found.is_none() || observed.memory.seen(kind).is_some();
    // Before anything is known of it, also of one whose Service is inherited, nothing is said.
    let known = known?;
    if service.is_none() && !is_told {
        return None;
    }
    Some(AdapterStatus {
        kind: kind.as_str().to_owned(),
        enabled: known.enabled,
        healthy: known.healthy,
        listen_port: known.port.map(i32::from),
        tls_secret: last_status(&observed.server, kind)
            .and_then(|adapter| adapter.tls_secret.clone()),
        service: service.and_then(|service| service_status(service, kind)),
        addresses: service
            .map(addresses)
            .filter(|addresses| !addresses.is_empty()),
    })
}

fn service_status(service: &Service, kind: AdapterKind) -> Option<AdapterService> {
    let spec = service.spec.as_ref()?;
    let port = spec
        .ports
        .as_ref()?
        .iter()
        .find(|port| port.name.as_deref() == Some(kind.as_str()))?;
    Some(AdapterService {
        name: service.metadata.name.clone()?,
        uid: service.metadata.uid.clone()?,
        kind: spec.type_.clone().unwrap_or_else(|| "ClusterIP".to_owned()),
        port: port.port,
        node_port: port.node_port.filter(|port| *port != 0),
    })
}

/// Most addresses that the status lists.
const MOST_ADDRESSES: usize = 64;

fn addresses(service: &Service) -> Vec<AdapterAddress> {
    let address = |kind: &str, value: &str| AdapterAddress {
        kind: kind.to_owned(),
        value: value.to_owned(),
    };
    let mut found = Vec::new();
    if let Some(spec) = &service.spec {
        let cluster = spec.cluster_ips.iter().flatten();
        let cluster = cluster.filter(|ip| !ip.is_empty() && *ip != "None");
        found.extend(cluster.map(|ip| address("ClusterIP", ip)));
        let external = spec.external_ips.iter().flatten();
        found.extend(external.map(|ip| address("ExternalIP", ip)));
    }
    for ingress in super::addresses::ingress(service) {
        let ip = ingress.ip.iter().map(|ip| address("LoadBalancerIP", ip));
        let host = ingress
            .hostname
            .iter()
            .map(|host| address("Hostname", host));
        found.extend(ip.chain(host));
    }
    found.truncate(MOST_ADDRESSES);
    found
}

pub(super) fn adapters_ready(visit: Visit<'_>) -> Verdict {
    let (status, reason, message) = judge(visit);
    Verdict::new(ConditionType::AdaptersReady, status, reason, message)
}

fn judge(visit: Visit<'_>) -> (Status, Reason, String) {
    if let Some((reason, message)) = obstacle(visit) {
        return (Status::False, reason, message);
    }
    let Plan {
        paused, withheld, ..
    } = visit.plan;
    if *paused && !withheld.is_empty() {
        let missing = format!("Missing: {}.", withheld.join(", "));
        return (Status::False, Reason::Paused, stopped(&missing));
    }
    let Memory { found, trouble, .. } = &visit.observed.memory;
    if trouble.is_some() {
        return (
            Status::Unknown,
            Reason::ViewOutdated,
            "The last look at the server failed, so status.adapters may be outdated: see Authenticated. The Services stay.".to_owned(),
        );
    }
    let Some(Found {
        adapters,
        not_applied,
        pushed: _,
    }) = found
    else {
        return (
            Status::Unknown,
            Reason::NotPolledYet,
            "The server is about to be asked for the first time.".to_owned(),
        );
    };
    if !not_applied.is_empty() {
        let said = not_applied.join(" ");
        return if *paused {
            (Status::False, Reason::Paused, stopped(&said))
        } else {
            (Status::False, Reason::SettingsNotApplied, said)
        };
    }
    let mut starting = Vec::new();
    let mut failed = Vec::new();
    for seen in adapters.iter().filter(|seen| seen.enabled) {
        let name = seen.kind.as_str();
        let spec = &visit.observed.server.spec;
        if let Some(port) = seen.port
            && let Some(field) = spec.listener_at(port)
        {
            failed.push(format!(
                "The adapter {name} has port {port}, which {field} gives to another listener: the server might not start again. Give one of them another port before it is restarted."
            ));
            continue;
        }
        match (&seen.serving, seen.port) {
            (_, None) => failed.push(format!(
                "The server holds a number for {name} that is no port: give it a port from 1024 to 65535 before the server restarts, because it cannot start with this one."
            )),
            (Serving::Failed(said), Some(port)) => failed.push(format!(
                "The adapter {name} does not listen on port {port}{}. Mostly the port is taken or below 1024: give it another one, or switch the adapter off and on.",
                quoted(said)
            )),
            (Serving::Starting, Some(_)) => starting.push(name),
            (Serving::Healthy | Serving::Off, Some(_)) => {}
        }
    }
    if !failed.is_empty() {
        return (Status::False, Reason::AdapterUnhealthy, failed.join(" "));
    }
    if !starting.is_empty() {
        return (
            Status::False,
            Reason::AdapterStarting,
            format!("Being started: {}.", starting.join(", ")),
        );
    }
    if adapters.iter().any(|seen| seen.enabled) {
        (
            Status::True,
            Reason::AdaptersHealthy,
            "Every enabled adapter listens.".to_owned(),
        )
    } else {
        (
            Status::True,
            Reason::NoAdapterEnabled,
            "No adapter is enabled: the server serves no clients.".to_owned(),
        )
    }
}

/// That writes are stopped, and what is kept from being as it shall be.
fn stopped(what: &str) -> String {
    format!(
        "Writes are stopped by the annotation dittofs.io/paused: remove it to have this mended. {what}"
    )
}

fn quoted(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(" (the server says: {said})")
    }
}
