//! Waiting for a condition, with a limit and a report of what was seen last.

use std::time::Duration;

use anyhow::{Error, Result, bail};
use tokio::time::Instant;

/// Far beyond what anything takes on a busy machine: only a defect reaches it.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Time between two looks.
const PACE: Duration = Duration::from_millis(100);

/// Waits until `probe` gives a value. Its inner error says what it saw instead; the outer one ends
/// the wait at once, unless it only says that the API server cannot answer at the moment.
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
        let seen = match probe().await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => seen,
            Err(error) if is_passing(&error) => format!("{error:#}"),
            Err(error) => return Err(error),
        };
        if Instant::now() >= end {
            bail!("after {limit:?} still not: {what}; last seen: {seen}");
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether the API server gave no answer, or none that is about the question: as while the disk of etcd stalls.
fn is_passing(error: &Error) -> bool {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
        Some(kube::Error::HyperError(_) | kube::Error::Service(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_what_is_no_answer_to_the_question_is_waited_out() {
        let answer = |code| {
            let status = Status::failure("made up by a test", "Reason").with_code(code);
            Error::from(kube::Error::Api(status.boxed()))
        };
        for (error, passes) in [
            (answer(500), true),
            (answer(504), true),
            (answer(429), true),
            (answer(403), false),
            (answer(404), false),
            (answer(409), false),
            (anyhow!("the controller has ended"), false),
            (Error::from(kube::Error::Service("cut".into())), true),
        ] {
            let wrapped = Err::<(), _>(error).context("reading").unwrap_err();
            assert_eq!(is_passing(&wrapped), passes, "{wrapped:#}");
        }
    }
}
