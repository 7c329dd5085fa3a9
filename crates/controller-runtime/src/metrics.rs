//! What `/metrics` shows: the table in docs/metrics.md. Labels never hold error texts, and names of objects only in
//! [`ObjectMetrics`].

mod drift;
mod objects;
mod polls;
mod process;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

pub use drift::DriftMetrics;
pub use objects::ObjectMetrics;
pub use polls::PollMetrics;
pub use process::ProcessMetrics;

use crate::seam::Verb;

/// Prefix of every metric name.
const PREFIX: &str = "dittofs_operator";

/// Upper bounds of the duration buckets, in seconds.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The metrics of a process. Cheap to clone; all clones share one registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    api: Arc<ApiMetrics>,
    reconciles: ReconcileMetrics,
    process: ProcessMetrics,
    objects: ObjectMetrics,
    polls: PollMetrics,
    drift: DriftMetrics,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with the metrics that every controller has.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let api = Arc::new(ApiMetrics::registered(&mut registry));
        let reconciles = ReconcileMetrics::registered(&mut registry);
        let process = ProcessMetrics::registered(&mut registry);
        let objects = ObjectMetrics::registered(&mut registry);
        let polls = PollMetrics::registered(&mut registry);
        let drift = DriftMetrics::registered(&mut registry);
        Self {
            registry: Arc::new(Mutex::new(registry)),
            api,
            reconciles,
            process,
            objects,
            polls,
            drift,
        }
    }

    /// Counts of Kubernetes API requests, to be handed to the client.
    #[must_use]
    pub fn api(&self) -> Arc<ApiMetrics> {
        Arc::clone(&self.api)
    }

    /// Counts and durations of reconciles.
    #[must_use]
    pub fn reconciles(&self) -> ReconcileMetrics {
        self.reconciles.clone()
    }

    /// What runs, and whether it leads.
    #[must_use]
    pub fn process(&self) -> ProcessMetrics {
        self.process.clone()
    }

    /// Which of the served objects are ready.
    #[must_use]
    pub fn objects(&self) -> ObjectMetrics {
        self.objects.clone()
    }

    /// Counts and durations of polls of servers.
    #[must_use]
    pub fn polls(&self) -> PollMetrics {
        self.polls.clone()
    }

    /// Counts of corrections of what somebody else changed.
    #[must_use]
    pub fn drift(&self) -> DriftMetrics {
        self.drift.clone()
    }

    /// Adds a binary's own metrics; names get the prefix `dittofs_operator_`.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    ///
    /// # Errors
    /// Only when a metric of a binary fails to encode itself.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(
            &mut text,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(text)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    code: &'static str,
}

/// Requests to the Kubernetes API by verb and class of the answer.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics {
    requests: Family<RequestLabels, Counter>,
}

impl ApiMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "api_requests",
            "Requests to the Kubernetes API; code none: no answer",
            metrics.requests.clone(),
        );
        metrics
    }

    /// Counts one request; no status means that no answer came.
    pub fn observe(&self, verb: Verb, status: Option<StatusCode>) {
        let code = match status.map(|status| status.as_u16()) {
            None => "none",
            Some(409) => "409",
            Some(429) => "429",
            Some(100..=199) => "1xx",
            Some(200..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(_) => "5xx",
        };
        self.requests
            .get_or_create(&RequestLabels {
                verb: verb.as_str(),
                code,
            })
            .inc();
    }
}

/// How one visit of an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReconcileResult {
    /// Nothing is left to do until something changes.
    Ok,
    /// The object is to be visited again after a time.
    Waiting,
    /// The reconcile failed.
    Error,
    /// The reconcile panicked.
    Panic,
}

impl ReconcileResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Error => "error",
            Self::Panic => "panic",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Counts and durations of reconciles.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    results: Family<ResultLabels, Counter>,
    duration: Histogram,
    running: Gauge,
    waiting: Gauge,
}

