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

/// First pause while the API server does not know a kind whose CRD was just seen; it doubles up to
/// [`UNKNOWN_KIND_PAUSE`], for a CRD that does not serve the version we speak.
const ANNOUNCED_KIND_PAUSE: Duration = Duration::from_millis(100);

/// A watch that has not failed for this long starts again with short pauses.
const CALM: Duration = Duration::from_secs(120);

/// What is expected of a kind that the API server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// The controller cannot do without it: its CRD is about to be installed.
    Awaited,
    /// It may be absent for ever.
    Optional,
    /// Its CRD exists: it is served in a moment, or not in our version.
    Announced,
}

/// What a watch hears.
pub(super) enum Heard<T> {
    /// An event of the collection.
    Event(Event<T>),
    /// The API server does not know the kind; it is asked again after a pause.
    UnknownKind,
}

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
    let expectation = if optional {
        Expectation::Optional
    } else {
        Expectation::Awaited
    };
    heard(name, api, config, expectation).filter_map(async |heard| match heard {
        Heard::Event(event) => Some(event),
        Heard::UnknownKind => None,
    })
}

/// As [`events`], and tells too when the API server does not know the kind.
pub(super) fn heard<T>(
    name: String,
    api: Api<T>,
    config: Config,
    expectation: Expectation,
) -> impl Stream<Item = Heard<T>> + Send
where
    T: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watcher = watcher::watcher(api, config).boxed();
    let state = (watcher, Pauses::new(name, expectation), None);
    stream::unfold(state, |(mut watcher, mut pauses, mut failure)| async move {
        loop {
            if let Some(failure) = failure.take() {
                pauses.pause_after(&failure).await;
            }
            match watcher.next().await? {
                Ok(event) => return Some((Heard::Event(event), (watcher, pauses, None))),
                Err(error) if is_unknown_kind(&error) => {
                    return Some((Heard::UnknownKind, (watcher, pauses, Some(error))));
                }
                Err(error) => failure = Some(error),
            }
        }
    })
}

struct Pauses {
    name: String,
    expectation: Expectation,
    backoff: ExponentialBackoff,
    announced: ExponentialBackoff,
    last_failure: Option<Instant>,
}

impl Pauses {
    fn new(name: String, expectation: Expectation) -> Self {
        Self {
            name,
            expectation,
            backoff: Self::fresh(PAUSES),
            announced: Self::fresh((ANNOUNCED_KIND_PAUSE, UNKNOWN_KIND_PAUSE)),
            last_failure: None,
        }
    }

    fn fresh((shortest, longest): (Duration, Duration)) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(shortest)
            .with_max_delay(longest)
            .with_jitter()
            .without_max_times()
            .build()
    }

    async fn pause_after(&mut self, error: &watcher::Error) {
        let calm = self
            .last_failure
            .is_none_or(|last| last.elapsed() > CALM + UNKNOWN_KIND_PAUSE);
        if calm {
            self.backoff = Self::fresh(PAUSES);
        }
        let unknown = is_unknown_kind(error);
        let expected = is_expired(error) || unknown && self.expectation == Expectation::Announced;
        if calm && !expected {
            tracing::warn!(watch = self.name, error = %describe(error), "the watch failed and is tried again");
        } else {
            tracing::debug!(watch = self.name, error = %describe(error), "the watch failed again");
        }
        let pause = self.backoff.next().unwrap_or(PAUSES.1);
        let pause = match self.expectation {
            _ if !unknown => pause,
            Expectation::Awaited => pause.min(AWAITED_KIND_PAUSE),
            Expectation::Optional => {
                UNKNOWN_KIND_PAUSE.mul_f64(0.75 + 0.5 * crate::backoff::random())
            }
            Expectation::Announced => self.announced.next().unwrap_or(UNKNOWN_KIND_PAUSE),
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
