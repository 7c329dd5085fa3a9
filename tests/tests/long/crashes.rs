//! A crash at every write of everything that a server goes through in its life: before the write is
//! sent, and after the API server did it and nobody heard of it. Each ends where the undisturbed run
//! ends, with as many creations, deletions and pods.

use cluster_tests::crash::scenarios::{Change, Create, Grow, Recreate, Rotate, TakeOver};
use cluster_tests::crash::{Crash, Scenario, every_write};
use cluster_tests::world::run;
use cluster_tests::{Outcome, Pods};

/// Each write is followed by a crash, and each write is lost.
fn replayed(scenario: &dyn Scenario) -> Outcome {
    Ok(run(async || {
        every_write(scenario, Crash::After).await?;
        every_write(scenario, Crash::LosingTheAnswerOf).await?;
        Ok(())
    })?)
}

#[test]
fn a_creation_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Create)
}

#[test]
fn a_change_of_everything_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Change)
}

#[test]
fn a_growth_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Grow)
}

#[test]
fn a_rotation_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Rotate(Pods::None))
}

#[test]
fn a_deletion_that_keeps_the_data_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Recreate {
        when_deleted: "Retain",
        pods: Pods::None,
    })
}

#[test]
fn a_deletion_with_the_data_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&Recreate {
        when_deleted: "Delete",
        pods: Pods::None,
    })
}

#[test]
fn a_takeover_ends_the_same_after_a_crash_at_any_write() -> Outcome {
    replayed(&TakeOver(Pods::None))
}
