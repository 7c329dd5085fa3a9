//! What a server is made of depends on its spec alone, whatever the spec was before.

use anyhow::{Context, Result};
use cluster_tests::paths;
use cluster_tests::{Outcome, Pods, random, scenario, world};

/// Fields that have nothing to do with each other share a server; in the level `long` each has its own.
#[test]
fn a_field_that_was_set_and_unset_leaves_no_trace() -> Outcome {
    Ok(world::run(async || {
        paths::check("paths", &paths::bundles(&paths::changes()?)?).await
    })?)
}

/// Few here, and the same each time; more of them, and others each time, in the level `long`.
#[test]
fn two_fields_that_were_set_and_unset_together_leave_no_trace() -> Outcome {
    Ok(world::run(async || -> Result<()> {
        let seed = random::same_seed()?;
        let pairs = paths::pairs(&paths::changes()?, 12, seed)?;
        paths::check("pairs", &pairs)
            .await
            .with_context(|| format!("with DITTOFS_TEST_SEED={seed}"))
    })?)
}

#[test]
fn a_field_that_cannot_change_is_refused() -> Outcome {
    scenario("refused", Pods::None, async |world| {
        paths::check_refused(world, &paths::refused()?).await
    })
}
