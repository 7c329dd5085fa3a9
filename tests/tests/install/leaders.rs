//! Two processes of each controller: who leads, and what happens when that one stops, dies or hangs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster_tests::deployed::{alone, install, leader, pods, restarts, signal};
use cluster_tests::installation::OPERATOR;
use cluster_tests::process::another_holder;
use cluster_tests::wait::within;
use cluster_tests::world::run;
use cluster_tests::{Cluster, Outcome, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use rustix::process::Signal;

/// What the Deployments leave at its default (`--lease-duration`).
const LEASE: Duration = Duration::from_secs(15);

/// A contender looks so often; the rest is for a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// Far less than a lease lasts: only a leader that gives it up is followed so soon.
const HAND_OVER: Duration = Duration::from_secs(5);

#[test]
fn a_leader_that_is_stopped_hands_over_at_once() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        install().await?;
        let cluster = Cluster::connect().await?;
        let (identity, pod) = leader(&cluster, "server-controller").await?;
        let api: Api<Pod> = Api::namespaced(cluster.admin.clone(), OPERATOR);
        let began = Instant::now();
        api.delete(&pod.name_any(), &DeleteParams::default())
            .await?;
        let next = followed(&cluster, "server-controller", &identity).await?;
        let took = began.elapsed();
        println!("stopped: another leads after {took:?}");
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
        futures::future::try_join(died, hung).await?;
        Ok(())
    })?)
}

/// Sends the leader a signal that it cannot handle; another one leads, and the kubelet starts it again.
async fn replaced(cluster: &Cluster, controller: &str, by: Signal) -> Result<()> {
    let (identity, pod) = leader(cluster, controller).await?;
    let before = restarts(&pod)?;
    let began = Instant::now();
    signal(&pod, controller, by)?;
    let next = followed(cluster, controller, &identity).await?;
    let took = began.elapsed();
    println!("{by:?}: another leads as {controller} after {took:?}");
    ensure!(took < LEASE + SLACK, "{next} leads after {took:?}");
    // One that hangs is noticed by its liveness probe: three in a row, ten seconds apart.
    let patience = Duration::from_secs(120);
    within(patience, "the container was started again", async || {
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
    println!("{by:?}: started again after {:?}", began.elapsed());
    Ok(())
}

async fn followed(cluster: &Cluster, controller: &str, than: &str) -> Result<String> {
    another_holder(&cluster.admin, OPERATOR, controller, Some(than)).await
}

/// A process that cannot see the cluster is not ready and says what it misses; it is alive.
#[test]
fn readiness_follows_the_watches() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        install().await?;
        let cluster = Cluster::connect().await?;
        let (_, pod) = leader(&cluster, "share-controller").await?;
        let name = "dittofs-share-controller";
        let binding: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> =
            Api::all(cluster.admin.clone());
        binding.delete(name, &DeleteParams::default()).await?;
        let api: Api<Pod> = Api::namespaced(cluster.admin.clone(), OPERATOR);
        api.delete(&pod.name_any(), &DeleteParams::default())
            .await?;
        let unready = until("the new leader is not ready", async || {
            let (_, now) = leader(&cluster, "share-controller").await?;
            Ok(match is_ready(&now) {
                Some(false) if now.uid() != pod.uid() => Ok(now),
                other => Err(format!("{} ready: {other:?}", now.name_any())),
            })
        })
        .await?;
        let path = format!(
            "/api/v1/namespaces/{OPERATOR}/pods/{}:8080/proxy/readyz",
            unready.name_any()
        );
        let said = cluster_tests::kubectl::kubectl(&["get", "--raw", &path], "").await;
        let said = format!("{said:?}");
        ensure!(said.contains("not synced: dittofsshares"), "{said}");
        install().await?;
        until("it is ready", async || {
            let now = api.get(&unready.name_any()).await?;
            Ok(if is_ready(&now) == Some(true) && restarts(&now)? == 0 {
                Ok(())
            } else {
                Err(format!("{:?}", now.status))
            })
        })
        .await
    })?)
}

fn is_ready(pod: &Pod) -> Option<bool> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")?;
    Some(ready.status == "True")
}
