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
