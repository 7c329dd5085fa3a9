//! A crash at every write of a server's creation.

use anyhow::{Result, ensure};
use cluster_tests::Outcome;
use cluster_tests::crash::{Crash, Undisturbed, recovers, undisturbed};
use cluster_tests::world::run;

/// Far more writes than a creation takes.
const MOST: u64 = 60;

/// Crashes later and later until a run ends before its crash, which so has covered every write.
async fn every(first: u64, crash: impl Fn(u64) -> Crash) -> Result<()> {
    let expected: Undisturbed = undisturbed().await?;
    let mut covered = 0;
    for n in first..MOST {
        if !recovers(crash(n), &expected, Vec::new()).await? {
            covered = n;
            break;
        }
    }
    ensure!(covered > 0, "no run ended before its crash");
    // How often the status is written between depends on what else happens when, but every child
    // and the first status are among the writes of each run.
    let least = u64::try_from(expected.created)?;
    ensure!(
        covered > least,
        "only {covered} writes were covered, although {least} objects are created"
    );
    Ok(())
}

#[test]
fn a_crash_after_any_write_ends_like_an_undisturbed_run() -> Outcome {
    Ok(run(async || every(0, Crash::After).await)?)
}

#[test]
fn a_lost_answer_to_any_write_ends_like_an_undisturbed_run() -> Outcome {
    Ok(run(async || every(1, Crash::LosingTheAnswerOf).await)?)
}
