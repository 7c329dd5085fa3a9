//! What somebody else changed and was set right.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DriftLabels {
    kind: String,
    field: String,
}

/// Counts corrections of what somebody else changed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct DriftMetrics {
    corrected: Family<DriftLabels, Counter>,
}

impl DriftMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "drift_corrected",
            "Changes by others that were set right, by kind of object and field",
            metrics.corrected.clone(),
        );
        metrics
    }

    /// Counts one field at `path` of an object of kind `kind` that was set right. Of the path only the names of
    /// fields are kept, and at most two: keys of lists and maps may be anything.
    pub fn corrected(&self, kind: &str, path: &str) {
        let labels = DriftLabels {
            kind: kind.to_owned(),
            field: field(path),
        };
        self.corrected.get_or_create(&labels).inc();
    }
}

/// The first two names of fields of a path such as `.spec.ports[port=80].name` or `access.users[alice]`.
fn field(path: &str) -> String {
    let named = path.split('[').next().unwrap_or_default();
    let names = named.split('.').filter(|name| !name.is_empty());
    names.take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_names_of_fields_are_kept() {
        for (path, kept) in [
            (".spec.ports[port=80,protocol=TCP].name", "spec.ports"),
            (".metadata.labels[\"a.b/c\"]", "metadata.labels"),
            (".spec.template.spec.containers", "spec.template"),
            ("access.users[alice]", "access.users"),
            ("quota", "quota"),
            ("", ""),
        ] {
            assert_eq!(field(path), kept, "{path}");
        }
    }
}
