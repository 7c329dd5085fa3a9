//! `spec.service` and `spec.adapterServices`: how the Services are exposed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{AdapterKind, bounded};

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable in the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Reachable on a port of every node.
    NodePort,
    /// Reachable at an address that the cluster's load balancer gives.
    LoadBalancer,
}

impl ServiceType {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceType::ClusterIp => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which endpoints a node sends traffic to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// Any.
    Cluster,
    /// Those on the node itself; the address of the client is kept.
    Local,
}

impl TrafficPolicy {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            TrafficPolicy::Cluster => "Cluster",
            TrafficPolicy::Local => "Local",
        }
    }
}

/// Family of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl IpFamily {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            IpFamily::V4 => "IPv4",
            IpFamily::V6 => "IPv6",
        }
    }
}

/// How many families of IP addresses a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has two.
    PreferDualStack,
    /// Two; refused by a cluster that has one.
    RequireDualStack,
}

impl IpFamilyPolicy {
    /// The spelling of the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            IpFamilyPolicy::SingleStack => "SingleStack",
            IpFamilyPolicy::PreferDualStack => "PreferDualStack",
            IpFamilyPolicy::RequireDualStack => "RequireDualStack",
        }
    }
}

/// A range of IP addresses, such as 10.0.0.0/8 or fd00::/8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cidr(pub String);

impl JsonSchema for Cidr {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 4, "maxLength": 64,
            "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)/[0-9]{1,3}$",
        })
    }
}

/// How a Service is exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// Ranges of client addresses that the load balancer lets in, at most 64; all when absent. Needs type LoadBalancer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub load_balancer_source_ranges: Vec<Cidr>,
    /// Which load balancer serves it, where the cluster has several. Needs type LoadBalancer, and cannot be changed while that is the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 317),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
        )
    )]
    pub load_balancer_class: Option<String>,
    /// Where traffic from outside goes; Local keeps the client's address. Needs type NodePort or LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<TrafficPolicy>")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Where traffic from inside the cluster goes. Local reaches the server from its own node only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<TrafficPolicy>")]
    pub internal_traffic_policy: Option<TrafficPolicy>,
    /// Families of the Service's addresses, the first one first; the cluster's choice when absent. The first cannot be changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub ip_families: Vec<IpFamily>,
    /// How many families the Service has; the cluster's choice when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<IpFamilyPolicy>")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

const NEEDS_LOAD_BALANCER: &str = "!(has(self.loadBalancerSourceRanges) || has(self.loadBalancerClass)) || (has(self.type) && self.type == 'LoadBalancer')";
const NEEDS_LOAD_BALANCER_MESSAGE: &str =
    "loadBalancerSourceRanges and loadBalancerClass need type LoadBalancer: set it, or remove them";
const NEEDS_OUTSIDE: &str = "!has(self.externalTrafficPolicy) || (has(self.type) && self.type in ['NodePort', 'LoadBalancer'])";
const NEEDS_OUTSIDE_MESSAGE: &str =
    "externalTrafficPolicy needs type NodePort or LoadBalancer: set it, or remove the policy";
const TWO_FAMILIES: &str = "!has(self.ipFamilies) || self.ipFamilies.size() < 2 || (has(self.ipFamilyPolicy) && self.ipFamilyPolicy != 'SingleStack')";
const TWO_FAMILIES_MESSAGE: &str =
    "two ipFamilies need ipFamilyPolicy PreferDualStack or RequireDualStack";
const SAME_CLASS: &str = "!(has(self.type) && self.type == 'LoadBalancer' && has(oldSelf.type) && oldSelf.type == 'LoadBalancer') || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))";
const SAME_CLASS_MESSAGE: &str = "loadBalancerClass cannot be set, changed or removed while the type is LoadBalancer: set another type first, which gives up the address";
const SAME_FAMILY: &str = "!has(self.ipFamilies) || self.ipFamilies.size() == 0 || !has(oldSelf.ipFamilies) || oldSelf.ipFamilies.size() == 0 || self.ipFamilies[0] == oldSelf.ipFamilies[0]";
const SAME_FAMILY_MESSAGE: &str = "the first of ipFamilies cannot be changed: Kubernetes keeps the first family of a Service for its life";

/// The Service of the REST API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(NEEDS_LOAD_BALANCER).message(NEEDS_LOAD_BALANCER_MESSAGE))]
#[x_kube(validation = Rule::new(NEEDS_OUTSIDE).message(NEEDS_OUTSIDE_MESSAGE))]
#[x_kube(validation = Rule::new("!has(self.nodePort) || (has(self.type) && self.type in ['NodePort', 'LoadBalancer'])").message("nodePort needs type NodePort or LoadBalancer: set it, or remove nodePort"))]
#[x_kube(validation = Rule::new(TWO_FAMILIES).message(TWO_FAMILIES_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_CLASS).message(SAME_CLASS_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_FAMILY).message(SAME_FAMILY_MESSAGE))]
pub struct ApiService {
    /// Type of the Service. It is changed in place: the Service and its cluster address stay.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, at most 64. One that is removed here is removed there; annotations of others stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
    /// TCP port on every node, in the cluster's range (30000 to 32767 as a rule); chosen by the cluster and then kept when absent. Needs type NodePort or LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub node_port: Option<u16>,
    /// How the Service is exposed.
    #[serde(flatten)]
    pub exposure: Exposure,
}

