//! A crash at any write leaves nothing that the next controller does not put right. All of them
//! are tried in the target `long`; here a sample.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::crash::scenarios::Create;
use cluster_tests::crash::{Crash, Undisturbed, recovers, recovers_within, undisturbed};
use cluster_tests::faults::{Fault, Kind};
use cluster_tests::world::run;
use cluster_tests::{Child, Outcome, SERVER};
use controller_runtime::seam::Verb;

async fn all(crashes: Vec<Crash>, expected: &Undisturbed) -> Result<()> {
    for crash in crashes {
        ensure!(
            recovers(&Create, crash, expected, Vec::new()).await?,
            "{crash:?} never came to pass"
        );
    }
    Ok(())
}

#[test]
fn a_crash_between_writes_ends_like_an_undisturbed_run() -> Outcome {
    Ok(run(async || {
        let expected = undisturbed(&Create).await?;
        ensure!(expected.writes > 8, "only {} writes", expected.writes);
        all([0, 1, 2, 5].map(Crash::After).to_vec(), &expected).await
    })?)
}

#[test]
fn a_crash_that_loses_an_answer_ends_like_an_undisturbed_run() -> Outcome {
    Ok(run(async || {
        let expected = undisturbed(&Create).await?;
        all(
            [1, 2, 3, 8].map(Crash::LosingTheAnswerOf).to_vec(),
            &expected,
        )
        .await
    })?)
}

/// The comparison would be worth nothing if it could not fail: here the second controller does not
/// see the Secret that the first one made, as if it did not adopt what exists.
#[test]
fn a_missing_adoption_is_noticed() -> Outcome {
    Ok(run(async || {
        let expected = undisturbed(&Create).await?;
        let hidden = Child::Admin.name(SERVER);
        let blind = Fault::new(Kind::Answer(404, "NotFound"), move |request| {
            request.verb == Verb::Get && request.path.ends_with(&hidden)
        });
        let limit = Duration::from_secs(20);
        let outcome =
            recovers_within(limit, &Create, Crash::After(4), &expected, vec![blind]).await;
        let error = outcome.err().context("the planted defect went unnoticed")?;
        let text = format!("{error:#}");
        ensure!(
            text.contains("StatefulSet files is missing"),
            "another failure: {text}"
        );
        // What is reported is the missing adoption, not what differs between any two runs.
        ensure!(
            !text.contains("Secret files-"),
            "the Secrets differ: {text}"
        );
        Ok(())
    })?)
}
