//! Which of the served objects are ready.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    kind: String,
    namespace: String,
    name: String,
}

/// One series for each object: the only metric whose size grows with what people make. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ObjectMetrics {
    ready: Family<ObjectLabels, Gauge>,
}

impl ObjectMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "object_ready",
            "Whether the condition Ready of an object is True",
            metrics.ready.clone(),
        );
        metrics
    }

    /// Says whether an object is ready; `None` takes its series away: it is gone, or this controller does not
    /// tell of it.
    pub fn set(&self, kind: &str, namespace: &str, name: &str, ready: Option<bool>) {
        let labels = ObjectLabels {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match ready {
            Some(ready) => {
                self.ready.get_or_create(&labels).set(i64::from(ready));
            }
            None => {
                self.ready.remove(&labels);
            }
        }
    }
}
