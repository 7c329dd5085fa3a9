//! AddressesReady: every load balancer has an address.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::DittoServer;
use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use api_types::names;
use api_types::v1alpha1::{ADDRESS_DEADLINE_SECONDS, AdapterKind, DittoServerStatus, ServiceType};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Visit;
use crate::MANAGER;
use crate::observe::{Live, Observed};
use crate::plan::{Stand, stand};

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

/// A load balancer without an address.
struct Waiting<'a> {
    kind: AdapterKind,
    /// `None` when the Service itself is missing.
    service: Option<&'a Service>,
    /// Since when it waits; `None` while the status does not say that anything does.
    since: Option<Timestamp>,
}

/// The load balancers that have no address, as the spec asks for them and as they are; and whether
/// there are any with one.
fn waiting<'a>(
    observed: &'a Observed,
    live: &'a BTreeMap<AdapterKind, Live>,
    previous: &[Condition],
) -> (Vec<Waiting<'a>>, bool) {
    let pending = pending_since(previous);
    let mut waiting = Vec::new();
    let mut served = false;
    for kind in AdapterKind::ALL {
        let service = live.get(&kind).and_then(|live| live.service.as_deref());
        let is_live = service.is_some_and(is_balanced);
        if is_live && service.is_some_and(has_address) {
            served = true;
        } else if is_live || is_asked_for(observed, kind) {
            let since = pending.map(|since| match service.and_then(changed) {
                Some(changed) => since.max(changed),
                None => since,
            });
            waiting.push(Waiting {
                kind,
                service,
                since,
            });
        }
    }
    (waiting, served)
}

/// Whether the spec asks for a load balancer of an adapter that clients shall reach.
fn is_asked_for(observed: &Observed, kind: AdapterKind) -> bool {
    let services = &observed.server.spec.adapter_services;
    let own = services.overrides.iter().find(|own| own.adapter == kind);
    let asked = own.and_then(|own| own.kind).or(services.kind);
    asked == Some(ServiceType::LoadBalancer) && matches!(stand(observed, kind), Stand::Serve(_))
}

/// When we last changed a Service: before that its provider may have had nothing to do.
fn changed(service: &Service) -> Option<Timestamp> {
    let meta = &service.metadata;
    let fields = meta.managed_fields.iter().flatten();
    let ours = fields.filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    let times = ours.filter_map(|entry| entry.time.as_ref());
    let made = meta.creation_timestamp.as_ref();
    times.chain(made).map(|time| time.0).max()
}

/// Adapters whose load balancers have had no address for longer than they may take.
pub fn overdue(observed: &Observed, now: Timestamp) -> Vec<AdapterKind> {
    let previous = observed.server.status.as_ref();
    let previous = previous.map_or(&[][..], |status| status.conditions.as_slice());
    let (waiting, _) = waiting(observed, &observed.live, previous);
    waiting
        .into_iter()
        .filter(|one| one.service.is_some() && one.is_late(&observed.server, now))
        .map(|one| one.kind)
        .collect()
}

impl Waiting<'_> {
    fn is_late(&self, server: &DittoServer, now: Timestamp) -> bool {
        self.since
            .is_some_and(|since| now >= deadline(server, since))
    }
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
    let (waiting, served) = waiting(visit.observed, &visit.applied.live, previous);
    if waiting.is_empty() {
        return if served {
            verdict(
                Status::True,
                Reason::AddressesAssigned,
                "Every load balancer has an address.".to_owned(),
            )
        } else {
            verdict(
                Status::True,
                Reason::NoLoadBalancer,
                "No load balancer is asked for.".to_owned(),
            )
        };
    }
    let named = |waiting: &[&Waiting<'_>]| {
        let name = server.metadata.name.as_deref().unwrap_or_default();
        let names = waiting.iter().map(|one| names::adapter(name, one.kind));
        names.collect::<Vec<_>>().join(", ")
    };
    let late: Vec<&Waiting<'_>> = waiting
        .iter()
        .filter(|one| one.is_late(server, now))
        .collect();
    if late.is_empty() {
        let names = named(&waiting.iter().collect::<Vec<_>>());
        return verdict(
            Status::False,
            Reason::AddressPending,
            format!("Without an address so far: {names}."),
        );
    }
    let names = named(&late);
    let before = find(previous, ConditionType::AddressesReady);
    if let Some(before) = before
        && visit.observed.unasked
        && before.reason == Reason::ExternalIPPending.as_str()
    {
        let said = before.message.clone();
        return verdict(Status::False, Reason::ExternalIPPending, said);
    }
    let said = late
        .iter()
        .find_map(|one| visit.observed.complaints.get(&one.kind))
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

/// When to look again although nothing that is watched changes; `live` is what the writes left, and
/// `status` what was reported of it.
pub fn wake(
    observed: &Observed,
    live: &BTreeMap<AdapterKind, Live>,
    status: Option<&DittoServerStatus>,
    now: Timestamp,
) -> Option<Duration> {
    let server = &observed.server;
    let conditions = match status {
        Some(status) => &status.conditions,
        None => &server.status.as_ref()?.conditions,
    };
    let (waiting, _) = waiting(observed, live, conditions);
    let since = waiting.into_iter().filter_map(|one| one.since);
    since
        .map(|since| {
            let left = deadline(server, since).duration_since(now);
            let left = Duration::try_from(left).unwrap_or_default();
            if left.is_zero() { QUOTE_AGAIN } else { left }
        })
        .min()
}
