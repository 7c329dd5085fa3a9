//! How asking the servers over their REST API goes.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::SECONDS;

/// Result of a poll that got everything it asked for.
const OK: &str = "ok";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Counts and durations of polls of servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PollMetrics {
    results: Family<ResultLabels, Counter>,
    duration: Histogram,
}

impl PollMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            results: Family::default(),
            duration: Histogram::new(SECONDS),
        };
        registry.register(
            "polls",
            "Polls of servers over their REST API by result: ok, or the reason of the failure",
            metrics.results.clone(),
        );
        registry.register(
            "poll_duration_seconds",
            "Duration of polls of servers",
            metrics.duration.clone(),
        );
        metrics
    }

    /// Counts one poll; `trouble` is the condition reason of why it failed.
    pub fn observe(&self, trouble: Option<&'static str>, duration: Duration) {
        let result = trouble.unwrap_or(OK);
        self.results.get_or_create(&ResultLabels { result }).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}
