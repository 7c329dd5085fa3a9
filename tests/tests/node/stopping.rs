//! Stopping a server and starting it again.

use cluster_tests::rest::{Rest, password};
use cluster_tests::{Controller, Outcome, Pods, SERVER, scenario, until};
use k8s_openapi::api::core::v1::Pod;
use reqwest::StatusCode;
use serde_json::json;

#[test]
fn a_stopped_server_has_no_pod_and_starts_again() -> Outcome {
    scenario("stop", Pods::Run, async |world| {
        let _controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world.change(json!({"spec": {"replicas": 0}})).await?;
        world.condition("Available", "False", "Stopped").await?;
        world.condition("Ready", "False", "Stopped").await?;
        world.condition("Progressing", "False", "Stopped").await?;
        world
            .condition("StorageReady", "True", "ClaimsBound")
            .await?;
        until("the pod is gone, and the status says so", async || {
            let pod = world
                .api::<Pod>()
                .get_opt(&api_types::names::pod(SERVER))
                .await?;
            let replicas = world
                .server()
                .await?
                .status
                .and_then(|status| status.replicas);
            Ok(if pod.is_none() && replicas == Some(0) {
                Ok(())
            } else {
                Err(format!("replicas {replicas:?}"))
            })
        })
        .await?;
        world.change(json!({"spec": {"replicas": 1}})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Ready", "False", "AdapterStatusMissing")
            .await?;
        let rest = Rest::of(world).await?;
        rest.ready().await?;
        anyhow::ensure!(
            rest.log_in(&password(world).await?).await? == StatusCode::OK,
            "the password is refused"
        );
        Ok(())
    })
}
