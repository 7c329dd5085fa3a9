//! The Service and the NetworkPolicy of a protocol adapter. Both are the adapter-controller's.

use std::collections::BTreeMap;

use api_types::annotations::LEGACY_PORTS;
use api_types::labels::{self, ADAPTER_TYPE, Component};
use api_types::names;
use api_types::v1alpha1::{
    AdapterKind, AdapterServiceOverride, AdapterServices, Exposure, ServiceType, TrafficPolicy,
};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use crate::Instance;
use crate::network_policy::rule;
use crate::services::{exposed, meta, port, service};

/// What an adapter's Service leads to, and what must be kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterTarget {
    /// The protocol.
    pub kind: AdapterKind,
    /// TCP port on which the server listens.
    pub listen_port: u16,
    /// Type that the live Service has; it keeps it while the spec names none.
    pub live_type: Option<ServiceType>,
    /// Ports that the Service had when it was taken over from the Go operator.
    pub legacy_ports: Vec<LegacyPort>,
}

/// A TCP port that a Service of the Go operator had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegacyPort {
    /// Its name.
    pub name: String,
    /// Port that clients use.
    pub port: u16,
    /// Port of the pod that it led to.
    pub target_port: u16,
}

impl LegacyPort {
    /// Whether this port led to the adapter itself, by the name that the Go operator gave it; then
    /// it follows the adapter's port.
    fn leads_to(&self, kind: AdapterKind) -> bool {
        self.name == format!("adapter-{}", kind.as_str())
    }
}

/// The Service through which clients reach an adapter; `None` where the spec wants none.
pub fn adapter_service(instance: &Instance<'_>, target: &AdapterTarget) -> Option<Service> {
    let AdapterTarget {
        kind,
        listen_port,
        live_type,
        legacy_ports,
    } = target;
    let wish = Wish::of(&instance.spec.adapter_services, *kind);
    if wish.disabled {
        return None;
    }
    let mut metadata = meta(
        instance,
        names::adapter(instance.name, *kind),
        Component::Adapter,
    );
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(ADAPTER_TYPE.to_owned(), kind.as_str().to_owned());
    let own = ServicePort {
        port: i32::from(wish.port.unwrap_or(kind.standard_port())),
        node_port: wish.node_port.map(i32::from),
        ..port(kind.as_str(), *listen_port)
    };
    let keeps_legacy = keeps_legacy(instance);
    let legacy = legacy_ports
        .iter()
        .filter(|old| keeps_legacy && i32::from(old.port) != own.port);
    let ports: Vec<ServicePort> = legacy
        .map(|old| ServicePort {
            port: i32::from(old.port),
            ..port(
                &old.name,
                if old.leads_to(*kind) {
                    *listen_port
                } else {
                    old.target_port
                },
            )
        })
        .collect();
    let ports = [own].into_iter().chain(ports).collect();
    let mut annotations = wish.annotations;
    if keeps_legacy && !legacy_ports.is_empty() {
        let text = serde_json::to_string(legacy_ports).expect("names and numbers are JSON");
        annotations.insert(LEGACY_PORTS.to_owned(), text);
    }
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let kind = wish.kind.or(*live_type).unwrap_or_default();
    let mut service = exposed(service(instance, metadata, kind, ports), &wish.exposure);
    if let Some(spec) = &mut service.spec {
        spec.load_balancer_ip = wish.load_balancer_ip;
        spec.external_ips = (!wish.external_ips.is_empty()).then_some(wish.external_ips);
    }
    Some(service)
}

/// Whether the ports stay that the Go operator gave the Services.
fn keeps_legacy(instance: &Instance<'_>) -> bool {
    instance.spec.adapter_services.legacy_ports != Some(false)
}

