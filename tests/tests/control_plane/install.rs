//! The kustomizations that people install: every overlay and every combination of components is taken by the API
//! server as it is, and grants what the controllers declare beside their code.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::checkout;
use cluster_tests::identity::may;
use cluster_tests::installation::{
    Composed, NAMESPACED, OPERATOR, Rights, build, granted, name, namespace, of_kind, rights_of,
    shipped,
};
use cluster_tests::kubectl::kubectl;
use cluster_tests::monitoring::{Definition, with_definitions};
use cluster_tests::world::{none_failed, run};
use cluster_tests::{Cluster, Outcome, Pods, World, random, scenario};
use controller_runtime::rbac::{cluster_scoped, namespaced};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// Either is chosen, never both.
const MODES: [&str; 2] = ["cluster-wide", "namespaced"];

/// Between the components in the name of a combination.
const AND: &str = " + ";

/// One kustomization, built.
struct Build {
    name: String,
    objects: Vec<Value>,
    /// Served namespaces; none in cluster-wide mode.
    namespaces: Vec<String>,
    is_doubled: bool,
}

impl Build {
    /// Whether a component was chosen, or the one in its place in single namespaces.
    fn has(&self, component: &str) -> bool {
        let mut chosen = self.name.split(AND);
        chosen.any(|chosen| chosen.strip_suffix(NAMESPACED).unwrap_or(chosen) == component)
    }
}

