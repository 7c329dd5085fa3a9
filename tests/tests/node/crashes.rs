//! A crash in the middle of something, under a running pod: it restarts as often as without.

use anyhow::{Result, ensure};
use cluster_tests::crash::scenarios::{Recreate, Rotate, TakeOver};
use cluster_tests::crash::{Crash, Scenario, recovers, undisturbed};
use cluster_tests::world::run;
use cluster_tests::{Outcome, Pods};

async fn sample(scenario: &dyn Scenario, crashes: &[Crash]) -> Result<()> {
    let expected = undisturbed(scenario).await?;
    for crash in crashes {
        ensure!(
            recovers(scenario, *crash, &expected, Vec::new()).await?,
            "{crash:?} never came to pass"
        );
    }
    Ok(())
}

#[test]
fn a_rotation_that_a_crash_interrupts_restarts_the_pod_as_often_as_without() -> Outcome {
    Ok(run(async || {
        let crashes = [Crash::After(1), Crash::LosingTheAnswerOf(2)];
        sample(&Rotate(Pods::Run), &crashes).await
    })?)
}

#[test]
fn a_deletion_that_a_crash_interrupts_deletes_the_pod_before_the_data() -> Outcome {
    let scenario = Recreate {
        when_deleted: "Delete",
        pods: Pods::Run,
    };
    Ok(run(async || {
        let crashes = [Crash::After(2), Crash::LosingTheAnswerOf(4)];
        sample(&scenario, &crashes).await
    })?)
}

#[test]
fn a_takeover_that_a_crash_interrupts_restarts_the_pod_once() -> Outcome {
    Ok(run(async || {
        let crashes = [Crash::After(6), Crash::LosingTheAnswerOf(11)];
        sample(&TakeOver(Pods::Run), &crashes).await
    })?)
}