const OVERRIDE_NEEDS_LOAD_BALANCER: &str = "!has(self.overrides) || self.overrides.all(o, !(has(o.loadBalancerSourceRanges) || has(o.loadBalancerClass) || has(o.loadBalancerIP)) || (has(o.type) ? o.type : has(self.type) ? self.type : '') == 'LoadBalancer')";
const OVERRIDE_NEEDS_LOAD_BALANCER_MESSAGE: &str = "loadBalancerSourceRanges, loadBalancerClass and loadBalancerIP of an override need type LoadBalancer, of the override or of adapterServices";
const OVERRIDE_NEEDS_OUTSIDE: &str = "!has(self.overrides) || self.overrides.all(o, !(has(o.nodePort) || has(o.externalTrafficPolicy)) || (has(o.type) ? o.type : has(self.type) ? self.type : '') in ['NodePort', 'LoadBalancer'])";
const OVERRIDE_NEEDS_OUTSIDE_MESSAGE: &str = "nodePort and externalTrafficPolicy of an override need type NodePort or LoadBalancer, of the override or of adapterServices";

/// The Services of the protocol adapters (NFS, SMB).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(NEEDS_LOAD_BALANCER).message(NEEDS_LOAD_BALANCER_MESSAGE))]
#[x_kube(validation = Rule::new(NEEDS_OUTSIDE).message(NEEDS_OUTSIDE_MESSAGE))]
#[x_kube(validation = Rule::new(TWO_FAMILIES).message(TWO_FAMILIES_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_CLASS).message(SAME_CLASS_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_FAMILY).message(SAME_FAMILY_MESSAGE))]
#[x_kube(validation = Rule::new(OVERRIDE_NEEDS_LOAD_BALANCER).message(OVERRIDE_NEEDS_LOAD_BALANCER_MESSAGE))]
#[x_kube(validation = Rule::new(OVERRIDE_NEEDS_OUTSIDE).message(OVERRIDE_NEEDS_OUTSIDE_MESSAGE))]
pub struct AdapterServices {
    /// Type of the Services. Absent means ClusterIP for a new Service, and the type it has for an existing one.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// Annotations of every adapter Service, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Whether Services that an earlier operator made keep its TCP ports beside 2049 and 445; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_ports: Option<bool>,
    /// What becomes of the Services while the server is stopped (replicas 0); Keep when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<WhenStopped>")]
    pub when_stopped: Option<WhenStopped>,
    /// Seconds that a load balancer may take to give an address before AddressesReady says ExternalIPPending; 30 to 86400, 300 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86400), extend("format" = "int32"))]
    pub address_deadline_seconds: Option<u32>,
    /// How the Services are exposed.
    #[serde(flatten)]
    pub exposure: Exposure,
    /// What is different for one adapter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["adapter"]))]
    pub overrides: Vec<AdapterServiceOverride>,
}

/// Seconds that a load balancer may take to give an address, unless the spec says otherwise.
pub const ADDRESS_DEADLINE_SECONDS: u32 = 300;

/// What is different for the Service of one adapter. A field that is set replaces that of adapterServices; annotations are added, and win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(TWO_FAMILIES).message(TWO_FAMILIES_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_CLASS).message(SAME_CLASS_MESSAGE))]
#[x_kube(validation = Rule::new(SAME_FAMILY).message(SAME_FAMILY_MESSAGE))]
pub struct AdapterServiceOverride {
    /// The adapter: nfs or smb.
    pub adapter: AdapterKind,
    /// No Service and no NetworkPolicy for this adapter; an existing one goes at once, and its address with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Type of the Service.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ServiceType>")]
    pub kind: Option<ServiceType>,
    /// TCP port that clients use; 2049 for NFS and 445 for SMB when absent. It is changed in place: the address stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub port: Option<u16>,
    /// TCP port on every node, in the cluster's range (30000 to 32767 as a rule); chosen by the cluster and then kept when absent. Needs type NodePort or LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    pub node_port: Option<u16>,
    /// Annotations of this Service, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: BTreeMap<String, String>,
    /// Address that the load balancer shall give, where it can be asked for one. Needs type LoadBalancer; many clouds want an annotation instead.
    #[serde(
        default,
        rename = "loadBalancerIP",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 2, max = 45), regex(pattern = r"^[0-9a-fA-F:.]+$"))]
    pub load_balancer_ip: Option<String>,
    /// Addresses of nodes or routers that lead to the cluster, at most 16; the Service listens on them too.
    #[serde(default, rename = "externalIPs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 2, max = 45), regex(pattern = r"^[0-9a-fA-F:.]+$"))
    )]
    pub external_ips: Vec<String>,
    /// How this Service is exposed.
    #[serde(flatten)]
    pub exposure: Exposure,
}

/// What becomes of the adapter Services while the server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenStopped {
    /// They stay, and with them their addresses.
    Keep,
    /// They go, and their addresses may be given to others.
    Release,
}
