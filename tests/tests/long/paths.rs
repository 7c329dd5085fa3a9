//! What a server is made of depends on its spec alone, field by field and for many pairs of fields.

use anyhow::{Context, Result};
use cluster_tests::paths::{self, Change, Steps};
use cluster_tests::world::run;
use cluster_tests::{Outcome, random};

#[test]
fn a_field_that_was_set_and_unset_alone_leaves_no_trace() -> Outcome {
    Ok(run(async || {
        let changes: Vec<Steps> = paths::changes()?.iter().map(Change::steps).collect();
        paths::check("each-path", &changes).await
    })?)
}

#[test]
fn many_pairs_of_fields_leave_no_trace() -> Outcome {
    Ok(run(async || -> Result<()> {
        let seed = random::seed()?;
        let pairs = paths::pairs(&paths::changes()?, 100, seed)?;
        paths::check("many-pairs", &pairs)
            .await
            .with_context(|| format!("with DITTOFS_TEST_SEED={seed}"))
    })?)
}
