//! The second step, pure: what every Service and policy shall be.
//!
//! An address once given stays. A Service is changed in place; it goes only when the spec says so,
//! or when enough answers of the server in a row say that its adapter is disabled or not there.

use std::collections::BTreeMap;

use api_types::annotations::LEGACY_PORTS;
use api_types::v1alpha1::{AdapterKind, ServiceType};
use controller_runtime::apply::extract;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use resources::{AdapterTarget, Instance, LegacyPort};

use crate::MANAGER;
use crate::known::{is_paused, is_released, known};
use crate::observe::{Live, Observed};

/// What shall happen to one child.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<T> {
    /// It shall be like this.
    Apply(Box<T>),
    /// It stays as it is, or stays away.
    Leave,
    /// It shall go.
    Remove,
    /// It is needed, and its name is taken by somebody else's object, which is left untouched.
    Conflict,
}

/// What shall happen to the children of one adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Wishes {
    /// The Service.
    pub service: Wish<Service>,
    /// The NetworkPolicy.
    pub policy: Wish<NetworkPolicy>,
}

/// What shall happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For each adapter.
    pub adapters: BTreeMap<AdapterKind, Wishes>,
    /// Writes are stopped by annotation; everything above is then left.
    pub paused: bool,
    /// Kind and name of the children that would be made if writes were not stopped.
    pub withheld: Vec<String>,
}

/// How an adapter stands, apart from what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Clients shall reach it at this port of the pod.
    Serve(u16),
    /// Nothing is known that would end it: what exists stays, and leads to this port if it is known.
    Keep(Option<u16>),
    /// Nothing of it shall exist.
    Go,
}

/// How the adapter `kind` stands.
pub fn stand(observed: &Observed, kind: AdapterKind) -> Stand {
    let server = &observed.server;
    let overrides = &server.spec.adapter_services.overrides;
    let switched_off = overrides
        .iter()
        .any(|other| other.adapter == kind && other.disabled == Some(true));
    let polls = server.spec.adapter_discovery.remove_after_polls;
    if switched_off || is_released(server) || observed.memory.is_missing(kind, polls) {
        return Stand::Go;
    }
    match known(server, &observed.memory, kind) {
        Some(known) if known.enabled => known.port.map_or(Stand::Keep(None), Stand::Serve),
        Some(known) => Stand::Keep(known.port),
        None => Stand::Keep(None),
    }
}

/// Plans what shall happen.
///
/// # Errors
/// When a live object is not JSON, which does not happen.
pub fn plan(observed: &Observed, instance: &Instance<'_>) -> Result<Plan, serde_json::Error> {
    let paused = is_paused(&observed.server);
    let leaving = observed.server.metadata.deletion_timestamp.is_some();
    let mut adapters = BTreeMap::new();
    let mut withheld = Vec::new();
    for kind in AdapterKind::ALL {
        let live = observed.live.get(&kind).cloned().unwrap_or_default();
        let untouched = Wishes {
            service: Wish::Leave,
            policy: Wish::Leave,
        };
        let wishes = if leaving {
            untouched
        } else if paused {
            let wishes = wishes(observed, instance, kind, &live)?;
            withheld.extend(missing(&wishes.service, live.service.is_some()));
            withheld.extend(missing(&wishes.policy, live.policy.is_some()));
            untouched
        } else {
            wishes(observed, instance, kind, &live)?
        };
        adapters.insert(kind, wishes);
    }
    Ok(Plan {
        adapters,
        paused,
        withheld,
    })
}

/// Kind and name of an object that shall be and is not.
fn missing<K: Resource<DynamicType = ()>>(wish: &Wish<K>, is_live: bool) -> Option<String> {
    match wish {
        Wish::Apply(wanted) if !is_live => {
            let name = wanted.meta().name.as_deref()?;
            Some(format!("{} {name}", K::kind(&())))
        }
        _ => None,
    }
}

