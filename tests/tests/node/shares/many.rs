//! Many shares on one server: what they cost it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::request_log::{Answered, answered};
use cluster_tests::shares::{make, ready};
use cluster_tests::{Controller, Outcome, Pods, World, adapters, scenario};
use serde_json::json;

/// Number of shares.
const SHARES: usize = 60;
/// Requests that may change something, for each share that is made.
const WRITES_EACH: usize = 6;
/// Longer than the interval between two looks, with its jitter.
const WINDOW: Duration = Duration::from_secs(150);
/// Time between two looks, as people have it.
const INTERVAL: Duration = Duration::from_secs(60);
/// Requests for one look, whatever the number of shares: the lists, and permissions and NFS options of so
/// many shares at a time.
const LOOK: usize = 15 + 2 * 50;

/// What the share-controller asked: people and the other controllers ask nothing about shares here.
async fn about_shares(world: &World) -> Result<Vec<Answered>> {
    let mut requests = answered(world).await?;
    requests.retain(Answered::is_about_shares);
    Ok(requests)
}

fn counted(requests: &[Answered]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for Answered { method, path, .. } in requests {
        let first = path.split('/').nth(1).unwrap_or_default();
        *counts.entry(format!("{method} /{first}")).or_default() += 1;
    }
    format!("{counts:?}")
}

#[test]
fn many_shares_cost_few_requests_to_make_and_none_that_write_afterwards() -> Outcome {
    scenario("many", Pods::Run, async |world| {
        let shares = Controller::shares_of(&[world], INTERVAL).await?;
        let _others = adapters::served(world, json!({})).await?;
        let before = about_shares(world).await?.len();
        let spec = json!({"metadataStore": {"type": "memory"}, "blockStore": {"local": {"type": "memory"}},
            "quota": "1Mi", "access": {"defaultPermission": "read", "nfs": {"squash": "none"}}});
        for number in 0..SHARES {
            make(world, &format!("share-{number}"), spec.clone()).await?;
        }
        for number in 0..SHARES {
            let name = format!("share-{number}");
            ready(world, &name).await.context(name)?;
        }
        shares.quiet().await?;
        let all = about_shares(world).await?;
        let made = all.get(before..).context("the log begins anew")?;
        // The account is made once for the server.
        let of_shares =
            |request: &&Answered| request.is_write() && !request.path.starts_with("/users");
        let writes = made.iter().filter(of_shares).count();
        println!(
            "to make {SHARES} shares: {} requests, {writes} writes: {}",
            made.len(),
            counted(made)
        );
        ensure!(
            writes <= SHARES * WRITES_EACH,
            "{writes} writes for {SHARES} shares: {}",
            counted(made)
        );

        let before = all.len();
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(WINDOW).await;
        let all = about_shares(world).await?;
        let idle = all.get(before..).context("the log begins anew")?;
        let writes: Vec<_> = idle.iter().filter(|request| request.is_write()).collect();
        println!("in {WINDOW:?}: {} requests: {}", idle.len(), counted(idle));
        ensure!(writes.is_empty(), "written: {writes:?}");
        ensure!(!idle.is_empty(), "nobody looked");
        // At most one look for each 45 s: 60 s with jitter.
        let looks = usize::try_from(WINDOW.as_secs() / 45)? + 1;
        ensure!(
            idle.len() <= looks * LOOK,
            "{} requests for {looks} looks: {}",
            idle.len(),
            counted(idle)
        );
        let written = world.writes(mark)?;
        let written: Vec<_> = written
            .iter()
            .filter(|entry| entry.resource != "pods/portforward")
            .collect();
        ensure!(
            written.is_empty(),
            "{}",
            cluster_tests::audit::listed(written)
        );
        Ok(())
    })
}
