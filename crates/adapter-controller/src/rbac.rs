//! What the controller may do in a cluster, beside the code that does it.

use controller_runtime::rbac::{READ_APPLY_DELETE, rule};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};

/// Name of the roles, and of the ServiceAccount that they are meant for.
pub const NAME: &str = "dittofs-adapter-controller";

/// Everything but the lease: cluster-wide when bound by a ClusterRoleBinding, else in the
/// namespaces of its RoleBindings.
pub fn cluster_role() -> ClusterRole {
    let rules = vec![
        // Never read one by one: their watch tells of every change.
        rule("dittofs.dittofs.com", &["dittoservers"], &["list", "watch"]),
        rule("dittofs.dittofs.com", &["dittoservers/status"], &["patch"]),
        // Owner references that block the owner's deletion need this.
        rule(
            "dittofs.dittofs.com",
            &["dittoservers/finalizers"],
            &["update"],
        ),
        rule("", &["services"], READ_APPLY_DELETE),
        rule("networking.k8s.io", &["networkpolicies"], READ_APPLY_DELETE),
        // Listed and watched as metadata; values are read by name. The account's is made once and
        // never written over or deleted; that of the Go operator is removed after a takeover.
        rule(
            "",
            &["secrets"],
            &["get", "list", "watch", "create", "delete"],
        ),
        // Asked whether the pod that serves has the files that a setting names.
        rule("", &["pods"], &["get"]),
        // Asked for a load balancer that has had no address for too long.
        rule("", &["events"], &["list"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ];
    controller_runtime::rbac::cluster_role(NAME, rules)
}

/// The lease, in the controller's own namespace.
pub fn lease_role() -> Role {
    controller_runtime::rbac::lease_role(NAME)
}