/// What a controller declares.
fn declarations() -> [(&'static str, ClusterRole, Role); 3] {
    use {
        adapter_controller as adapters, server_controller as servers, share_controller as shares,
    };
    [
        (
            servers::rbac::NAME,
            servers::rbac::cluster_role(),
            servers::rbac::lease_role(),
        ),
        (
            adapters::rbac::NAME,
            adapters::rbac::cluster_role(),
            adapters::rbac::lease_role(),
        ),
        (
            shares::rbac::NAME,
            shares::rbac::cluster_role(),
            shares::rbac::lease_role(),
        ),
    ]
}

async fn overlays() -> Result<Vec<Build>> {
    let mut builds = Vec::new();
    for overlay in shipped("overlays")? {
        let folder = checkout().join("deploy/overlays").join(&overlay);
        builds.push(Build {
            objects: build(&folder).await?,
            name: format!("overlay {overlay}"),
            namespaces: Vec::new(),
            is_doubled: true,
        });
    }
    Ok(builds)
}

/// Whether a set of `extras` shows what another one does not. The rights for databases touch nothing that another
/// component brings: they are tried among themselves, and with all.
fn is_telling(extras: &[&str], set: u32) -> bool {
    let databases: u32 = server_controller::rbac::components()
        .iter()
        .filter_map(|(component, _)| extras.iter().position(|extra| extra == component))
        .map(|index| 1 << index)
        .sum();
    let all = (1_u32 << extras.len()) - 1;
    set & databases == 0 || set & !databases == 0 || set == all
}

/// Each mode with each set of the other components that tells something.
async fn combinations(namespaces: &[&str]) -> Result<Vec<Build>> {
    let components = shipped("components")?;
    let extras: Vec<&str> = components
        .iter()
        .map(String::as_str)
        .filter(|component| !MODES.contains(component) && !component.ends_with(NAMESPACED))
        .collect();
    // In single namespaces the rights for databases are other ones.
    let others: Vec<String> = server_controller::rbac::components()
        .iter()
        .map(|(database, _)| format!("{database}{NAMESPACED}"))
        .collect();
    let number = extras.len() + MODES.len() + others.len();
    ensure!(number == components.len() && !extras.is_empty());
    let in_mode = |mode: &str, component: &str| -> String {
        let other = format!("{component}{NAMESPACED}");
        match mode == "namespaced" && others.contains(&other) {
            true => other,
            false => component.to_owned(),
        }
    };
    let mut builds = Vec::new();
    for mode in MODES {
        let served = if mode == "namespaced" {
            namespaces
        } else {
            &[]
        };
        for set in 0..1_u32 << extras.len() {
            if !is_telling(&extras, set) {
                continue;
            }
            let mut chosen = vec![mode.to_owned()];
            let in_set = |(index, _): &(usize, &&str)| set & (1 << index) != 0;
            chosen.extend(
                extras
                    .iter()
                    .enumerate()
                    .filter(in_set)
                    .map(|(_, name)| in_mode(mode, name)),
            );
            let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
            builds.push(Build {
                objects: build(Composed::of(&chosen, served)?.folder()).await?,
                name: chosen.join(AND),
                namespaces: served.iter().map(|&name| name.to_owned()).collect(),
                is_doubled: chosen.contains(&"ha"),
            });
        }
    }
    Ok(builds)
}

#[test]
fn every_combination_is_taken_as_it_is_and_grants_what_the_code_declares() -> Outcome {
    with_definitions(&[Definition::ServiceMonitors], || {
        scenario("install", Pods::None, async |world| {
            let other = World::create("install-too", Pods::None).await?;
            let namespaces = [world.namespace.as_str(), other.namespace.as_str()];
            let mut builds = overlays().await?;
            builds.extend(combinations(&namespaces).await?);
            let mut failures = Vec::new();
            for build in &builds {
                if let Err(error) = judge(build) {
                    failures.push(format!("{}: {error:#}", build.name));
                }
            }
            none_failed(&failures)?;
            let taken = rehearse(&builds).await;
            other.remove().await?;
            taken
        })
    })
}

fn judge(build: &Build) -> Result<()> {
    let objects = &build.objects;
    for (account, cluster, lease) in declarations() {
        let everywhere = build.namespaces.is_empty();
        let rules = |role: &Role| rights_of(role.rules.as_deref().unwrap_or_default());
        let mut expected: Rights = BTreeMap::from([(Some(OPERATOR.to_owned()), rules(&lease))]);
        if everywhere {
            let all = rights_of(cluster.rules.as_deref().unwrap_or_default());
            expected.insert(None, all);
        }
        for namespace in &build.namespaces {
            expected.insert(Some(namespace.clone()), rules(&namespaced(&cluster)));
        }
        for (component, role) in server_controller::rbac::components() {
            if account != server_controller::rbac::NAME || !build.has(component) {
                continue;
            }
            let mut give = |place: Option<&String>, rules: Option<Vec<PolicyRule>>| {
                let more = rights_of(rules.as_deref().unwrap_or_default());
                expected.entry(place.cloned()).or_default().extend(more);
            };
            if everywhere {
                give(None, role.rules.clone());
                continue;
            }
            give(None, cluster_scoped(&role).rules);
            for namespace in &build.namespaces {
                give(Some(namespace), namespaced(&role).rules);
            }
        }
        let granted = granted(objects, account)?;
        ensure!(
            granted == expected,
            "{account} may {granted:?}, not {expected:?}"
        );
        runs(build, account)?;
    }
    ensure!(
        of_kind(objects, "Deployment").count() == 3,
        "not three Deployments"
    );
    for object in objects {
        let labels = &object["metadata"]["labels"];
        // The controllers keep what has it in their memory.
        ensure!(
            labels["app.kubernetes.io/managed-by"] != "dittofs-operator",
            "labelled as a child of a server: {object}"
        );
    }
    for kind in [
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ServiceMonitor",
    ] {
        for object in of_kind(objects, kind) {
            selects(objects, object).with_context(|| format!("{kind} {}", name(object)))?;
        }
    }
    if !build.namespaces.is_empty() {
        serves_only(build)?;
    }
    Ok(())
}

/// The Deployment of a controller runs as its account, under a lease, from an image with a version.
fn runs(build: &Build, account: &str) -> Result<()> {
    let deployment = of_kind(&build.objects, "Deployment")
        .find(|deployment| name(deployment) == account)
        .with_context(|| format!("no Deployment {account}"))?;
    ensure!(namespace(deployment).as_deref() == Some(OPERATOR));
    let pod = &deployment["spec"]["template"]["spec"];
    ensure!(pod["serviceAccountName"] == account, "{pod}");
    ensure!(
        of_kind(&build.objects, "ServiceAccount").any(|found| name(found) == account),
        "no ServiceAccount {account}"
    );
    let container = &pod["containers"][0];
    let program = account.strip_prefix("dittofs-").context("no prefix")?;
    ensure!(
        container["command"] == json!([format!("/{program}")]),
        "{container}"
    );
    let image = container["image"].as_str().context("no image")?;
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    ensure!(tag.is_some_and(|tag| tag != "latest"), "the image {image}");
    let elects = json!({"name": "DITTOFS_OPERATOR_LEADER_ELECT", "value": "true"});
    let environment = container["env"].as_array().context("no env")?;
    ensure!(environment.contains(&elects), "no lease: {environment:?}");
    let replicas = if build.is_doubled { 2 } else { 1 };
    ensure!(
        deployment["spec"]["replicas"] == replicas,
        "not {replicas} replicas"
    );
    let affinity = pod
        .pointer("/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/labelSelector/matchLabels")
        .context("no anti-affinity")?;
    let own = &deployment["spec"]["selector"]["matchLabels"];
    ensure!(
        affinity == own,
        "keeps away from {affinity}, not from {own}"
    );
    if build.is_doubled {
        let guards = |budget: &Value| &budget["spec"]["selector"]["matchLabels"] == own;
        ensure!(
            of_kind(&build.objects, "PodDisruptionBudget").any(guards),
            "no budget for {account}"
        );
    }
    Ok(())
}

/// What selects by labels selects pods of ours, or their Services.
fn selects(objects: &[Value], object: &Value) -> Result<()> {
    let spec = &object["spec"];
    let labels = [
        &spec["selector"]["matchLabels"],
        &spec["podSelector"]["matchLabels"],
        &spec["selector"],
    ]
    .into_iter()
    .find_map(Value::as_object)
    .context("no selector")?;
    let of = if object["kind"] == "ServiceMonitor" {
        "Service"
    } else {
        "Deployment"
    };
    let is_selected = |target: &Value| {
        let own = match of {
            "Service" => &target["metadata"]["labels"],
            _ => &target["spec"]["template"]["metadata"]["labels"],
        };
        labels.iter().all(|(key, value)| own[key] == *value)
    };
    ensure!(
        of_kind(objects, of).any(is_selected),
        "selects nothing: {labels:?}"
    );
    Ok(())
}

/// The list of namespaces is the one that the rights are in, and nothing is granted in the whole cluster.
fn serves_only(build: &Build) -> Result<()> {
    let scope = of_kind(&build.objects, "ConfigMap")
        .find(|map| name(map).starts_with("dittofs-operator-scope"))
        .context("no list of namespaces")?;
    ensure!(
        scope["data"]["namespaces"] == build.namespaces.join(","),
        "{scope}"
    );
    let wired = json!({
        "name": "DITTOFS_OPERATOR_NAMESPACE",
        "valueFrom": {"configMapKeyRef": {"name": name(scope), "key": "namespaces"}},
    });
    for deployment in of_kind(&build.objects, "Deployment") {
        let environment = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let environment = environment.as_array().context("no env")?;
        ensure!(environment.contains(&wired), "not told: {environment:?}");
    }
    let without_namespace: BTreeSet<(&str, &str)> = build
        .objects
        .iter()
        .filter(|object| namespace(object).is_none())
        .map(|object| (object["kind"].as_str().unwrap_or_default(), name(object)))
        .collect();
    let mut expected = BTreeSet::from([
        ("ClusterRole", "dittofs-admin"),
        ("ClusterRole", "dittofs-edit"),
        ("ClusterRole", "dittofs-view"),
        (
            "CustomResourceDefinition",
            "dittofsshares.dittofs.dittofs.com",
        ),
        (
            "CustomResourceDefinition",
            "dittoservers.dittofs.dittofs.com",
        ),
        ("Namespace", OPERATOR),
        ("ValidatingAdmissionPolicy", "dittofs-deletion-protection"),
        (
            "ValidatingAdmissionPolicyBinding",
            "dittofs-deletion-protection",
        ),
    ]);
    let definitions: Vec<String> = server_controller::rbac::components()
        .iter()
        .filter(|(component, _)| build.has(component))
        .filter_map(|(_, role)| cluster_scoped(role).metadata.name)
        .collect();
    for name in &definitions {
        expected.extend([("ClusterRole", name.as_str()), ("ClusterRoleBinding", name)]);
    }
    ensure!(without_namespace == expected, "{without_namespace:?}");
    Ok(())
}

/// What kubectl says in a rehearsal of what the cluster has from an earlier `kubectl apply` without `--server-side`:
/// it hands the fields over in earnest only.
const UNMIGRATED: &str = "failed to migrate kubectl.kubernetes.io/last-applied-configuration";

/// Has the API server judge each object of all builds once.
async fn rehearse(builds: &[Build]) -> Result<()> {
    let distinct: BTreeSet<String> = builds
        .iter()
        .flat_map(|build| &build.objects)
        .map(Value::to_string)
        .collect();
    // What lies in a namespace is judged only where the namespace is.
    let place = of_kind(&builds[0].objects, "Namespace").next();
    let place = place.context("no Namespace")?.to_string();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl(&apply, &place).await?;
    let mut arguments = apply.to_vec();
    arguments.extend(["--dry-run=server", "--validate=strict"]);
    // Objects in JSON, one after another, without the lines that part documents of YAML.
    let number = distinct.len();
    let stream = distinct.into_iter().collect::<Vec<_>>().join("\n");
    let said = kubectl(&arguments, &stream).await;
    // Other tests of this cluster find it as they left it.
    kubectl(&["delete", "namespace", OPERATOR, "--wait=false"], "").await?;
    let said = said?;
    let warnings: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("Warning") && !line.contains(UNMIGRATED))
        .collect();
    ensure!(warnings.is_empty(), "{warnings:?}");
    let taken = said.matches("(server dry run)").count();
    ensure!(
        taken == number,
        "{taken} of {number} objects were taken: {said}"
    );
    Ok(())
}