impl ReconcileMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            results: Family::default(),
            duration: Histogram::new(SECONDS),
            running: Gauge::default(),
            waiting: Gauge::default(),
        };
        registry.register(
            "reconciles",
            "Reconciles by result",
            metrics.results.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Duration of reconciles",
            metrics.duration.clone(),
        );
        registry.register(
            "reconciles_running",
            "Reconciles under way",
            metrics.running.clone(),
        );
        registry.register(
            "objects_backing_off",
            "Objects whose last reconcile failed",
            metrics.waiting.clone(),
        );
        metrics
    }

    /// Counts one finished reconcile.
    pub fn observe(&self, result: ReconcileResult, duration: Duration) {
        self.results
            .get_or_create(&ResultLabels {
                result: result.as_str(),
            })
            .inc();
        self.duration.observe(duration.as_secs_f64());
    }

    /// Number of reconciles finished with this result since the start.
    #[must_use]
    pub fn count(&self, result: ReconcileResult) -> u64 {
        self.results
            .get_or_create(&ResultLabels {
                result: result.as_str(),
            })
            .get()
    }

    pub(crate) fn set_running(&self, running: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_backing_off(&self, objects: usize) {
        self.waiting.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Metrics with at least one series of each.
    fn used() -> Metrics {
        let metrics = Metrics::new();
        metrics.api().observe(Verb::Patch, Some(StatusCode::OK));
        metrics.api().observe(Verb::Get, None);
        metrics
            .reconciles()
            .observe(ReconcileResult::Waiting, Duration::from_millis(20));
        metrics.process().set_build("share-controller", "1.2.3");
        metrics.process().set_leader(true);
        metrics
            .objects()
            .set("DittoServer", "media", "files", Some(false));
        metrics.polls().observe(None, Duration::from_millis(20));
        metrics
            .polls()
            .observe(Some("Unreachable"), Duration::from_secs(5));
        metrics.drift().corrected("Service", ".spec.ports[port=80]");
        metrics
    }

    #[test]
    fn everything_is_counted_by_class() {
        let metrics = used();
        let text = metrics.encode().unwrap();
        for line in [
            r#"dittofs_operator_api_requests_total{verb="patch",code="2xx"} 1"#,
            r#"dittofs_operator_api_requests_total{verb="get",code="none"} 1"#,
            r#"dittofs_operator_reconciles_total{result="waiting"} 1"#,
            "dittofs_operator_reconcile_duration_seconds_count 1",
            r#"dittofs_operator_build_info{controller="share-controller",version="1.2.3",commit=""#,
            "\ndittofs_operator_leader 1\n",
            r#"dittofs_operator_object_ready{kind="DittoServer",namespace="media",name="files"} 0"#,
            r#"dittofs_operator_polls_total{result="ok"} 1"#,
            r#"dittofs_operator_polls_total{result="Unreachable"} 1"#,
            "dittofs_operator_poll_duration_seconds_count 2",
            r#"dittofs_operator_drift_corrected_total{kind="Service",field="spec.ports"} 1"#,
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        metrics.objects().set("DittoServer", "media", "files", None);
        assert!(!metrics.encode().unwrap().contains("files"));
    }

    #[test]
    fn the_table_of_metrics_in_the_docs_is_whole() {
        let text = used().encode().unwrap();
        // As Prometheus names them: the series of a counter end in `_total`.
        let shown: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total | {kind}"),
                _ => format!("{name} | {kind}"),
            })
            .collect();
        let documented: BTreeSet<String> = include_str!("../../../docs/metrics.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `dittofs_operator_"))
            .filter_map(|line| {
                let (name, rest) = line.split_once("` | ")?;
                // Other tables hold expressions.
                let is_name = name
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || letter == '_');
                let kind = rest.split(' ').next()?;
                is_name.then(|| format!("dittofs_operator_{name} | {kind}"))
            })
            .collect();
        assert_eq!(shown, documented);
    }
}
