//! The objects of the Prometheus operator: how the server is scraped, and the alerts on it.

mod alerts;
mod kinds;
mod rule;
mod service_monitor;

pub use alerts::{Alert, Severity, alerts};
pub use kinds::{PrometheusRule, ServiceMonitor};
pub use rule::prometheus_rule;
pub use service_monitor::{CA_KEY, Certificate, server_name, service_monitor};

use std::collections::BTreeMap;

use crate::Instance;
use api_types::labels::Component;

/// Labels of an object that a Prometheus selects: those of the spec, and ours over them.
fn labels(instance: &Instance<'_>, wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = wanted;
    labels.extend(instance.labels(Component::Metrics));
    labels
}
