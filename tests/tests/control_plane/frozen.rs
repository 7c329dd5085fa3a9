//! Two processes and one lease: a leader that was frozen and has lost the lease writes nothing more when it wakes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster_tests::process::{Account, Process, another_holder};
use cluster_tests::wait::LIMIT;
use cluster_tests::world::{none_failed, run};
use cluster_tests::{Child, Outcome, Pods, World, until};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use rustix::process::Signal;
use serde_json::json;

const PROGRAM: &str = "server-controller";

/// The writes of the leader after which it is frozen: all that it makes for its servers, and some in between.
const POINTS: [usize; 8] = [1, 2, 3, 5, 7, 9, 12, 16];

/// Processes of as many points run at the same time.
const AT_A_TIME: usize = 4;

/// What may have been on its way to the network, already checked, when the process froze: each of its threads may
/// have been in the middle of sending a request.
fn under_way() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// Short, and long enough for a machine that stalls for ten seconds to renew it in time.
const LEASE: &str = "30s";

/// So many servers are made at once: the leader is in the middle of several of them.
const SERVERS: [&str; 3] = ["files", "films", "music"];

#[test]
fn a_leader_that_was_frozen_and_lost_its_lease_writes_nothing_more_when_it_wakes() -> Outcome {
    Ok(run(async || {
        let mut failures = Vec::new();
        let mut late = Vec::new();
        for points in POINTS.chunks(AT_A_TIME) {
            let outcomes = join_all(points.iter().map(|point| frozen_after(*point))).await;
            for (point, outcome) in points.iter().zip(outcomes) {
                match outcome {
                    Ok(writes) => late.push(writes),
                    Err(error) => failures.push(format!("after {point} writes: {error:#}")),
                }
            }
        }
        tracing::info!(?late, "requests of leaders that had lost their lease");
        none_failed(&failures)
    })?)
}

/// Freezes a leader after its n-th write until another one has done its work; gives the number of writes that it
/// sent after it woke.
async fn frozen_after(point: usize) -> Result<usize> {
    let world = World::create("frozen", Pods::None).await?;
    let outcome = freeze(&world, point).await;
    world.remove().await?;
    outcome
}

async fn freeze(world: &World, point: usize) -> Result<usize> {
    let namespace = world.namespace.as_str();
    let arguments = [
        "--namespace",
        namespace,
        "--leader-elect",
        "--lease-namespace",
        namespace,
        "--lease-duration",
        LEASE,
        "--http-address",
        "none",
    ];
    let first = Account::create(world, "first").await?;
    let second = Account::create(world, "second").await?;
    let mut leader = Process::start(PROGRAM, Some(&first), &arguments)?;
    let holder = another_holder(&world.admin, namespace, PROGRAM, None).await?;
    let standby = Process::start(PROGRAM, Some(&second), &arguments)?;
    until("the second process waits for the lease", async || {
        let asked = world.cluster.audit.since(world.beginning, &second.user)?;
        let waits = asked.iter().any(|entry| entry.resource == "leases");
        Ok(if waits { Ok(()) } else { Err(standby.said()) })
    })
    .await?;

    for server in SERVERS {
        world
            .create_json::<api_types::DittoServer>(world.manifest_of(server, json!({})))
            .await?;
    }
    let writes = |user: &str, since| -> Result<usize> {
        let entries = world.cluster.audit.since(since, user)?;
        Ok(entries.iter().filter(|entry| entry.is_write()).count())
    };
    // Faster than the usual looks: the point shall be hit.
    let patience = Instant::now() + LIMIT;
    while writes(&first.user, world.beginning)? < point {
        let said = leader.said();
        ensure!(
            Instant::now() < patience && !said.contains("the process ends"),
            "{said}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leader.signal(Signal::STOP)?;

    another_holder(&world.admin, namespace, PROGRAM, Some(&holder)).await?;
    let sets: Api<StatefulSet> = world.api();
    for server in SERVERS {
        world.observed(server).await?;
        until("the second process has made everything", async || {
            let set = sets.get_opt(&Child::StatefulSet.name(server)).await?;
            Ok(set.map(|_| ()).ok_or_else(|| standby.said()))
        })
        .await?;
    }
    let woken = world.cluster.audit.mark()?;
    leader.signal(Signal::CONT)?;
    let status = leader.ended().await?;
    ensure!(!status.success(), "it ended well: {}", leader.said());
    let late = writes(&first.user, woken)?;
    ensure!(
        late <= under_way()?,
        "{late} writes without the lease: {}",
        leader.said()
    );
    let said = leader.said();
    ensure!(said.contains("lease"), "it does not say why: {said}");
    let other = standby.said();
    ensure!(
        !other.contains("the process ends"),
        "the other ended: {other}"
    );
    Ok(late)
}
