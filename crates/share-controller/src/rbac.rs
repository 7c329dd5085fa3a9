//! What the controller may do in a cluster, beside the code that does it.

use controller_runtime::rbac::{READ, rule};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};

/// Name of the roles, and of the ServiceAccount that they are meant for.
pub const NAME: &str = "dittofs-share-controller";

/// Everything but the lease: cluster-wide when bound by a ClusterRoleBinding, else in the
/// namespaces of its RoleBindings.
pub fn cluster_role() -> ClusterRole {
    let rules = vec![
        // The finalizer is patched.
        rule(
            "dittofs.dittofs.com",
            &["dittofsshares"],
            &["get", "list", "watch", "patch"],
        ),
        rule("dittofs.dittofs.com", &["dittofsshares/status"], &["patch"]),
        rule("dittofs.dittofs.com", &["dittoservers"], READ),
        // The account's Secret has an owner reference that blocks the owner's deletion.
        rule(
            "dittofs.dittofs.com",
            &["dittoservers/finalizers"],
            &["update"],
        ),
        // Listed and watched as metadata; values are read by name. The account's is made once and
        // never written over.
        rule("", &["secrets"], &["get", "list", "watch", "create"]),
        // The labels of a namespace, where a server admits namespaces by them. In single namespaces this
        // has no effect, and NamespacesNotReadable says so.
        rule("", &["namespaces"], &["get"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ];
    controller_runtime::rbac::cluster_role(NAME, rules)
}

/// The lease, in the controller's own namespace.
pub fn lease_role() -> Role {
    controller_runtime::rbac::lease_role(NAME)
}
