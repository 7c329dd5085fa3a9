//! Five minutes without a write or a list.

use std::time::Duration;

use anyhow::ensure;
use cluster_tests::audit::listed;
use cluster_tests::{Controller, Outcome, Pods, scenario};
use serde_json::json;

#[test]
fn a_running_server_costs_nothing_for_minutes() -> Outcome {
    scenario("steady", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({"metrics": {"enabled": true}})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        // Longer than a watch lasts at the API server's default (5 to 10 minutes) would be too
        // long here; five minutes cover every timer of the controller.
        tokio::time::sleep(Duration::from_secs(300)).await;
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
        Ok(())
    })
}