fn wishes(
    observed: &Observed,
    instance: &Instance<'_>,
    kind: AdapterKind,
    live: &Live,
) -> Result<Wishes, serde_json::Error> {
    let Live { service, policy } = live;
    let (service, policy) = (service.as_deref(), policy.as_deref());
    let ours = service.filter(|service| instance.owns(*service));
    let port = match stand(observed, kind) {
        Stand::Serve(port) => Some(port),
        Stand::Keep(known) => ours.and_then(|service| known.or(target_port(service, kind))),
        Stand::Go => None,
    };
    let Some(listen_port) = port else {
        // Without a known port an existing Service is left as it is.
        let goes = stand(observed, kind) == Stand::Go || service.is_none();
        return Ok(Wishes {
            service: if goes {
                unwanted(service, instance)
            } else {
                Wish::Leave
            },
            policy: if goes {
                unwanted(policy, instance)
            } else {
                Wish::Leave
            },
        });
    };
    let target = AdapterTarget {
        kind,
        listen_port,
        live_type: ours.and_then(live_type),
        legacy_ports: ours
            .map(|service| legacy_ports(service, kind))
            .unwrap_or_default(),
    };
    let wanted = match resources::adapter_service(instance, &target) {
        Some(wanted) => Some(keep_families(wanted, ours)?),
        None => None,
    };
    Ok(Wishes {
        service: wish(wanted, service, instance),
        policy: wish(
            resources::adapter_policy(instance, &target, observed.isolated),
            policy,
            instance,
        ),
    })
}

fn wish<K: Resource>(wanted: Option<K>, live: Option<&K>, instance: &Instance<'_>) -> Wish<K> {
    match (wanted, live) {
        (None, live) => unwanted(live, instance),
        (Some(_), Some(live)) if !instance.owns(live) => Wish::Conflict,
        // It is on its way out; another one is made once it is gone.
        (Some(_), Some(live)) if live.meta().deletion_timestamp.is_some() => Wish::Leave,
        (Some(wanted), _) => Wish::Apply(Box::new(wanted)),
    }
}

fn unwanted<K: Resource>(live: Option<&K>, instance: &Instance<'_>) -> Wish<K> {
    match live {
        Some(live) if instance.owns(live) && live.meta().deletion_timestamp.is_none() => {
            Wish::Remove
        }
        _ => Wish::Leave,
    }
}

/// The port of the pod to which a live Service leads.
fn target_port(service: &Service, kind: AdapterKind) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let of_predecessor = predecessor_port(kind);
    let names = [kind.as_str(), of_predecessor.as_str()];
    let port = names.iter().find_map(|name| {
        ports
            .iter()
            .find(|port| port.name.as_deref() == Some(*name))
    })?;
    resources::port_number(port.target_port.as_ref()?)
}

fn live_type(service: &Service) -> Option<ServiceType> {
    match service.spec.as_ref()?.type_.as_deref()? {
        "ClusterIP" => Some(ServiceType::ClusterIp),
        "NodePort" => Some(ServiceType::NodePort),
        "LoadBalancer" => Some(ServiceType::LoadBalancer),
        _ => None,
    }
}

/// The TCP ports that the Go operator gave a Service: clients have mounted through them. They are
/// written down on it by our first apply; before that its ports tell, by the name of the first one.
fn legacy_ports(service: &Service, kind: AdapterKind) -> Vec<LegacyPort> {
    let annotations = service.metadata.annotations.as_ref();
    let written = annotations.and_then(|annotations| annotations.get(LEGACY_PORTS));
    // One that somebody spoilt takes no port away: then, too, the live ports tell.
    if let Some(ports) = written.and_then(|text| serde_json::from_str(text).ok()) {
        return ports;
    }
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref());
    let ports = ports.unwrap_or_default();
    let first = predecessor_port(kind);
    let inherited = ports
        .iter()
        .any(|port| port.name.as_deref() == Some(&*first));
    if written.is_none() && !inherited {
        return Vec::new();
    }
    ports
        .iter()
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .filter(|port| port.name.as_deref() != Some(kind.as_str()))
        .filter_map(|port| {
            let number = u16::try_from(port.port).ok()?;
            let target = port.target_port.as_ref();
            Some(LegacyPort {
                name: port.name.clone()?,
                port: number,
                target_port: target.map_or(Some(number), resources::port_number)?,
            })
        })
        .collect()
}

/// Name that the Go operator gave the port that leads to the adapter.
fn predecessor_port(kind: AdapterKind) -> String {
    format!("adapter-{}", kind.as_str())
}

/// A Service keeps the number of IP families that it once had when nobody asks for one any more:
/// what we set is set back to the default, not only given up.
fn keep_families(
    mut wanted: Service,
    live: Option<&Service>,
) -> Result<Service, serde_json::Error> {
    if let (Some(live), Some(spec)) = (live, &mut wanted.spec)
        && spec.ip_family_policy.is_none()
    {
        let owned = extract(&serde_json::to_value(live)?, MANAGER, None);
        if owned.is_some_and(|owned| !owned["spec"]["ipFamilyPolicy"].is_null()) {
            spec.ip_family_policy = Some("SingleStack".to_owned());
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests;
