//! A leader whose process is frozen beyond its lease, while another one works: what it sends when it wakes up.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::v1alpha1::AdapterKind::Nfs;
use cluster_tests::adapters::{Admin, address, served};
use cluster_tests::request_log::{Answered, answered};
use cluster_tests::wait::within;
use cluster_tests::{Outcome, Pods, World, scenario};
use k8s_openapi::api::coordination::v1::Lease;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

const LEASE: &str = "frozen";

/// Long enough for a machine that stalls for ten seconds to renew it in time.
const LEASE_DURATION: &str = "30s";

/// Longer than that, and than the time between two looks at the server.
const FROZEN: Duration = Duration::from_secs(45);

/// Many times the lease, on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

/// A process of the adapter-controller that is shipped. Dropped, it is killed.
struct Process(Child);

impl Process {
    fn start(world: &World, name: &str) -> Result<Self> {
        let log =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", world.namespace));
        let log = std::fs::File::create(log)?;
        let child = Command::new(env!("CARGO_BIN_EXE_adapter-controller-process"))
            .args(["--namespace", &world.namespace])
            .args(["--leader-elect=true", "--lease-duration", LEASE_DURATION])
            .args(["--lease-name", LEASE, "--lease-namespace", &world.namespace])
            .args(["--api-transport", "port-forward", "--http-address", "none"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Process(child))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Waits until it has ended by itself.
    async fn ended(&mut self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while self.0.try_wait()?.is_none() {
            ensure!(
                Instant::now() < end,
                "the process that lost its lease does not end"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who holds the lease.
async fn holder(world: &World) -> Result<Option<String>> {
    let lease = world.api::<Lease>().get_opt(LEASE).await?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity))
}

/// Waits until another one than `before` holds the lease.
async fn led(world: &World, before: Option<&str>) -> Result<String> {
    within(LIMIT, "another process leads", async || {
        Ok(match holder(world).await? {
            Some(now) if Some(now.as_str()) != before && !now.is_empty() => Ok(now),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

async fn declare(world: &World, seconds: u64) -> Result<()> {
    let settings = json!({"nfs": {"settings": {"leaseTime": seconds}}});
    world
        .change(json!({"spec": {"adapters": settings}}))
        .await?;
    Ok(())
}

async fn live(admin: &Admin) -> Result<u64> {
    let settings = admin.get("/adapters/nfs/settings").await?;
    settings["lease_time"].as_u64().context("no lease time")
}

async fn becomes(admin: &Admin, seconds: u64) -> Result<()> {
    within(LIMIT, &format!("the server has {seconds}"), async || {
        let now = live(admin).await?;
        Ok(if now == seconds {
            Ok(())
        } else {
            Err(now.to_string())
        })
    })
    .await
}

/// What was sent that changes something, log-ins apart.
async fn writes(world: &World) -> Result<Vec<Answered>> {
    let mut requests = answered(world).await?;
    requests.retain(Answered::is_write);
    Ok(requests)
}

#[test]
fn adapter_frozen_leaders_send_at_most_what_was_under_way() -> Outcome {
    scenario("frozen", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        adapters.stop().await?;
        let mut leader = Process::start(world, "0")?;
        let mut holds = led(world, None).await?;
        // It is frozen at several moments of what it does about a new setting.
        for (round, pause) in [0, 300].into_iter().enumerate() {
            let old = 50 + u64::try_from(round)? * 10;
            let next = Process::start(world, &format!("{}", round + 1))?;
            declare(world, old).await?;
            if round == 0 {
                becomes(&admin, old).await?;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            leader.signal(Signal::STOP)?;
            let frozen = Instant::now();
            holds = led(world, Some(&holds)).await?;

            // What it knows is no longer so; its own time to look has long come when it wakes up.
            declare(world, old + 5).await?;
            becomes(&admin, old + 5).await?;
            world
                .condition("AdaptersReady", "True", "AdaptersHealthy")
                .await?;
            tokio::time::sleep_until(frozen + FROZEN).await;
            let before = writes(world).await?;
            leader.signal(Signal::CONT)?;
            leader.ended().await?;
            let after = writes(world).await?;
            let sent = &after[before.len()..];
            println!("frozen {pause} ms after a change: {sent:?}");
            ensure!(sent.len() <= 1, "the one that was frozen sent {sent:?}");
            ensure!(
                holder(world).await?.as_ref() == Some(&holds),
                "it has the lease again"
            );
            becomes(&admin, old + 5).await?;
            leader = next;
        }
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}
