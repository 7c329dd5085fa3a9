//! What the roles of every controller are made of, and how they are written to `deploy/rbac`.

mod table;

use std::path::{Path, PathBuf};

use anyhow::Context;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::ObjectMeta;
use serde::Serialize;

/// The namespace of the controllers' accounts in the generated bindings. An overlay with another one has
/// kustomize put it there.
pub const NAMESPACE: &str = "dittofs-system";

/// Resources that no namespace holds: a role in a namespace cannot give a right to them. A test compares
/// this with what the API server says.
const CLUSTER_SCOPED: &[(&str, &str)] = &[
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("storage.k8s.io", "storageclasses"),
];

/// Watching.
pub const READ: &[&str] = &["get", "list", "watch"];
/// Server-side apply needs `create` for an object that does not exist.
pub const READ_APPLY: &[&str] = &["get", "list", "watch", "create", "patch"];
/// And removing.
pub const READ_APPLY_DELETE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// A rule about all objects of these resources.
#[must_use]
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
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

/// The role `name` with these rules.
#[must_use]
pub fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole {
        metadata: named(name.to_owned()),
        rules: Some(rules),
        aggregation_rule: None,
    }
}

/// The right to the lease of the controller `name`, in its own namespace.
#[must_use]
pub fn lease_role(name: &str) -> Role {
    Role {
        metadata: named(format!("{name}-lease")),
        rules: Some(vec![rule(
            "coordination.k8s.io",
            &["leases"],
            &["get", "create", "update"],
        )]),
    }
}

fn named(name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        ..ObjectMeta::default()
    }
}

/// What of `cluster` a role in one namespace can give: all but the rules about resources that no namespace
/// holds. The controllers do without these where they serve single namespaces.
#[must_use]
pub fn namespaced(cluster: &ClusterRole) -> Role {
    let rules = cluster.rules.iter().flatten();
    let rules = rules.filter(|rule| !is_cluster_scoped(rule));
    Role {
        metadata: cluster.metadata.clone(),
        rules: Some(rules.cloned().collect()),
    }
}

/// What [`namespaced`] leaves out of `cluster`.
#[must_use]
pub fn cluster_scoped(cluster: &ClusterRole) -> ClusterRole {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let rules = cluster.rules.iter().flatten();
    let rules = rules.filter(|rule| is_cluster_scoped(rule));
    cluster_role(&format!("{name}-definition"), rules.cloned().collect())
}

/// Whether a rule is about resources that no namespace holds.
fn is_cluster_scoped(rule: &PolicyRule) -> bool {
    let among =
        |list: &Option<Vec<String>>, name: &str| list.iter().flatten().any(|item| item == name);
    CLUSTER_SCOPED
        .iter()
        .any(|(group, resource)| among(&rule.api_groups, group) && among(&rule.resources, resource))
}

/// What the programs that write roles do: writes below `deploy/rbac` of the folder in the first argument, the
/// top of the checkout (default: the current folder), what the ServiceAccount with the name of `cluster` gets:
/// `<file>.yaml` the cluster role, `bindings/<file>.yaml` its binding, `namespace/<file>.yaml` the role and
/// binding for one namespace, `lease/<file>.yaml` those for the lease; and the table of `<file>` in
/// `docs/security.md`.
///
/// # Errors
/// When a file cannot be written, or the page has no place for the table.
pub fn generate(file: &str, cluster: &ClusterRole, lease: &Role) -> anyhow::Result<()> {
    let root = root();
    let folder = root.join("deploy/rbac");
    let role = namespaced(cluster);
    let account = cluster.metadata.name.as_deref().unwrap_or_default();
    let binding_everywhere = document(&everywhere(cluster, account))?;
    write(&folder, file, &[document(cluster)?])?;
    write(&folder.join("bindings"), file, &[binding_everywhere])?;
    for (place, role) in [("namespace", &role), ("lease", lease)] {
        let documents = [document(role)?, document(&within(role, account))?];
        write(&folder.join(place), file, &documents)?;
    }
    let place = |rule: &PolicyRule| match is_cluster_scoped(rule) {
        true => "the whole cluster; nowhere in single namespaces",
        false => "where it serves",
    };
    let mut rows: Vec<_> = cluster
        .rules
        .iter()
        .flatten()
        .map(|rule| (rule, place(rule)))
        .collect();
    let leases = lease.rules.iter().flatten();
    rows.extend(leases.map(|rule| (rule, "its own namespace, for its lease")));
    tabulate(&root, file, &rows)
}

/// As [`generate`], for rights that a cluster may do without: in `deploy/rbac/<component>` `<file>.yaml` gets the
/// cluster role and its binding to the ServiceAccount `account`; `namespace/<file>.yaml` the role and binding for one
/// namespace, and `definition/<file>.yaml` what goes with these in the whole cluster. The table is that of
/// `<file>-<component>`.
///
/// # Errors
/// When a file cannot be written, or the page has no place for the table.
pub fn component(
    component: &str,
    file: &str,
    account: &str,
    role: &ClusterRole,
) -> anyhow::Result<()> {
    let root = root();
    let folder = root.join("deploy/rbac").join(component);
    let documents = [document(role)?, document(&everywhere(role, account))?];
    write(&folder, file, &documents)?;
    let definition = cluster_scoped(role);
    let binding = everywhere(&definition, account);
    let documents = [document(&definition)?, document(&binding)?];
    write(&folder.join("definition"), file, &documents)?;
    let one = namespaced(role);
    let documents = [document(&one)?, document(&within(&one, account))?];
    write(&folder.join("namespace"), file, &documents)?;
    let place = |rule: &PolicyRule| match is_cluster_scoped(rule) {
        true => "the whole cluster",
        false => "where it serves",
    };
    let rules = role.rules.iter().flatten();
    let rows: Vec<_> = rules.map(|rule| (rule, place(rule))).collect();
    tabulate(&root, &format!("{file}-{component}"), &rows)
}

/// Puts the table `name` of these rules, each with the place where it holds, into `docs/security.md`.
fn tabulate(root: &Path, name: &str, rows: &[(&PolicyRule, &str)]) -> anyhow::Result<()> {
    let page = root.join("docs/security.md");
    let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    std::fs::write(&page, table::put(&text, name, rows)?)?;
    Ok(())
}

/// The folder in the first argument, or the current one.
fn root() -> PathBuf {
    let named = std::env::args_os().nth(1);
    named.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Gives `role` to the ServiceAccount `account` in every namespace.
fn everywhere(role: &ClusterRole, account: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: role.metadata.clone(),
        role_ref: reference("ClusterRole", &role.metadata),
        subjects: Some(vec![subject(account)]),
    }
}

/// Gives `role` to the ServiceAccount `account` in the namespace of the binding.
fn within(role: &Role, account: &str) -> RoleBinding {
    RoleBinding {
        metadata: role.metadata.clone(),
        role_ref: reference("Role", &role.metadata),
        subjects: Some(vec![subject(account)]),
    }
}

fn reference(kind: &str, role: &ObjectMeta) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: role.name.clone().unwrap_or_default(),
    }
}

fn subject(account: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: account.to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        api_group: None,
    }
}

fn document(object: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(object)?)
}

fn write(folder: &Path, file: &str, documents: &[String]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let text = format!(
        "# Generated by `hack/generate`; do not edit.\n{}",
        documents.join("---\n"),
    );
    std::fs::write(folder.join(format!("{file}.yaml")), text)?;
    Ok(())
}
