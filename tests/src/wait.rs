//! Waiting for a condition, with a limit and a report of what was seen last.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Far beyond what anything takes on a busy machine: only a defect reaches it.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Time between two looks.
const PACE: Duration = Duration::from_millis(100);

/// Waits until `probe` gives a value. Its inner error says what it saw instead; the outer one ends
/// the wait at once.
///
/// # Errors
/// The outer error of `probe`, or what it saw last when [`LIMIT`] has passed.
pub async fn until<T>(
    what: &str,
    probe: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    within(LIMIT, what, probe).await
}

/// As [`until`], with a limit of its own.
///
/// # Errors
/// As [`until`].
pub async fn within<T>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match probe().await? {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= end => {
                bail!("after {limit:?} still not: {what}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(PACE).await,
        }
    }
}
