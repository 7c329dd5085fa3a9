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
    match std::env::var("DITTOFS_TEST_SEED") {
        Ok(seed) => seed.parse().context("DITTOFS_TEST_SEED is no number"),
        Err(_) => getrandom::u64().context("the system gives no random bytes"),
    }
}
