//! A controller that may not watch something is not ready, and becomes ready once it may.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::audit::Mark;
use cluster_tests::deployed::{CONTROLLERS, alone, install, overlay, restarts};
use cluster_tests::installation::{build, name, of_kind};
use cluster_tests::kubectl::kubectl;
use cluster_tests::wait::within;
use cluster_tests::world::in_world;
use cluster_tests::{Outcome, Pods, World, until, world};
use controller_runtime::rbac::namespaced;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// A refused watch is tried again with growing pauses; most of this is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many refused lists of one resource show that the controller goes on trying.
const REFUSALS: usize = 3;

/// What a controller declares, and the resource that it may not watch at first.
fn declared(controller: &str) -> Result<(ClusterRole, Role, &'static str)> {
    use {
        adapter_controller as adapters, server_controller as servers, share_controller as shares,
    };
    Ok(match controller {
        "server-controller" => (
            servers::rbac::cluster_role(),
            servers::rbac::lease_role(),
            "statefulsets",
        ),
        "adapter-controller" => (
            adapters::rbac::cluster_role(),
            adapters::rbac::lease_role(),
            "services",
        ),
        "share-controller" => (
            shares::rbac::cluster_role(),
            shares::rbac::lease_role(),
            "dittofsshares",
        ),
        other => anyhow::bail!("no roles of {other} are known"),
    })
}

#[test]
fn a_controller_is_ready_when_it_may_watch_everything_and_not_before() -> Outcome {
    let _alone = alone();
    Ok(world::run(async || {
        install().await?;
        let shipped = build(&overlay()).await?;
        let shipped = &shipped;
        let each = CONTROLLERS.map(|controller| async move {
            in_world(controller, Pods::Run, async |world| {
                becomes_ready(world, controller, shipped).await
            })
            .await
        });
        try_join_all(each).await?;
        Ok(())
    })?)
}

/// The account: not one of the names that the test of all rights counts, because this one is refused on purpose.
fn account(controller: &str) -> String {
    format!("half-blind-{controller}")
}

async fn becomes_ready(world: &World, controller: &str, shipped: &[Value]) -> Result<()> {
    let (cluster, lease, withheld) = declared(controller)?;
    let whole = namespaced(&cluster);
    let mut part = whole.clone();
    for rule in part.rules.iter_mut().flatten() {
        let resources = rule.resources.iter().flatten();
        if resources.into_iter().any(|resource| resource == withheld) {
            rule.verbs.retain(|verb| verb != "list" && verb != "watch");
        }
    }
    ensure!(part != whole, "{controller} does not watch {withheld}");
    let user = format!(
        "system:serviceaccount:{}:{}",
        world.namespace,
        account(controller)
    );
    let beginning = world.cluster.audit.mark()?;
    deploy(world, controller, shipped, &[&part, &lease]).await?;

    refused(world, beginning, &user, withheld).await?;
    let pod = pod(world).await?;
    ensure!(!is_ready(&pod), "it is ready without {withheld}");
    within(PATIENCE, "the Service knows the pod", async || {
        let endpoints = endpoints(world).await?;
        ensure!(!endpoints.contains(&true), "it is an endpoint");
        Ok(if endpoints == [false] {
            Ok(())
        } else {
            Err(format!("{endpoints:?}"))
        })
    })
    .await?;

    let rules = json!({ "rules": whole.rules });
    let roles: Api<Role> = world.api();
    let role = whole.metadata.name.as_deref().context("no name")?;
    roles
        .patch(role, &PatchParams::default(), &Patch::Merge(rules))
        .await?;
    within(PATIENCE, "it is ready", async || {
        let (pod, endpoints) = (self::pod(world).await?, endpoints(world).await?);
        Ok(if is_ready(&pod) && endpoints == [true] {
            Ok(())
        } else {
            Err(format!("{endpoints:?}, {:?}", pod.status))
        })
    })
    .await?;
    // Its run loop worked all the time: nothing was killed for want of a right.
    let again = self::pod(world).await?;
    ensure!(again.metadata.uid == pod.metadata.uid && restarts(&again)? == 0);
    Ok(())
}

/// The shipped Deployment and metrics Service of a controller, in the world's namespace, which it serves and keeps its
/// lease in, with an account that has these roles.
async fn deploy(world: &World, controller: &str, shipped: &[Value], roles: &[&Role]) -> Result<()> {
    let account = account(controller);
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account},
    })];
    for &role in roles {
        let name = &role.metadata.name;
        objects.push(serde_json::to_value(role)?);
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": world.namespace}],
        }));
    }
    for kind in ["Deployment", "Service"] {
        let mine = format!("dittofs-{controller}");
        let found = of_kind(shipped, kind).find(|object| name(object).starts_with(&mine));
        objects.push(found.with_context(|| format!("no {kind}"))?.clone());
    }
    for object in &mut objects {
        object["metadata"]["namespace"] = world.namespace.clone().into();
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = 1.into();
            let pod = &mut object["spec"]["template"]["spec"];
            pod["serviceAccountName"] = account.clone().into();
            let scope = json!({"name": "DITTOFS_OPERATOR_NAMESPACE", "value": world.namespace});
            let environment = pod["containers"][0]["env"].as_array_mut();
            environment.context("no env")?.push(scope);
        }
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    kubectl(&["apply", "-f", "-"], &list.to_string()).await?;
    Ok(())
}

/// Waits until lists of the resource were refused, again and again.
async fn refused(world: &World, since: Mark, user: &str, resource: &str) -> Result<()> {
    let what = format!("lists of {resource} are refused");
    within(PATIENCE, &what, async || {
        let asked = world.cluster.audit.since(since, user)?;
        let refusals = asked
            .iter()
            .filter(|entry| entry.resource == resource && entry.is_denied())
            .count();
        Ok(if refusals >= REFUSALS {
            Ok(())
        } else {
            Err(format!("{refusals} of {} requests", asked.len()))
        })
    })
    .await
}

async fn pod(world: &World) -> Result<Pod> {
    until("there is one pod", async || {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?.items;
        Ok(match <[Pod; 1]>::try_from(pods) {
            Ok([pod]) => Ok(pod),
            Err(pods) => Err(format!("{} pods", pods.len())),
        })
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions: BTreeMap<&str, &str> = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
        .collect();
    conditions.get("Ready") == Some(&"True")
}

/// Whether each endpoint behind the metrics Service is ready.
async fn endpoints(world: &World) -> Result<Vec<bool>> {
    let slices = world.api::<EndpointSlice>();
    let slices = slices.list(&ListParams::default()).await?;
    Ok(slices
        .items
        .into_iter()
        .flat_map(|slice| slice.endpoints)
        .filter_map(|endpoint| endpoint.conditions?.ready)
        .collect())
}
