//! What the controller may do in a cluster, beside the code that does it.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::ObjectMeta;

/// Name of the roles, and of the ServiceAccount that they are meant for.
pub const NAME: &str = "dittofs-adapter-controller";

const READ: &[&str] = &["get", "list", "watch"];
/// Server-side apply needs `create` for an object that does not exist.
const READ_APPLY_DELETE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Everything but the lease: cluster-wide when bound by a ClusterRoleBinding, else in the
/// namespaces of its RoleBindings.
pub fn cluster_role() -> ClusterRole {
    let rules = vec![
        rule("dittofs.dittofs.com", &["dittoservers"], READ),
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
        // Asked for a load balancer that has had no address for too long.
        rule("", &["events"], &["list"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ];
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        },
        rules: Some(rules),
        aggregation_rule: None,
    }
}

/// The lease, in the controller's own namespace.
pub fn lease_role() -> Role {
    Role {
        metadata: ObjectMeta {
            name: Some(format!("{NAME}-lease")),
            ..ObjectMeta::default()
        },
        rules: Some(vec![rule(
            "coordination.k8s.io",
            &["leases"],
            &["get", "create", "update"],
        )]),
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| {
        items
            .iter()
            .map(|&item| item.to_owned())
            .collect::<Vec<_>>()
    };
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(list(resources)),
        verbs: list(verbs),
        ..PolicyRule::default()
    }
}
