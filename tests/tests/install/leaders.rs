//! Two processes of each controller: who leads, and what happens when that one stops, dies or hangs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster_tests::deployed::{alone, install, leader, pods, restarts, signal};
use cluster_tests::installation::OPERATOR;
use cluster_tests::process::{another_holder, holder};
use cluster_tests::wait::within;
use cluster_tests::world::run;
use cluster_tests::{Cluster, Outcome};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use rustix::process::Signal;

/// What the Deployments leave at its default (`--lease-duration`).
const LEASE: Duration = Duration::from_secs(15);

/// A contender looks so often; the rest is for a busy machine.
const SLACK: Duration = Duration::from_secs(30);

/// For what the kubelet does.
const PATIENCE: Duration = Duration::from_secs(300);

/// A contender looks every second.
const HAND_OVER: Duration = Duration::from_secs(10);

#[test]
fn a_leader_that_is_stopped_hands_over_at_once() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        install().await?;
        let cluster = Cluster::connect().await?;
        let (identity, pod) = leader(&cluster, "server-controller").await?;
        let api: Api<Pod> = Api::namespaced(cluster.admin.clone(), OPERATOR);
        api.delete(&pod.name_any(), &DeleteParams::default())
            .await?;
        let began = Instant::now();
        let mut given_up = None;
        let next = loop {
            match holder(&cluster.admin, OPERATOR, "server-controller").await? {
                Some(holder) if holder != identity => break holder,
                Some(_) => {}
                None => {
                    given_up.get_or_insert_with(Instant::now);
                }
            }
            ensure!(began.elapsed() < PATIENCE, "nobody else leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // A look that is too slow to see the lease without a holder has seen a fast hand-over.
        let took = given_up.unwrap_or(began).elapsed();
        println!(
            "stopped: {next} leads {took:?} after it was given up, {:?} after the deletion",
            began.elapsed()
        );
        ensure!(took < HAND_OVER, "{next} leads after {took:?}");
        Ok(())
    })?)
}

#[test]
fn a_leader_that_dies_or_hangs_is_followed_within_its_lease_and_started_again() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        install().await?;
        let cluster = Cluster::connect().await?;
        let died = replaced(&cluster, "share-controller", Signal::KILL);
        let hung = replaced(&cluster, "adapter-controller", Signal::STOP);
        let (died, hung) = futures::future::try_join(died, hung).await?;
        println!("killed: {died}; hung: {hung}");
        Ok(())
    })?)
}

/// Sends the leader a signal that it cannot handle; another one leads, and the kubelet starts it again. Says how
/// long both took.
async fn replaced(cluster: &Cluster, controller: &str, by: Signal) -> Result<String> {
    let (identity, pod) = leader(cluster, controller).await?;
    let before = restarts(&pod)?;
    let began = Instant::now();
    signal(&pod, controller, by)?;
    let next = followed(cluster, controller, &identity).await?;
    let took = began.elapsed();
    ensure!(took < LEASE + SLACK, "{next} leads after {took:?}");
    // One that hangs is noticed by its liveness probe: three in a row, ten seconds apart.
    within(PATIENCE, "the container was started again", async || {
        let pods = pods(cluster, controller).await?;
        let same = pods.iter().find(|other| other.uid() == pod.uid());
        let now = same.map(restarts).transpose()?;
        Ok(if now.is_some_and(|now| now > before) {
            Ok(())
        } else {
            Err(format!("{now:?} restarts"))
        })
    })
    .await?;
    let again = began.elapsed();
    Ok(format!(
        "another leads as {controller} after {took:?}, started again after {again:?}"
    ))
}

async fn followed(cluster: &Cluster, controller: &str, than: &str) -> Result<String> {
    another_holder(&cluster.admin, OPERATOR, controller, Some(than)).await
}
