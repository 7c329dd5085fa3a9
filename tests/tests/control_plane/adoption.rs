//! What stays when a server is deleted, and how a server of the same name takes it up.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::rest::password;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, scenario, until};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

#[test]
fn a_recreated_server_takes_up_the_claims_and_the_password() -> Outcome {
    scenario("recreate", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({"metrics": {"enabled": true}})).await?;
        world.settled(&controller).await?;
        let claims = async || -> Result<Vec<(String, Option<String>)>> {
            let claims = world
                .api::<PersistentVolumeClaim>()
                .list(&ListParams::default())
                .await?;
            Ok(claims
                .iter()
                .map(|claim| (claim.name_any(), claim.uid()))
                .collect())
        };
        until("the three claims exist", async || {
            let claims = claims().await?;
            Ok(if claims.len() == 3 {
                Ok(())
            } else {
                Err(format!("{claims:?}"))
            })
        })
        .await?;
        let kept = (
            claims().await?,
            world.child(Child::Admin).await?.uid(),
            password(world).await?,
        );
        let jwt = world.child(Child::Jwt).await?.uid();

        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::background())
            .await?;
        until(
            "the server and everything that it owned are gone",
            async || {
                let mut left = Vec::new();
                for child in Child::APPLIED
                    .into_iter()
                    .chain([Child::Metrics, Child::Jwt])
                {
                    left.extend(world.find(child).await?.map(|object| object.name_any()));
                }
                left.extend(
                    world
                        .api::<DittoServer>()
                        .get_opt(SERVER)
                        .await?
                        .map(|_| "the server".to_owned()),
                );
                Ok(if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("left: {left:?}"))
                })
            },
        )
        .await?;
        controller.quiet().await?;
        let left = (
            claims().await?,
            world.child(Child::Admin).await?.uid(),
            password(world).await?,
        );
        ensure!(left == kept, "what outlives the server is not what it was");

        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let adopted = (
            claims().await?,
            world.child(Child::Admin).await?.uid(),
            password(world).await?,
        );
        ensure!(
            adopted == kept,
            "the recreated server did not take up what was there"
        );
        ensure!(
            world.child(Child::Jwt).await?.uid() != jwt,
            "the token key was to go with the server"
        );
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        let owner = world
            .child(Child::StatefulSet)
            .await?
            .metadata
            .owner_references
            .context("no owner")?;
        ensure!(
            Some(&owner[0].uid) == world.server().await?.metadata.uid.as_ref(),
            "another owner"
        );
        Ok(())
    })
}
