//! The event stream of one watch: endless, with back-off instead of errors.

use std::{fmt::Debug, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    runtime::watcher::{self, Config, Event},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// Shortest and longest pause after a failure, before jitter.
const PAUSES: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// Pause while the API server does not know a kind that may be absent.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(120);

/// Longest pause while the API server does not know a kind that the controller
/// cannot do without: its CRD is about to be installed.
const AWAITED_KIND_PAUSE: Duration = Duration::from_secs(5);

/// A watch that has not failed for this long starts again with short pauses.
const CALM: Duration = Duration::from_secs(120);

/// Events of one collection, without end. A failed watch pauses with jitter
/// and goes on where it was; failures are logged when they begin.
pub(super) fn events<T>(
    name: String,
    api: Api<T>,
    config: Config,
    optional: bool,
) -> impl Stream<Item = Event<T>> + Send
where
    T: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watcher = watcher::watcher(api, config).boxed();
    stream::unfold(
        (watcher, Pauses::new(name, optional)),
        |(mut watcher, mut pauses)| async move {
            loop {
                match watcher.next().await? {
                    Ok(event) => return Some((event, (watcher, pauses))),
                    Err(error) => pauses.pause_after(&error).await,
                }
            }
        },
    )
}

struct Pauses {
    name: String,
    optional: bool,
    backoff: ExponentialBackoff,
    last_failure: Option<Instant>,
}

impl Pauses {
    fn new(name: String, optional: bool) -> Self {
        Self {
            name,
            optional,
            backoff: Self::fresh(),
            last_failure: None,
        }
    }

    fn fresh() -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(PAUSES.0)
            .with_max_delay(PAUSES.1)
            .with_jitter()
            .without_max_times()
            .build()
    }

    async fn pause_after(&mut self, error: &watcher::Error) {
        let calm = self
            .last_failure
            .is_none_or(|last| last.elapsed() > CALM + UNKNOWN_KIND_PAUSE);
        if calm {
            self.backoff = Self::fresh();
        }
        let expected = is_expired(error);
        if calm && !expected {
            tracing::warn!(watch = self.name, error = %describe(error), "the watch failed and is tried again");
        } else {
            tracing::debug!(watch = self.name, error = %describe(error), "the watch failed again");
        }
        let pause = self.backoff.next().unwrap_or(PAUSES.1);
        let pause = match (is_unknown_kind(error), self.optional) {
            (true, true) => UNKNOWN_KIND_PAUSE.mul_f64(0.75 + 0.5 * crate::backoff::random()),
            (true, false) => pause.min(AWAITED_KIND_PAUSE),
            (false, _) => pause,
        };
        tokio::time::sleep(pause).await;
        self.last_failure = Some(Instant::now());
    }
}

/// The server has forgotten the version we stood at: a normal event in the
/// life of a watch (410 Gone).
fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

/// The server does not serve this kind: its CRD is not installed.
fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
    )
}

/// The error with its causes, in one line.
fn describe(error: &watcher::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
