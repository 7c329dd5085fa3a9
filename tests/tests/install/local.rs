//! A controller of this machine beside the others in the cluster, as `just run` starts it.

use anyhow::{Result, ensure};
use cluster_tests::deployed::{CONTROLLERS, alone, install, leader, scaled};
use cluster_tests::installation::OPERATOR;
use cluster_tests::process::{Process, holder};
use cluster_tests::shares::{SHARE, ready_made};
use cluster_tests::world::run;
use cluster_tests::{Cluster, Outcome, Pods, World, scenario, until};
use rustix::process::Signal;
use serde_json::json;

/// What docs/development.md says.
const BESIDE: [&str; 5] = [
    "--leader-elect",
    "--lease-namespace",
    OPERATOR,
    "--http-address",
    "127.0.0.1:0",
];

#[test]
fn each_controller_can_be_one_of_this_machine_that_takes_the_lease() -> Outcome {
    let _alone = alone();
    run(install)?;
    scenario("local", Pods::Run, async |world| {
        world.serve(json!({})).await?;
        world.condition("Ready", "True", "AllReady").await?;
        for controller in CONTROLLERS {
            takes_over(world, controller).await?;
        }
        Ok(())
    })
}

/// While another leads it waits and writes nothing; with none left in the cluster it takes the lease, works, and
/// gives the lease back at its end.
async fn takes_over(world: &World, controller: &str) -> Result<()> {
    let (leading, _) = leader(&world.cluster, controller).await?;
    let mut local = Process::start(controller, None, &BESIDE)?;
    until("it waits for the lease", async || {
        let said = local.said();
        Ok(if said.contains("serving") {
            Ok(())
        } else {
            Err(said)
        })
    })
    .await?;
    let still = holder(&world.admin, OPERATOR, controller).await?;
    ensure!(still.as_ref() == Some(&leading), "{still:?} leads");

    scaled(controller, 0).await?;
    // A pod that ends may have held it for a moment, or until it runs out.
    until("it leads, and says so", async || {
        let own = holder(&world.admin, OPERATOR, controller).await?;
        let said = local.said();
        Ok(match own {
            Some(own) if own != leading && said.contains(&own) => Ok(()),
            other => Err(format!("{other:?} leads: {said}")),
        })
    })
    .await?;
    works(world, controller).await?;

    local.signal(Signal::TERM)?;
    let status = local.ended().await?;
    ensure!(status.success(), "{status}: {}", local.said());
    scaled(controller, 2).await?;
    let cluster: &Cluster = &world.cluster;
    leader(cluster, controller).await?;
    Ok(())
}

/// Something that only this controller does, in a server that it reaches by port-forward if at all.
async fn works(world: &World, controller: &str) -> Result<()> {
    match controller {
        "server-controller" => {
            let patch = json!({"spec": {"metrics": {"enabled": true}}});
            world.change(patch).await?;
            world.condition("Available", "True", "PodServing").await?;
        }
        "adapter-controller" => {
            let patch =
                json!({"spec": {"adapters": {"smb": {"settings": {"maxConnections": 77}}}}});
            world.change(patch).await?;
            world
                .condition("AdaptersReady", "True", "AdaptersHealthy")
                .await?;
        }
        _ => {
            ready_made(world, SHARE, json!({})).await?;
        }
    }
    Ok(())
}
