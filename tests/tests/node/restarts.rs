//! A restart costs clients their sessions: which changes bring one, and which never do.

use anyhow::{Context, Result, ensure};
use cluster_tests::rest::Rest;
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use serde_json::json;

async fn pod_uid(world: &World) -> Result<String> {
    let pods = world.api::<Pod>().list(&ListParams::default()).await?;
    ensure!(pods.items.len() == 1, "{} pods", pods.items.len());
    pods.items[0].uid().context("a pod without a UID")
}

#[test]
fn a_new_token_key_restarts_the_server_exactly_once() -> Outcome {
    scenario("rotate", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        world
            .secret("tokens", json!({"key": "0123456789abcdef0123456789abcdef"}))
            .await?;
        let pods = PodLog::watch(world);
        world
            .serve(json!({"identity": {"jwt": {"secretRef": {"name": "tokens", "key": "key"}}}}))
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        let before = pod_uid(world).await?;
        let hash = world
            .server()
            .await?
            .status
            .and_then(|status| status.config_hash);

        let patch = json!({"stringData": {"key": "fedcba9876543210fedcba9876543210"}});
        world
            .api::<Secret>()
            .patch("tokens", &Default::default(), &Patch::Merge(patch))
            .await?;
        until("another pod serves", async || {
            let status = world.server().await?.status.unwrap_or_default();
            let pod = world
                .api::<Pod>()
                .get_opt(&api_types::names::pod(SERVER))
                .await?;
            let new = pod
                .and_then(|pod| pod.uid())
                .is_some_and(|uid| uid != before);
            Ok(
                if new && status.config_hash != hash && status.ready_replicas == Some(1) {
                    Ok(())
                } else {
                    Err(cluster_tests::world::conditions(Some(&status)))
                },
            )
        })
        .await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        Rest::of(world).await?.ready().await?;
        ensure!(
            pods.count(SERVER) == 2,
            "{} pods instead of two",
            pods.count(SERVER)
        );
        Ok(())
    })
}

#[test]
fn what_the_process_does_not_read_at_start_never_restarts_it() -> Outcome {
    scenario("no-restart", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        let before = pod_uid(world).await?;
        for spec in [
            json!({"adapterDiscovery": {"pollingInterval": "45s"}}),
            json!({"service": {"annotations": {"example.org/a": "b"}}}),
            json!({"service": {"type": "NodePort"}}),
            json!({"disruption": "Block"}),
            json!({"adapterServices": {"type": "NodePort", "annotations": {"a": "b"}}}),
            json!({"snapshotPolicies": [{"share": "s", "interval": "1h"}]}),
            json!({"identity": {"admin": {"username": "admin"}}}),
        ] {
            let server = world.change(json!({"spec": spec})).await?;
            world.condition("Available", "True", "PodServing").await?;
            world
                .condition("Progressing", "False", "RolloutComplete")
                .await?;
            ensure!(
                world.server().await?.metadata.generation == server.metadata.generation,
                "changed meanwhile"
            );
        }
        controller.quiet().await?;
        ensure!(pod_uid(world).await? == before, "another pod");
        let pod = world
            .api::<Pod>()
            .get(&api_types::names::pod(SERVER))
            .await?;
        let restarts = pod
            .status
            .and_then(|status| status.container_statuses)
            .context("no status")?[0]
            .restart_count;
        ensure!(
            restarts == 0,
            "the container was restarted {restarts} times"
        );
        Ok(())
    })
}
