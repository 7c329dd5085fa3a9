//! AddressesReady: every load balancer has an address.

use std::time::Duration;

use api_types::DittoServer;
use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use api_types::v1alpha1::{ADDRESS_DEADLINE_SECONDS, AdapterKind, DittoServerStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Visit;
use crate::observe::Observed;

/// How often the provider's last words are looked up while an address is overdue.
const QUOTE_AGAIN: Duration = Duration::from_secs(300);

/// The addresses that a load balancer gave a Service.
pub(super) fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    balancer
        .and_then(|balancer| balancer.ingress.as_deref())
        .unwrap_or_default()
}

fn is_balanced(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
}

fn has_address(service: &Service) -> bool {
    ingress(service)
        .iter()
        .any(|ingress| ingress.ip.is_some() || ingress.hostname.is_some())
}

/// Adapters whose load balancers have had no address for longer than they may take.
pub fn overdue(observed: &Observed, now: Timestamp) -> Vec<AdapterKind> {
    let previous = observed.server.status.as_ref();
    let previous = previous.map_or(&[][..], |status| status.conditions.as_slice());
    let late =
        pending_since(previous).is_some_and(|since| now >= deadline(&observed.server, since));
    if !late {
        return Vec::new();
    }
    let live = observed.live.iter();
    live.filter(|(_, live)| {
        let service = live.service.as_deref();
        service.is_some_and(|service| is_balanced(service) && !has_address(service))
    })
    .map(|(kind, _)| *kind)
    .collect()
}

/// Since when an address is missing, as the condition says.
fn pending_since(previous: &[Condition]) -> Option<Timestamp> {
    let condition = find(previous, ConditionType::AddressesReady)?;
    (condition.status == "False").then_some(condition.last_transition_time.0)
}

fn deadline(server: &DittoServer, since: Timestamp) -> Timestamp {
    let seconds = server.spec.adapter_services.address_deadline_seconds;
    let seconds = seconds.unwrap_or(ADDRESS_DEADLINE_SECONDS);
    since
        .checked_add(Duration::from_secs(u64::from(seconds)))
        .unwrap_or(Timestamp::MAX)
}

pub(super) fn addresses_ready(visit: Visit<'_>, previous: &[Condition], now: Timestamp) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::AddressesReady, status, reason, message)
    };
    let server = &visit.observed.server;
    let services = visit.applied.live.iter();
    let balanced: Vec<(AdapterKind, &Service)> = services
        .filter_map(|(kind, live)| Some((*kind, live.service.as_deref()?)))
        .filter(|(_, service)| is_balanced(service))
        .collect();
    if balanced.is_empty() {
        return verdict(
            Status::True,
            Reason::NoLoadBalancer,
            "No load balancer is asked for.".to_owned(),
        );
    }
    let waiting: Vec<(AdapterKind, &Service)> = balanced
        .into_iter()
        .filter(|(_, service)| !has_address(service))
        .collect();
    if waiting.is_empty() {
        return verdict(
            Status::True,
            Reason::AddressesAssigned,
            "Every load balancer has an address.".to_owned(),
        );
    }
    let names: Vec<&str> = waiting
        .iter()
        .filter_map(|(_, service)| service.metadata.name.as_deref())
        .collect();
    let names = names.join(", ");
    let late = pending_since(previous).is_some_and(|since| now >= deadline(server, since));
    if !late {
        return verdict(
            Status::False,
            Reason::AddressPending,
            format!("Without an address so far: {names}."),
        );
    }
    let said = waiting
        .iter()
        .find_map(|(kind, _)| visit.observed.complaints.get(kind))
        .map_or_else(
            || "nobody says why, so perhaps the cluster has no load-balancer controller".to_owned(),
            |said| format!("the cluster says: {said}"),
        );
    verdict(
        Status::False,
        Reason::ExternalIPPending,
        format!(
            "Without an address for longer than adapterServices.addressDeadlineSeconds: {names}; {said}. On bare metal install MetalLB, or check that its pool has a free address, or use type NodePort; in a cloud check quota, subnet and annotations."
        ),
    )
}

/// When to look again although nothing that is watched changes.
pub fn wake(
    server: &DittoServer,
    status: Option<&DittoServerStatus>,
    now: Timestamp,
) -> Option<Duration> {
    let conditions = match status {
        Some(status) => &status.conditions,
        None => &server.status.as_ref()?.conditions,
    };
    let since = pending_since(conditions)?;
    let left = deadline(server, since).duration_since(now);
    Some(Duration::try_from(left).unwrap_or_default())
        .filter(|left| !left.is_zero())
        .or(Some(QUOTE_AGAIN))
}
