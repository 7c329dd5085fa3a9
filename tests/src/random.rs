//! Names that no other test has.

use anyhow::{Context, Result};

/// Eight random hexadecimal digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn suffix() -> Result<String> {
    let number = getrandom::u32().context("the system gives no random bytes")?;
    Ok(format!("{number:08x}"))
}

/// The seed of a random test: that in `DITTOFS_TEST_SEED`, to repeat a failed one, or a new one.
///
/// # Errors
/// When the variable is no number, or the system gives no random bytes.
pub fn seed() -> Result<u64> {
    match asked_for()? {
        Some(seed) => Ok(seed),
        None => getrandom::u64().context("the system gives no random bytes"),
    }
}

/// The seed of a test that judges a change: that in `DITTOFS_TEST_SEED`, or the same each time, so that one commit has
/// one verdict.
///
/// # Errors
/// When the variable is no number.
pub fn same_seed() -> Result<u64> {
    Ok(asked_for()?.unwrap_or(1))
}

fn asked_for() -> Result<Option<u64>> {
    let seed = std::env::var("DITTOFS_TEST_SEED").ok();
    seed.map(|seed| seed.parse().context("DITTOFS_TEST_SEED is no number"))
        .transpose()
}