/// The policy that lets clients reach an adapter, and what else the old ports of its Service lead to;
/// `None` where the spec wants none. `isolated` says whether the baseline policy exists: while it
/// does, clients need this one whatever the spec says.
pub fn adapter_policy(
    instance: &Instance<'_>,
    target: &AdapterTarget,
    isolated: bool,
) -> Option<NetworkPolicy> {
    let AdapterTarget {
        kind,
        listen_port,
        live_type: _,
        legacy_ports,
    } = target;
    let settings = &instance.spec.network_policy;
    let wish = Wish::of(&instance.spec.adapter_services, *kind);
    if wish.disabled || !(settings.enabled || isolated) {
        return None;
    }
    // Only then does the pod see the client's address; else it sees that of a node.
    let kept = wish.exposure.external_traffic_policy == Some(TrafficPolicy::Local);
    let ranges = &wish.exposure.load_balancer_source_ranges;
    let mirrored: Vec<NetworkPolicyPeer> = ranges
        .iter()
        .filter(|_| kept)
        .map(|range| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: range.0.clone(),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        })
        .collect();
    let mirrored = (!mirrored.is_empty()).then_some(mirrored);
    let peers = settings.adapters_from.as_ref().or(mirrored.as_ref());
    let legacy = legacy_ports
        .iter()
        .filter(|old| keeps_legacy(instance) && !old.leads_to(*kind))
        .map(|old| old.target_port);
    let mut ports: Vec<u16> = legacy.filter(|port| port != listen_port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.insert(0, *listen_port);
    let rules = ports.into_iter().map(|port| rule(port, peers)).collect();
    let mut labels = labels::standard(instance.name, Component::Network);
    labels.insert(ADAPTER_TYPE.to_owned(), kind.as_str().to_owned());
    Some(NetworkPolicy {
        metadata: instance.owned(names::adapter(instance.name, *kind), labels),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(instance.name)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules),
            egress: None,
        }),
    })
}

/// What the spec wants for one adapter: the common settings with the override over them.
#[derive(Default)]
struct Wish {
    disabled: bool,
    kind: Option<ServiceType>,
    port: Option<u16>,
    node_port: Option<u16>,
    annotations: BTreeMap<String, String>,
    load_balancer_ip: Option<String>,
    external_ips: Vec<String>,
    exposure: Exposure,
}

impl Wish {
    fn of(common: &AdapterServices, kind: AdapterKind) -> Self {
        let AdapterServices {
            kind: common_kind,
            annotations,
            // What becomes of the Service over time is decided elsewhere.
            legacy_ports: _,
            when_stopped: _,
            address_deadline_seconds: _,
            exposure,
            overrides,
        } = common;
        let common = Wish {
            kind: *common_kind,
            annotations: annotations.clone(),
            exposure: exposure.clone(),
            ..Wish::default()
        };
        match overrides.iter().find(|other| other.adapter == kind) {
            Some(other) => common.with(other.clone()),
            None => common,
        }
    }

    fn with(mut self, other: AdapterServiceOverride) -> Self {
        let AdapterServiceOverride {
            adapter: _,
            disabled,
            kind,
            port,
            node_port,
            annotations,
            load_balancer_ip,
            external_ips,
            exposure,
        } = other;
        self.annotations.extend(annotations);
        Wish {
            disabled: disabled == Some(true),
            kind: kind.or(self.kind),
            port,
            node_port,
            annotations: self.annotations,
            load_balancer_ip,
            external_ips,
            exposure: over(self.exposure, exposure, kind.or(self.kind)),
        }
    }
}

/// `common` with what `own` sets. What only some types of Services have is left out where the type
/// is another one: an override may make the Service of one adapter a plain one.
fn over(common: Exposure, own: Exposure, kind: Option<ServiceType>) -> Exposure {
    let Exposure {
        load_balancer_source_ranges,
        load_balancer_class,
        external_traffic_policy,
        internal_traffic_policy,
        ip_families,
        ip_family_policy,
    } = own;
    let balanced = kind == Some(ServiceType::LoadBalancer);
    let outside = balanced || kind == Some(ServiceType::NodePort);
    let list = |own: Vec<_>, common| if own.is_empty() { common } else { own };
    let ranges = list(
        load_balancer_source_ranges,
        common.load_balancer_source_ranges,
    );
    Exposure {
        load_balancer_source_ranges: if balanced { ranges } else { Vec::new() },
        load_balancer_class: load_balancer_class
            .or(common.load_balancer_class)
            .filter(|_| balanced),
        external_traffic_policy: external_traffic_policy
            .or(common.external_traffic_policy)
            .filter(|_| outside),
        internal_traffic_policy: internal_traffic_policy.or(common.internal_traffic_policy),
        ip_families: if ip_families.is_empty() {
            common.ip_families
        } else {
            ip_families
        },
        ip_family_policy: ip_family_policy.or(common.ip_family_policy),
    }
}

