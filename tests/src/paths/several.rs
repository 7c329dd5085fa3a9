//! Several fields at once.

use anyhow::{Context, Result, bail};
use dittofs_validate::Validator;
use fastrand::Rng;

use super::fields::{Change, Steps};

/// Fields of one bundle at most: what they leave is told apart by its place.
const BUNDLE: usize = 8;

/// All of `changes` in few servers: fields that have nothing to do with each other are changed at the
/// same time.
///
/// # Errors
/// When the schema cannot be read.
pub fn bundles(changes: &[Change]) -> Result<Vec<Steps>> {
    let validator = Validator::new()?;
    let mut bundles: Vec<Vec<&Change>> = Vec::new();
    for change in changes {
        let place = bundles.iter_mut().find(|bundle| {
            let with: Vec<&Change> = bundle.iter().copied().chain([change]).collect();
            bundle.len() < BUNDLE
                && bundle.iter().all(|other| are_independent(change, other))
                && Steps::of(&with).are_taken(&validator)
        });
        match place {
            Some(bundle) => bundle.push(change),
            None => bundles.push(vec![change]),
        }
    }
    Ok(bundles.iter().map(|bundle| Steps::of(bundle)).collect())
}

fn are_independent(one: &Change, two: &Change) -> bool {
    let inside = |at: &str, other: &str| at == other || at.starts_with(&format!("{other}."));
    let exclusive = one.alone || two.alone || one.is_exclusive() || two.is_exclusive();
    !exclusive && one.with == two.with && !inside(&one.at, &two.at) && !inside(&two.at, &one.at)
}

/// `count` random pairs of `changes`: both fields are set, changed and unset together. The same seed
/// gives the same pairs. What the API server would refuse is left out.
///
/// # Errors
/// When the schema cannot be read, or there are too few pairs.
pub fn pairs(changes: &[Change], count: usize, seed: u64) -> Result<Vec<Steps>> {
    let validator = Validator::new()?;
    let mut random = Rng::with_seed(seed);
    let mut found: Vec<Steps> = Vec::new();
    for _ in 0..count.saturating_mul(100) {
        if found.len() == count {
            return Ok(found);
        }
        let one = random.choice(changes).context("no changes")?;
        let two = random.choice(changes).context("no changes")?;
        if one.at == two.at || one.is_exclusive() || two.is_exclusive() {
            continue;
        }
        let both = Steps::of(&[one, two]);
        let known = found.iter().any(|known| known.name == both.name);
        if !known && both.are_taken(&validator) {
            found.push(both);
        }
    }
    bail!("there are fewer than {count} pairs")
}
