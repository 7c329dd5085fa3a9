//! Inputs that go missing under a running server.

use std::time::Duration;

use anyhow::ensure;
use cluster_tests::pods::{container_of, pod_of};
use cluster_tests::rest::Rest;
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, scenario};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch};
use serde_json::json;
use tokio::time::Instant;

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn complete_within_seconds(world: &World) -> anyhow::Result<()> {
    let came = Instant::now();
    world
        .condition("ConfigReady", "True", "InputsComplete")
        .await?;
    ensure!(
        came.elapsed() < Duration::from_secs(60),
        "noticed after {:?}",
        came.elapsed()
    );
    Ok(())
}

#[test]
fn a_missing_secret_keeps_the_running_pod_and_heals_when_it_is_back() -> Outcome {
    scenario("gone", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        world.secret("tokens", json!({"signing": KEY})).await?;
        world
            .serve(
                json!({"identity": {"jwt": {"secretRef": {"name": "tokens", "key": "signing"}}}}),
            )
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        let rest = Rest::of(world).await?;
        let secrets = world.api::<Secret>();

        for (what, reason) in [
            ("the Secret", "SecretMissing"),
            ("the key", "SecretKeyMissing"),
            ("the value", "SecretInvalid"),
        ] {
            match reason {
                "SecretMissing" => {
                    secrets.delete("tokens", &DeleteParams::default()).await?;
                }
                "SecretKeyMissing" => {
                    let patch = json!({"data": {"signing": null}});
                    secrets
                        .patch("tokens", &Default::default(), &Patch::Merge(patch))
                        .await?;
                }
                _ => {
                    let patch = json!({"stringData": {"signing": "short"}});
                    secrets
                        .patch("tokens", &Default::default(), &Patch::Merge(patch))
                        .await?;
                }
            }
            let message = world.condition("ConfigReady", "False", reason).await?;
            ensure!(
                message.contains("tokens") && message.contains("signing"),
                "{what}: Secret and key are not named: {message}"
            );
            controller.quiet().await?;
            world.condition("Available", "True", "PodServing").await?;
            rest.ready().await?;
            if reason == "SecretMissing" {
                world.secret("tokens", json!({"signing": KEY})).await?;
            } else {
                let patch = json!({"stringData": {"signing": KEY}});
                secrets
                    .patch("tokens", &Default::default(), &Patch::Merge(patch))
                    .await?;
            }
            complete_within_seconds(world).await?;
        }
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        let pod = pod_of(world, SERVER).await?;
        ensure!(pod.metadata.deletion_timestamp.is_none(), "it is going");
        ensure!(container_of(&pod)?.restart_count == 0, "it was restarted");
        Ok(())
    })
}