/// The number of a port of a Service or its target, where it is one.
pub fn port_number(port: &IntOrString) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::instance::tests::server;

    fn target(kind: AdapterKind, listen_port: u16) -> AdapterTarget {
        AdapterTarget {
            kind,
            listen_port,
            live_type: None,
            legacy_ports: Vec::new(),
        }
    }

    fn made(spec: Value, target: &AdapterTarget) -> Value {
        let server = server(spec);
        let service = adapter_service(&Instance::of(&server).unwrap(), target);
        serde_json::to_value(service).unwrap()
    }

    #[test]
    fn clients_use_the_standard_port_and_the_pod_its_own() {
        let nfs = made(json!({}), &target(AdapterKind::Nfs, 12049));
        assert_eq!(nfs["metadata"]["name"], "files-adapter-nfs");
        assert_eq!(nfs["spec"]["type"], "ClusterIP");
        assert_eq!(
            nfs["spec"]["ports"],
            json!([{"name": "nfs", "port": 2049, "targetPort": 12049, "protocol": "TCP"}])
        );
        let smb = made(json!({}), &target(AdapterKind::Smb, 1445));
        assert_eq!(smb["spec"]["ports"][0]["port"], 445);
    }

    #[test]
    fn an_override_replaces_what_it_sets_and_keeps_the_rest() {
        let spec = json!({"adapterServices": {
            "type": "LoadBalancer", "annotations": {"a": "common", "b": "common"},
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "internalTrafficPolicy": "Cluster",
            "overrides": [
                {"adapter": "smb", "type": "NodePort", "port": 4450, "nodePort": 30445, "annotations": {"b": "own"}},
                {"adapter": "nfs", "loadBalancerIP": "192.0.2.7", "externalIPs": ["192.0.2.8"]},
            ],
        }});
        let smb = made(spec.clone(), &target(AdapterKind::Smb, 1445));
        assert_eq!(smb["spec"]["type"], "NodePort");
        assert_eq!(smb["spec"]["ports"][0]["port"], 4450);
        assert_eq!(smb["spec"]["ports"][0]["nodePort"], 30445);
        assert_eq!(
            smb["metadata"]["annotations"],
            json!({"a": "common", "b": "own"})
        );
        assert_eq!(
            smb["spec"].get("loadBalancerSourceRanges"),
            None,
            "a NodePort Service has no load balancer"
        );
        assert_eq!(smb["spec"]["internalTrafficPolicy"], "Cluster");
        let nfs = made(spec, &target(AdapterKind::Nfs, 12049));
        assert_eq!(nfs["spec"]["type"], "LoadBalancer");
        assert_eq!(nfs["spec"]["loadBalancerIP"], "192.0.2.7");
        assert_eq!(nfs["spec"]["externalIPs"], json!(["192.0.2.8"]));
        assert_eq!(
            nfs["spec"]["loadBalancerSourceRanges"],
            json!(["10.0.0.0/8"])
        );
    }

    #[test]
    fn a_service_keeps_its_type_while_the_spec_names_none() {
        let live = AdapterTarget {
            live_type: Some(ServiceType::LoadBalancer),
            ..target(AdapterKind::Nfs, 12049)
        };
        assert_eq!(made(json!({}), &live)["spec"]["type"], "LoadBalancer");
        let named = json!({"adapterServices": {"type": "ClusterIP"}});
        assert_eq!(made(named, &live)["spec"]["type"], "ClusterIP");
    }

    #[test]
    fn old_ports_stay_beside_the_standard_one_until_they_are_given_up() {
        let taken = AdapterTarget {
            legacy_ports: vec![
                LegacyPort {
                    name: "adapter-nfs".to_owned(),
                    port: 12049,
                    target_port: 12049,
                },
                LegacyPort {
                    name: "portmap".to_owned(),
                    port: 111,
                    target_port: 10111,
                },
            ],
            ..target(AdapterKind::Nfs, 22049)
        };
        let ports = |spec: Value| {
            let service = made(spec, &taken);
            let ports = service["spec"]["ports"].as_array().unwrap().iter();
            ports
                .map(|port| (port["port"].clone(), port["targetPort"].clone()))
                .collect::<Vec<_>>()
        };
        let both = [
            (json!(2049), json!(22049)),
            (json!(12049), json!(22049)),
            (json!(111), json!(10111)),
        ];
        assert_eq!(
            ports(json!({})),
            both,
            "the adapter's old port follows its move"
        );
        let given_up = json!({"adapterServices": {"legacyPorts": false}});
        assert_eq!(ports(given_up), both[..1]);
        let same = json!({"adapterServices": {"overrides": [{"adapter": "nfs", "port": 12049}]}});
        assert_eq!(
            ports(same),
            [(json!(12049), json!(22049)), (json!(111), json!(10111))],
            "no port twice"
        );
    }

    #[test]
    fn the_policy_admits_to_what_the_old_ports_lead_to_while_they_stay() {
        let old = |name: &str, port, target_port| LegacyPort {
            name: name.to_owned(),
            port,
            target_port,
        };
        let taken = AdapterTarget {
            legacy_ports: vec![old("adapter-nfs", 12049, 12049), old("portmap", 111, 10111)],
            ..target(AdapterKind::Nfs, 22049)
        };
        let ports = |spec: Value| -> Vec<Value> {
            let server = server(spec);
            let policy = adapter_policy(&Instance::of(&server).unwrap(), &taken, false);
            let rules = policy.unwrap().spec.unwrap().ingress.unwrap();
            let ports = rules.into_iter().flat_map(|rule| rule.ports.unwrap());
            ports
                .map(|port| serde_json::to_value(port.port).unwrap())
                .collect()
        };
        assert_eq!(ports(json!({})), [json!(22049), json!(10111)]);
        let given_up = json!({"adapterServices": {"legacyPorts": false}});
        assert_eq!(ports(given_up), [json!(22049)]);
    }

    #[test]
    fn the_policy_follows_the_port_and_the_peers() {
        let made = |spec: Value| {
            let server = server(spec);
            let instance = Instance::of(&server).unwrap();
            let policy = adapter_policy(&instance, &target(AdapterKind::Nfs, 12049), false);
            policy.map(|policy| serde_json::to_value(policy.spec.unwrap().ingress).unwrap())
        };
        let port = json!([{"port": 12049, "protocol": "TCP"}]);
        assert_eq!(made(json!({})), Some(json!([{"ports": port}])));
        let ranges = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]});
        assert_eq!(
            made(json!({"adapterServices": ranges})),
            Some(json!([{"ports": port}])),
            "the pod sees the addresses of nodes, so ranges of clients would shut everybody out"
        );
        let mut local = ranges.clone();
        local["externalTrafficPolicy"] = json!("Local");
        assert_eq!(
            made(json!({"adapterServices": local})),
            Some(json!([{"ports": port, "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])),
            "source ranges are mirrored"
        );
        let peers = json!([{"podSelector": {}}]);
        assert_eq!(
            made(json!({"adapterServices": ranges, "networkPolicy": {"adaptersFrom": peers}})),
            Some(json!([{"ports": port, "from": peers}])),
            "named peers win"
        );
        assert_eq!(made(json!({"networkPolicy": {"enabled": false}})), None);
        let off = json!({"overrides": [{"adapter": "nfs", "disabled": true}]});
        assert_eq!(made(json!({"adapterServices": off})), None);
    }
}
