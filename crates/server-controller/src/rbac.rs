//! What the controller may do in a cluster, beside the code that does it.

use controller_runtime::rbac::{READ, READ_APPLY, READ_APPLY_DELETE, rule};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use percona_bridge::{CnpgCluster, PerconaPGCluster};
use resources::{PrometheusRule, ServiceMonitor};

/// Name of the roles, and of the ServiceAccount that they are meant for.
pub const NAME: &str = "dittofs-server-controller";

/// Folder of the rights to PerconaPGClusters.
const PERCONA: &str = "percona";

/// Folder of the rights to Clusters of CloudNativePG.
const CLOUDNATIVE_PG: &str = "cloudnative-pg";

/// Everything but the lease: cluster-wide when bound by a ClusterRoleBinding, else in the
/// namespaces of its RoleBindings.
pub fn cluster_role() -> ClusterRole {
    let rules = vec![
        rule(
            "dittofs.dittofs.com",
            &["dittoservers"],
            &["get", "list", "watch", "patch"],
        ),
        rule("dittofs.dittofs.com", &["dittoservers/status"], &["patch"]),
        // Owner references that block the owner's deletion need this.
        rule(
            "dittofs.dittofs.com",
            &["dittoservers/finalizers"],
            &["update"],
        ),
        // Asked before a restart with new credentials, which their metadata stores must have by then.
        rule("dittofs.dittofs.com", &["dittofsshares"], &["list"]),
        rule("", &["configmaps"], READ_APPLY),
        rule("", &["services"], READ_APPLY_DELETE),
        // Claim templates cannot be changed, so a StatefulSet whose claims have grown is replaced.
        rule("apps", &["statefulsets"], READ_APPLY_DELETE),
        // What a pod runs that lost its StatefulSet in between.
        rule("apps", &["controllerrevisions"], &["get"]),
        rule("policy", &["poddisruptionbudgets"], READ_APPLY),
        rule("networking.k8s.io", &["networkpolicies"], READ_APPLY_DELETE),
        // Listed and watched as metadata; values are read by name. Made once, never written over;
        // a takeover changes their metadata; the administrator's goes with the data where the
        // retention policy says so.
        rule(
            "",
            &["secrets"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Claims grow, and go where the retention policy says so.
        rule(
            "",
            &["persistentvolumeclaims"],
            &["get", "list", "watch", "patch", "delete"],
        ),
        // A takeover keeps the database of the Go operator from going with the server.
        rule(
            "pgv2.percona.com",
            &["perconapgclusters"],
            &["get", "patch"],
        ),
        // Deleted when stuck in a revision that is not wanted any more, and with its server when no
        // StatefulSet controls it.
        rule("", &["pods"], &["get", "list", "watch", "delete"]),
        // Asked for a volume that cannot be mounted, and for a claim that is not bound.
        rule("", &["events"], &["list"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        // Of other projects' resource definitions two are followed; their objects are made while they
        // are installed. In single namespaces the first rule has no effect, and none are made then.
        PolicyRule {
            resource_names: Some(vec![
                ServiceMonitor::CRD.to_owned(),
                PrometheusRule::CRD.to_owned(),
            ]),
            ..rule(
                "apiextensions.k8s.io",
                &["customresourcedefinitions"],
                &["list", "watch"],
            )
        },
        rule(
            "monitoring.coreos.com",
            &["prometheusrules", "servicemonitors"],
            READ_APPLY_DELETE,
        ),
        // In single namespaces this has no effect; then the API server judges the growth of claims.
        rule("storage.k8s.io", &["storageclasses"], READ),
    ];
    controller_runtime::rbac::cluster_role(NAME, rules)
}

/// The roles that a cluster may do without, with the folders in and below which they are installed.
pub fn components() -> [(&'static str, ClusterRole); 2] {
    [
        (PERCONA, percona_role()),
        (CLOUDNATIVE_PG, cloudnative_pg_role()),
    ]
}

/// What a PerconaPGCluster for a server takes, for clusters with the Percona operator.
fn percona_role() -> ClusterRole {
    database_role(PERCONA, PerconaPGCluster::CRD)
}

/// What a Cluster of CloudNativePG for a server takes, for clusters with that operator.
fn cloudnative_pg_role() -> ClusterRole {
    database_role(CLOUDNATIVE_PG, CnpgCluster::CRD)
}

/// The right to the resource whose definition is called `crd`, and to follow that definition.
fn database_role(component: &str, crd: &str) -> ClusterRole {
    let (plural, group) = crd.split_once('.').unwrap_or_default();
    let rules = vec![
        PolicyRule {
            resource_names: Some(vec![crd.to_owned()]),
            ..rule(
                "apiextensions.k8s.io",
                &["customresourcedefinitions"],
                &["list", "watch"],
            )
        },
        rule(group, &[plural], READ_APPLY_DELETE),
    ];
    controller_runtime::rbac::cluster_role(&format!("{NAME}-{component}"), rules)
}

/// The lease, in the controller's own namespace.
pub fn lease_role() -> Role {
    controller_runtime::rbac::lease_role(NAME)
}
