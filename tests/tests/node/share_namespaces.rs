//! Shares of one namespace on a server of another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DittoFSShare;
use cluster_tests::adapters::Admin;
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, scenario, shares};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PostParams};
use serde_json::json;

/// The labels of a namespace are looked at every minute.
const PATIENCE: Duration = Duration::from_secs(150);

/// A second namespace that the first one's share-controller serves.
async fn second(world: &World) -> Result<World> {
    let second = World::create("second", Pods::None).await?;
    let user = &world.share_identity().await?.user;
    let account = user.rsplit(':').next().context("no account")?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "shares-of-another"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": share_controller::rbac::NAME},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": world.namespace}],
    }))?;
    let bindings = second.api::<RoleBinding>();
    bindings.create(&PostParams::default(), &binding).await?;
    cluster_tests::identity::may(
        &world.admin,
        user,
        &second.namespace,
        json!({"namespace": second.namespace, "verb": "list", "group": "dittofs.dittofs.com", "resource": "dittofsshares"}),
    )
    .await?;
    Ok(second)
}

async fn allow(world: &World, allowed: serde_json::Value) -> Result<()> {
    world
        .change(json!({"spec": {"shares": {"allowedNamespaces": allowed}}}))
        .await?;
    Ok(())
}

#[test]
fn shares_of_other_namespaces_need_the_servers_consent() -> Outcome {
    scenario("consent", Pods::Run, async |world| {
        let _servers = Controller::start(world).await?;
        let _adapters = Controller::adapters(world).await?;
        let second = second(world).await?;
        let others = vec![second.namespace.clone()];
        let _shares = Controller::shares_in(world, others).await?;
        world
            .serve(json!({"storage": {"contentSize": "1Gi"}}))
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        let tested = consent(world, &second).await;
        second.remove().await?;
        tested
    })
}

async fn consent(world: &World, second: &World) -> Result<()> {
    let spec = json!({"serverRef": {"name": SERVER, "namespace": world.namespace}, "quota": "1Gi"});
    second
        .create_json::<DittoFSShare>(json!({"metadata": {"name": "films"}, "spec": spec}))
        .await?;
    let refused = ("ServerReady", "False", "NamespaceNotAllowed");
    shares::condition(second, "films", refused.0, refused.1, refused.2).await?;
    let admin = Admin::of(world).await?;
    let list = admin.get("/shares").await?;
    ensure!(list.as_array().is_none_or(Vec::is_empty), "{list}");

    allow(world, json!({"from": "All"})).await?;
    shares::ready(second, "films").await?;

    // Withdrawn, nothing is changed any more, and nothing is deleted.
    let selector = json!({"matchLabels": {"team": "media"}});
    allow(world, json!({"from": "Selector", "selector": selector})).await?;
    shares::condition(second, "films", refused.0, refused.1, refused.2).await?;
    shares::change(second, "films", json!({"spec": {"quota": "2Gi"}})).await?;
    shares::condition(second, "films", refused.0, refused.1, refused.2).await?;
    let live = admin.get("/shares/films").await?;
    ensure!(live["quota_bytes"] == "1.00GiB", "{live}");

    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    let label = json!({"metadata": {"labels": {"team": "media"}}});
    let name = &second.namespace;
    namespaces
        .patch(name, &somebody(), &Patch::Merge(label))
        .await?;
    within(PATIENCE, "the label counts", async || {
        let live = admin.get("/shares/films").await?;
        Ok(if live["quota_bytes"] == "2.00GiB" {
            Ok(())
        } else {
            Err(live.to_string())
        })
    })
    .await?;
    shares::ready(second, "films").await?;
    Ok(())
}
