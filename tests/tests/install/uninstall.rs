//! `hack/uninstall`: nothing hangs, and data stays.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::{DittoFSShare, DittoServer};
use cluster_tests::cluster::checkout;
use cluster_tests::deployed::{CONTROLLERS, alone, install, scaled};
use cluster_tests::installation::OPERATOR;
use cluster_tests::kubectl::{self, kubectl};
use cluster_tests::shares::{SHARE, ready_made};
use cluster_tests::wait::within;
use cluster_tests::world::{none_failed, run};
use cluster_tests::{Outcome, Pods, SERVER, World, namespace, until};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::process::Command;

/// Kubernetes deletes pods first, and looks again with growing pauses.
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn without_the_controllers_it_frees_what_hangs_and_leaves_the_data() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        install().await?;
        // One whose deletion is under way when the controllers are gone, and one that stays.
        let hanging = served("hangs").await?;
        let staying = served("stays").await?;
        for controller in CONTROLLERS {
            scaled(controller, 0).await?;
        }
        namespace::delete(&hanging.admin, &hanging.namespace).await?;
        hangs(&hanging).await?;

        let protected =
            json!({"metadata": {"annotations": {"dittofs.io/deletion-protection": "true"}}});
        staying.change(protected).await?;
        let said = format!("{:?}", uninstall(&["--servers"]).await.err());
        ensure!(
            said.contains("protected") && said.contains("nothing was done"),
            "{said}"
        );
        let free = json!({"metadata": {"annotations": {"dittofs.io/deletion-protection": null}}});
        staying.change(free).await?;

        uninstall(&[]).await?;
        within(PATIENCE, "the namespace is gone", async || {
            let namespaces: Api<Namespace> = Api::all(hanging.admin.clone());
            Ok(match namespaces.get_opt(&hanging.namespace).await? {
                None => Ok(()),
                Some(namespace) => Err(format!("{:?}", namespace.status)),
            })
        })
        .await?;
        let server = staying.server().await?;
        ensure!(server.finalizers().is_empty(), "{:?}", server.finalizers());
        ensure!(server.metadata.deletion_timestamp.is_none(), "it is going");
        nothing_is_left_of_the_operator(&staying).await?;

        let before = data(&staying).await?;
        ensure!(before.len() >= 4, "{before:?}");
        uninstall(&["--servers"]).await?;
        let crds = kubectl(&["get", "crd", "-o", "name"], "").await?;
        ensure!(!crds.contains("dittofs.dittofs.com"), "{crds}");
        until("the pod is gone", async || {
            let pods = Api::<k8s_openapi::api::core::v1::Pod>::namespaced(
                staying.admin.clone(),
                &staying.namespace,
            );
            let left = pods.list(&ListParams::default()).await?.items.len();
            Ok(if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} pods"))
            })
        })
        .await?;
        let after = data(&staying).await?;
        ensure!(after == before, "{before:?}, then {after:?}");

        // The data opens again.
        install().await?;
        staying.serve(json!({})).await?;
        staying.condition("Ready", "True", "AllReady").await?;
        ready_made(
            &staying,
            SHARE,
            json!({"access": {"defaultPermission": "read"}}),
        )
        .await?;
        ensure!(data(&staying).await? == before, "other data");
        // Before the namespace: its deletion would wait for the share's finalizer otherwise.
        staying.remove().await
    })?)
}

/// A server with a share, both of which have a finalizer.
async fn served(name: &str) -> Result<World> {
    let world = World::create(name, Pods::Run).await?;
    world
        .serve(json!({"storage": {"retentionPolicy": {"whenDeleted": "Delete"}}}))
        .await?;
    ready_made(&world, SHARE, json!({"deletionPolicy": "Delete"})).await?;
    ensure!(
        !world.server().await?.finalizers().is_empty(),
        "no finalizer at the server"
    );
    let share = world.api::<DittoFSShare>().get(SHARE).await?;
    ensure!(!share.finalizers().is_empty(), "no finalizer at the share");
    Ok(world)
}

/// The server is being deleted, and its finalizer holds it.
async fn hangs(world: &World) -> Result<()> {
    until("the deletion waits for the finalizer", async || {
        let server = world.api::<DittoServer>().get(SERVER).await?;
        Ok(if server.metadata.deletion_timestamp.is_some() {
            Ok(())
        } else {
            Err("not asked to go yet".to_owned())
        })
    })
    .await
}

async fn uninstall(options: &[&str]) -> Result<String> {
    let mut command = Command::new(checkout().join("hack/uninstall"));
    if let Some(kubectl) = kubectl::program("kubectl", "kubernetes") {
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = kubectl.parent().context("no folder")?;
        command.env("PATH", format!("{path}:{}", folder.display()));
    }
    for variable in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        command.env_remove(variable);
    }
    kubectl::run(command.args(options), "").await
}

async fn nothing_is_left_of_the_operator(world: &World) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    ensure!(
        namespaces.get_opt(OPERATOR).await?.is_none(),
        "its namespace is there"
    );
    let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings";
    let left = kubectl(&["get", kinds, "-o", "name"], "").await?;
    let ours: Vec<String> = left
        .lines()
        .filter(|line| line.contains("/dittofs-"))
        .map(str::to_owned)
        .collect();
    none_failed(&ours)
}

/// Claims and Secrets without which the data cannot be opened, by UID.
async fn data(world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for claim in world
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?
    {
        ensure!(
            claim.metadata.deletion_timestamp.is_none(),
            "{claim:?} is going"
        );
        found.push(claim.uid().unwrap_or_default());
    }
    let password = format!("{SERVER}-admin-bootstrap-credentials");
    let secret = world.api::<Secret>().get(&password).await?;
    found.push(secret.uid().unwrap_or_default());
    found.sort();
    Ok(found)
}
