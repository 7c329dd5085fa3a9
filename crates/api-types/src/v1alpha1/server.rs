//! `DittoServer`: the infrastructure of one file server.

use k8s_openapi::api::core::v1::{PodSecurityContext, ResourceRequirements, SecurityContext};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    AdapterDiscovery, AdapterServices, Adapters, ApiService, ControlPlane, Database, Disruption,
    DittoServerStatus, Identity, Logging, Metrics, NetworkPolicySettings, Percona, PodSettings,
    RetiredSection, ShareSettings, SnapshotPolicy, Storage, bounded,
};
use crate::duration::GoDuration;

const ADAPTER_PORTS: &str = "!has(self.adapters) || [has(self.adapters.nfs) && has(self.adapters.nfs.port) ? self.adapters.nfs.port : 0, has(self.adapters.smb) && has(self.adapters.smb.port) ? self.adapters.smb.port : 0, has(self.adapters.nfs) && has(self.adapters.nfs.settings) && has(self.adapters.nfs.settings.portmapperPort) ? self.adapters.nfs.settings.portmapperPort : 0].all(p, p != (has(self.controlPlane) && has(self.controlPlane.port) ? self.controlPlane.port : 8080) && (!has(self.metrics) || !self.metrics.enabled || p != self.metrics.port))";

/// Holds while the kind of the control-plane database stays, or the spec says that its data was moved. What an
/// object of the Go operator with `percona` really uses is not in its spec: the controller watches over it.
const SAME_KIND: &str = "(has(oldSelf.percona) && oldSelf.percona.enabled) || [(has(self.database) && has(self.database.percona)) || (has(self.percona) && self.percona.enabled) ? 'percona' : has(self.database) && has(self.database.cloudnativePG) ? 'cloudnativePG' : has(self.database) && (has(self.database.secret) || has(self.database.postgresSecretRef)) ? 'secret' : 'sqlite'].all(now, [has(oldSelf.database) && has(oldSelf.database.percona) ? 'percona' : has(oldSelf.database) && has(oldSelf.database.cloudnativePG) ? 'cloudnativePG' : has(oldSelf.database) && (has(oldSelf.database.secret) || has(oldSelf.database.postgresSecretRef)) ? 'secret' : 'sqlite'].all(before, now == before || (has(self.database) && has(self.database.migratedFrom) && self.database.migratedFrom == before)))";

/// Holds for names that leave room for what the operators of databases add: to a PerconaPGCluster, whose name
/// with `-instance1-abcd` and the hash of a revision is the value of a label, and to a Cluster of
/// CloudNativePG, which takes 50 characters.
const DATABASE_NAME_LENGTH: &str = "oldSelf.hasValue() || (((!has(self.spec.database) || !has(self.spec.database.percona) || has(self.spec.database.percona.clusterRef)) && (!has(self.spec.percona) || !self.spec.percona.enabled) || self.metadata.name.size() <= 28) && (!has(self.spec.database) || !has(self.spec.database.cloudnativePG) || has(self.spec.database.cloudnativePG.clusterRef) || self.metadata.name.size() <= 41))";

/// The server's image unless the spec names another: the release this operator was tested with.
pub const DEFAULT_IMAGE: &str = "marmos91c/dittofs:v0.29.0";

/// What a file server shall be: its image, volumes, control plane, identity and network.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dittofs.dittofs.com",
    version = "v1alpha1",
    kind = "DittoServer",
    plural = "dittoservers",
    singular = "dittoserver",
    shortname = "ditto",
    shortname = "dittofs",
    namespaced,
    status = "DittoServerStatus",
    derive = "PartialEq",
    doc = "A DittoServer is one NFS and SMB file server: a pod of the server program, its volumes, configuration, credentials and Services.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "API", type_ = "string", json_path = ".status.api.url", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("oldSelf.hasValue() || (self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))").message("metadata.name must begin with a letter, hold only lower-case letters, digits and '-', and have at most 50 characters: the names of Services and pods derive from it").optional_old_self(true),
    validation = Rule::new(DATABASE_NAME_LENGTH).message("metadata.name must have at most 28 characters with a PerconaPGCluster of its own, and at most 41 with a Cluster of CloudNativePG: the names of the database's pods derive from it").optional_old_self(true)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.metrics) || !self.metrics.enabled || self.metrics.port != (has(self.controlPlane) && has(self.controlPlane.port) ? self.controlPlane.port : 8080)").message("controlPlane.port and metrics.port must differ"))]