/// What the roles of one namespace leave out is what no namespace holds, and nothing else.
#[test]
fn a_role_of_a_namespace_has_every_right_that_a_namespace_can_give() -> Outcome {
    Ok(run(async || {
        Cluster::connect().await?;
        let arguments = [
            "api-resources",
            "--namespaced=false",
            "--no-headers",
            "-o",
            "name",
        ];
        let listed = kubectl(&arguments, "").await?;
        let cluster_scoped: BTreeSet<&str> = listed.lines().map(str::trim).collect();
        let mut failures = Vec::new();
        for (account, cluster, _) in declarations() {
            let all = rights_of(cluster.rules.as_deref().unwrap_or_default());
            let kept = rights_of(namespaced(&cluster).rules.as_deref().unwrap_or_default());
            for right in &all {
                let (group, resource, ..) = right;
                let full = format!("{resource}.{group}");
                let full = full.trim_end_matches('.');
                // A namespace is taken to lie in itself.
                let holds = full == "namespaces" || !cluster_scoped.contains(full);
                if kept.contains(right) != holds {
                    failures.push(format!("{account}: {right:?} kept: {}", !holds));
                }
            }
        }
        none_failed(&failures)
    })?)
}

/// Who may do what among people, by the roles that every cluster has.
#[test]
fn people_get_the_resources_with_the_roles_that_they_have() -> Outcome {
    scenario("people", Pods::None, async |world| {
        let roles = checkout().join("deploy/rbac/users/users.yaml");
        kubectl(
            &["apply", "--server-side", "-f", &roles.to_string_lossy()],
            "",
        )
        .await?;
        let suffix = random::suffix()?;
        for (role, resource, subresource, verb, may_it) in [
            ("view", "dittoservers", "", "watch", true),
            ("view", "dittofsshares", "", "list", true),
            ("view", "dittofsshares", "", "create", false),
            ("edit", "dittofsshares", "", "create", true),
            ("edit", "dittoservers", "", "delete", true),
            ("edit", "dittoservers", "scale", "patch", true),
            ("edit", "dittoservers", "status", "patch", false),
            ("edit", "dittoservers", "finalizers", "update", false),
            ("admin", "dittoservers", "finalizers", "update", true),
            ("admin", "dittofsshares", "", "patch", true),
            ("admin", "dittofsshares", "status", "patch", false),
        ] {
            let user = format!("{role}-{suffix}");
            bind(world, role, &user).await?;
            let attributes = json!({
                "namespace": world.namespace, "verb": verb, "group": "dittofs.dittofs.com",
                "resource": resource, "subresource": subresource,
            });
            if may_it {
                may(&world.admin, &user, &world.namespace, attributes).await?;
            } else {
                let refused = may_not(world, &user, &attributes).await?;
                ensure!(refused, "{role} may {verb} {resource}/{subresource}");
            }
        }
        Ok(())
    })
}

async fn bind(world: &World, role: &str, user: &str) -> Result<()> {
    let bindings: Api<RoleBinding> = world.api();
    if bindings.get_opt(user).await?.is_none() {
        let binding = serde_json::from_value(json!({
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
    }
    // Once this is known to the authorizer, so is the rest.
    let seen = json!({
        "namespace": world.namespace, "verb": "get", "group": "dittofs.dittofs.com",
        "resource": "dittoservers",
    });
    may(&world.admin, user, &world.namespace, seen).await
}

async fn may_not(world: &World, user: &str, attributes: &Value) -> Result<bool> {
    use k8s_openapi::api::authorization::v1::SubjectAccessReview;
    let review: SubjectAccessReview =
        serde_json::from_value(json!({"spec": {"user": user, "resourceAttributes": attributes}}))?;
    let status = Api::all(world.admin.clone())
        .create(&PostParams::default(), &review)
        .await?
        .status
        .context("a review without status")?;
    Ok(!status.allowed)
}
