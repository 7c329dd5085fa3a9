//! A running server that is as it shall be costs nothing.

use std::time::Duration;

use anyhow::ensure;
use cluster_tests::audit::listed;
use cluster_tests::{Controller, Outcome, Pods, scenario};
use serde_json::json;

#[test]
fn a_running_server_costs_no_write_and_no_list() -> Outcome {
    scenario("steady", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({"metrics": {"enabled": true}})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(Duration::from_secs(60)).await;
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

        controller.stop().await?;
        let mark = world.cluster.audit.mark()?;
        let controller = Controller::start(world).await?;
        controller.visited_after(0).await?;
        controller.quiet().await?;
        let writes = world.writes(mark)?;
        ensure!(
            writes.is_empty(),
            "written after a restart: {}",
            listed(&writes)
        );
        Ok(())
    })
}
