//! A server serves, and serves again after it was deleted and made anew.

use anyhow::ensure;
use api_types::DittoServer;
use cluster_tests::rest::{Rest, password};
use cluster_tests::{Controller, Outcome, Pods, SERVER, scenario, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use reqwest::StatusCode;
use serde_json::json;

#[test]
fn a_server_becomes_available_and_takes_the_generated_password() -> Outcome {
    scenario("serve", Pods::Run, async |world| {
        let _controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        world
            .condition("StorageReady", "True", "ClaimsBound")
            .await?;
        world.condition("Degraded", "False", "AsExpected").await?;
        world
            .condition("Ready", "False", "AdapterStatusMissing")
            .await?;
        let rest = Rest::of(world).await?;
        rest.ready().await?;
        ensure!(
            rest.log_in(&password(world).await?).await? == StatusCode::OK,
            "the password is refused"
        );
        ensure!(
            rest.log_in("another password").await? == StatusCode::UNAUTHORIZED,
            "any password is taken"
        );
        Ok(())
    })
}

#[test]
fn a_recreated_server_serves_with_the_old_password() -> Outcome {
    scenario("again", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        let old = password(world).await?;
        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::background())
            .await?;
        until("the server and its pod are gone", async || {
            let pod = world
                .api::<Pod>()
                .get_opt(&api_types::names::pod(SERVER))
                .await?;
            let server = world.api::<DittoServer>().get_opt(SERVER).await?;
            Ok(match (server, pod) {
                (None, None) => Ok(()),
                (server, pod) => Err(format!(
                    "server there: {}, pod there: {}",
                    server.is_some(),
                    pod.is_some()
                )),
            })
        })
        .await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        let rest = Rest::of(world).await?;
        rest.ready().await?;
        ensure!(
            rest.log_in(&old).await? == StatusCode::OK,
            "the old password is refused"
        );
        controller.stop().await
    })
}
