//! Many shares on one server: what they cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::DittoFSShare;
use cluster_tests::shares::{self, Stage};
use cluster_tests::wait::within;
use cluster_tests::{Outcome, Pods, request_log, scenario};
use kube::api::ListParams;
use serde_json::json;

/// Number of shares.
const SHARES: usize = 500;

/// Time for all of them to become ready.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Resident memory of this process, in which the controllers run, in MiB; of use when no other test runs beside it.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse::<u64>()? / 1024)
}

#[test]
fn shares_in_hundreds_cost_six_requests_each_and_then_none_that_change_anything() -> Outcome {
    scenario("fleet", Pods::Run, async |world| {
        let logging = json!({"logging": {"level": "INFO", "format": "json"}});
        let _stage = Stage::set(world, logging).await?;
        let before = resident()?;
        let began = Instant::now();
        for number in 0..SHARES {
            let spec =
                json!({"access": {"defaultPermission": "read-write", "nfs": {"squash": "none"}}});
            shares::make(world, &format!("s{number}"), spec).await?;
        }
        let made = began.elapsed();
        within(PATIENCE, "all shares are ready", async || {
            let list = world
                .api::<DittoFSShare>()
                .list(&ListParams::default())
                .await?;
            let ready = list
                .items
                .iter()
                .filter(|share| shares::conditions(share).contains("Ready=True AllReady"))
                .count();
            Ok(if ready == SHARES {
                Ok(())
            } else {
                Err(format!("{ready} are ready"))
            })
        })
        .await?;
        let ready = began.elapsed();
        println!(
            "memory of the test's process: {before} MiB before, {} MiB with all shares",
            resident()?
        );
        let log = request_log::answered(world).await?;
        let about = log.iter().filter(|request| request.is_about_shares());
        let (writes, reads): (Vec<_>, Vec<_>) = about.partition(|request| request.is_write());
        let of_one = log.iter().filter(|request| {
            request
                .path
                .split('/')
                .any(|part| part == "s77" || part == "operator.share.s77")
        });
        println!(
            "{SHARES} shares: made in {made:?}, ready after {ready:?}; {} requests that change something, {} that read; of one share by name: {:?}",
            writes.len(),
            reads.len(),
            of_one.map(ToString::to_string).collect::<Vec<_>>()
        );
        // The marker, two stores, the share, and its NFS options.
        ensure!(writes.len() <= 5 * SHARES + 20, "{} writes", writes.len());

        let before = log.len();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let log = request_log::answered(world).await?;
        let (writes, reads): (Vec<_>, Vec<_>) = log[before..]
            .iter()
            .filter(|request| request.is_about_shares())
            .partition(|request| request.is_write());
        println!(
            "in a minute with a comparison every 10 s: {} requests that read",
            reads.len()
        );
        ensure!(writes.is_empty(), "{writes:?}");
        // Nine lists, and the details of 50 shares at most, each time.
        ensure!(reads.len() <= 7 * (9 + 2 * 50), "{} reads", reads.len());
        Ok(())
    })
}
