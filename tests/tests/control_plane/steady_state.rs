//! A server that is as it shall be costs nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::DittoServer;
use cluster_tests::audit::listed;
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, World, scenario};
use controller_runtime::Seam;
use controller_runtime::seam::{Counter, Verb};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use serde_json::json;

/// Servers in every state in which one can stay for long.
pub(crate) async fn servers(world: &World) -> Result<()> {
    let specs = [
        ("plain", json!({})),
        (
            "metrics",
            json!({"metrics": {"enabled": true}, "service": {"type": "NodePort", "annotations": {"a": "b"}}}),
        ),
        ("stopped", json!({"replicas": 0})),
        (
            "waiting",
            json!({"identity": {"jwt": {"secretRef": {"name": "not-there", "key": "k"}}}}),
        ),
        ("refused", json!({"percona": {"enabled": true}})),
    ];
    for (name, spec) in specs {
        world
            .create_json::<DittoServer>(world.manifest_of(name, spec))
            .await?;
    }
    let mut paused = world.manifest_of("paused", json!({}));
    paused["metadata"]["annotations"] = json!({"dittofs.io/paused": "true"});
    world.create_json::<DittoServer>(paused).await?;
    for name in [
        "plain", "metrics", "stopped", "waiting", "refused", "paused",
    ] {
        world.observed(name).await?;
    }
    for name in ["plain", "metrics", "stopped"] {
        world.set_up(name).await?;
    }
    Ok(())
}

#[test]
fn a_settled_server_costs_no_write_and_no_list() -> Outcome {
    scenario("steady", Pods::None, async |world| {
        let counter = Arc::new(Counter::new());
        let controller =
            Controller::start_behind(world, vec![Arc::clone(&counter) as Arc<dyn Seam>]).await?;
        servers(world).await?;
        controller.quiet().await?;
        ensure!(
            counter.writes() > 0 && counter.lists() > 0,
            "nothing was counted, so the count proves nothing"
        );

        let mark = world.cluster.audit.mark()?;
        counter.reset();
        let visits = controller.visits();
        for beat in 0..6 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            // What wakes the controller without giving it anything to do.
            let note = json!({"metadata": {"annotations": {"example.org/beat": beat.to_string()}}});
            for server in ["plain", "metrics", "stopped"] {
                let secret = api_types::names::jwt_secret(server);
                world
                    .api::<Secret>()
                    .patch(&secret, &somebody(), &Patch::Merge(&note))
                    .await?;
            }
        }
        // Each note is a visit: without them the window shows nothing.
        controller.visited_after(visits + 17).await?;
        controller.quiet().await?;

        let requests = world.requests(mark)?;
        let unwanted: Vec<_> = requests
            .iter()
            .filter(|entry| entry.is_write() || entry.is_list())
            .collect();
        ensure!(
            unwanted.is_empty(),
            "in the audit log: {}",
            listed(unwanted)
        );
        let counted = (counter.writes(), counter.lists());
        ensure!(
            counted == (0, 0),
            "the seam counted {counted:?} writes and lists"
        );
        ensure!(
            counter.of(Verb::Get) < 200,
            "{} reads in a minute of six servers",
            counter.of(Verb::Get)
        );
        Ok(())
    })
}

#[test]
fn a_restarted_controller_writes_nothing() -> Outcome {
    scenario("restart", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        servers(world).await?;
        controller.quiet().await?;
        controller.stop().await?;

        let mark = world.cluster.audit.mark()?;
        let controller = Controller::start(world).await?;
        controller.visited_after(5).await?;
        controller.quiet().await?;
        ensure!(
            controller.failures() == 0,
            "{} visits failed",
            controller.failures()
        );
        let writes = world.writes(mark)?;
        ensure!(
            writes.is_empty(),
            "written after the restart: {}",
            listed(&writes)
        );
        Ok(())
    })
}
