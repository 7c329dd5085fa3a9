//! Operators of databases come and go while the controller runs.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::databases::{Definition, Managed, Provider, exclusively};
use cluster_tests::world::somebody;
use cluster_tests::{Child, Controller, Outcome, Pods, World, until};
use kube::ResourceExt;
use kube::api::Patch;
use serde_json::json;

const SERVERS: [(Provider, &str, &str); 2] = [
    (Provider::Percona, "p", "percona"),
    (Provider::CloudNative, "c", "cloudnativePG"),
];

/// The UID and the generation of a server's StatefulSet.
async fn set(world: &World, server: &str) -> Result<(Option<String>, Option<i64>)> {
    let child = Child::StatefulSet;
    let api = world.objects(&child.resource());
    let set = api.get(&child.name(server)).await?;
    Ok((set.uid(), set.metadata.generation))
}

#[test]
fn an_operator_that_is_installed_later_is_used_and_one_that_goes_is_missed() -> Outcome {
    exclusively("db-optional", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        for (provider, server, field) in SERVERS {
            let manifest = world.manifest_of(server, json!({"database": {field: {}}}));
            world.create_json::<DittoServer>(manifest).await?;
            let message = world
                .condition_of(server, "DatabaseReady", "False", "DatabaseOperatorMissing")
                .await?;
            let name = Definition(provider).name();
            ensure!(message.contains(name), "{message}");
        }
        controller.quiet().await?;
        ensure!(
            controller.failures() == 0,
            "{} visits failed",
            controller.failures()
        );

        // Installed, one after the other.
        let mut clusters = Vec::new();
        for (provider, server, _) in SERVERS {
            Definition(provider).install(&world.admin).await?;
            let name = format!("{server}-postgres");
            let mut managed = Managed::new(world, provider, &name).await?;
            managed.serve().await?;
            world
                .condition_of(server, "DatabaseReady", "True", "DatabaseAnswers")
                .await?;
            until("the server is started", async || {
                Ok(set(world, server).await.map_err(|error| error.to_string()))
            })
            .await?;
            clusters.push(managed);
        }
        controller.quiet().await?;

        // Removed, and with them every cluster: the servers stay as they are.
        for (provider, server, _) in SERVERS {
            let before = set(world, server).await?;
            Definition(provider).remove(&world.admin).await?;
            world
                .condition_of(server, "DatabaseReady", "False", "DatabaseOperatorMissing")
                .await?;
            controller.quiet().await?;
            ensure!(set(world, server).await? == before, "{server} was changed");
        }

        // Back again, with clusters of which nobody knows what is in them.
        for ((provider, server, _), managed) in SERVERS.into_iter().zip(&mut clusters) {
            let before = set(world, server).await?;
            Definition(provider).install(&world.admin).await?;
            if provider == Provider::CloudNative {
                // Its volumes went with it: an empty one is made only when a person asks for it.
                world
                    .condition_of(server, "DatabaseReady", "False", "DatabaseClusterMissing")
                    .await?;
                controller.quiet().await?;
                ensure!(managed.find().await?.is_none(), "it was made again");
                let emptied =
                    json!({"metadata": {"annotations": {"dittofs.io/accept-database": "empty"}}});
                let servers = world.api::<DittoServer>();
                servers
                    .patch(server, &somebody(), &Patch::Merge(emptied))
                    .await?;
            }
            managed.made_again(None).await?;
            managed.serve().await?;
            let uid = managed.find().await?.and_then(|object| object.uid());
            let message = world
                .condition_of(server, "DatabaseReady", "False", "DatabaseReplaced")
                .await?;
            let uid = uid.context("no UID")?;
            ensure!(message.contains(&uid), "{message}");
            controller.quiet().await?;
            ensure!(set(world, server).await? == before, "{server} was changed");
        }
        Ok(())
    })
}