#[x_kube(validation = Rule::new(ADAPTER_PORTS).message("the ports under adapters must differ from controlPlane.port and metrics.port: the server could not listen on both"))]
#[x_kube(validation = Rule::new("!has(self.percona) || !self.percona.enabled || !has(self.database) || !has(self.database.postgresSecretRef)").message("percona and database.postgresSecretRef exclude each other: the server has exactly one control-plane database"))]
#[x_kube(validation = Rule::new("!has(self.percona) || !self.percona.enabled || !has(self.database) || !(has(self.database.secret) || has(self.database.cloudnativePG))").message("percona excludes database.secret and database.cloudnativePG: the server has exactly one control-plane database"))]
#[x_kube(validation = Rule::new(SAME_KIND).message("the kind of the control-plane database cannot be changed while its data is in the old one: move the data, then set the new kind together with database.migratedFrom, the name of the old kind (sqlite, secret, percona or cloudnativePG)"))]
pub struct DittoServerSpec {
    /// Image of the server program.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// 1 runs the server, 0 stops it and keeps everything else. The server has no clustering: more than one is refused.
    #[serde(default = "replicas")]
    #[schemars(range(min = 0, max = 1000))]
    #[x_kube(validation = Rule::new("self <= 1").message("the server has no clustering, and two on the same volumes would destroy data: use 1, or 0 to stop it; for more capacity create another DittoServer"))]
    pub replicas: i32,
    /// The server's volumes.
    pub storage: Storage,
    /// The control-plane database; SQLite on the control-plane volume when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The REST API.
    #[serde(default)]
    pub control_plane: ControlPlane,
    /// Tokens, the first administrator, LDAP and Kerberos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// How the live protocol adapters are found.
    #[serde(default)]
    pub adapter_discovery: AdapterDiscovery,
    /// The Services of the protocol adapters.
    #[serde(default)]
    pub adapter_services: AdapterServices,
    /// What the protocol adapters shall be, pushed to the running server; what is not declared here stays as people set it with the server's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Adapters>,
    /// The Service of the REST API.
    #[serde(default)]
    pub service: ApiService,
    /// Who may reach the server over the network.
    #[serde(default)]
    pub network_policy: NetworkPolicySettings,
    /// The Prometheus endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// The server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Older spelling of database.percona.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percona: Option<Percona>,
    /// Who may have shares on the server.
    #[serde(default)]
    pub shares: ShareSettings,
    /// Snapshots of shares that no DittoFSShare gives a policy, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub snapshot_policies: Vec<SnapshotPolicy>,
    /// Whether a node drain may evict the pod.
    #[serde(default)]
    pub disruption: Disruption,
    /// Where the pod runs and what it gets besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// CPU and memory of the server's container. A memory limit also sets the sizes of the server's caches, because on nodes with cgroup v1 the server does not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Time that the server takes at most for each step of a clean stop, 1 second to 1 hour.
    #[serde(default = "shutdown_timeout")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub shutdown_timeout: GoDuration,
    /// Seconds between the request to stop and the kill, at least 36. When absent: 5 for the preStop pause, three times shutdownTimeout, and 10 more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 36, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Seconds that a rollout may take before it is reported as Degraded, 60 to 86400. It must lie above the time that the server may take to start.
    #[serde(default = "progress_deadline_seconds")]
    #[schemars(range(min = 60, max = 86400), extend("format" = "int32"))]
    pub progress_deadline_seconds: u32,
    /// Security context of the server's container; what it leaves open is filled with the hardened defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<SecurityContext>")]
    pub security_context: Option<SecurityContext>,
    /// Security context of the pod; replaces the default (fsGroup 65532, non-root, RuntimeDefault) entirely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<PodSecurityContext>")]
    pub pod_security_context: Option<PodSecurityContext>,

    /// Retired.
    #[serde(default, rename = "nfsPort", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("false").message("nfsPort is retired: the NFS port is set over the server's API (dfsctl adapter), and the Service publishes 2049; remove the field"))]
    pub retired_nfs_port: Option<i32>,
    /// Retired.
    #[serde(default, rename = "smb", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("oldSelf.hasValue()").message("smb is retired: the SMB adapter is set over the server's API (dfsctl adapter), and the Service publishes 445; remove the field").optional_old_self(true))]
    pub retired_smb: Option<RetiredSection>,
    /// Retired.
    #[serde(default, rename = "cache", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("oldSelf.hasValue()").message("cache is retired: the local cache lies on the content volume (storage.contentSize); remove the field").optional_old_self(true))]
    pub retired_cache: Option<RetiredSection>,
}

impl DittoServerSpec {
    /// The field by which another listener of the server than an adapter gets TCP port `port`, such
    /// as `controlPlane.port`; `None` when an adapter may have it. The server launches its adapters
    /// before its API, and ends when it cannot open the port of that.
    pub fn listener_at(&self, port: u16) -> Option<&'static str> {
        if self.control_plane.port == port {
            return Some("controlPlane.port");
        }
        let metrics = self.metrics.as_ref();
        let has = metrics.is_some_and(|metrics| metrics.enabled && metrics.port == port);
        has.then_some("metrics.port")
    }
}

fn image() -> String {
    DEFAULT_IMAGE.to_owned()
}

fn replicas() -> i32 {
    1
}

fn shutdown_timeout() -> GoDuration {
    "30s".into()
}

/// Half an hour for a start with a long recovery, and five minutes for the pod's way to a node.
fn progress_deadline_seconds() -> u32 {
    2100
}
