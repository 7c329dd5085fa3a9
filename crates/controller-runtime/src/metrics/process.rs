//! What runs, and whether it leads.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// Commit of the sources, from the variable `DITTOFS_OPERATOR_COMMIT` at the time of the build: two builds of the
/// same sources are the same unless somebody asks for a difference.
const COMMIT: &str = match option_env!("DITTOFS_OPERATOR_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    controller: String,
    version: String,
    commit: &'static str,
}

/// What runs, and whether it leads. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ProcessMetrics {
    build: Family<BuildLabels, Gauge>,
    leader: Gauge,
}

impl ProcessMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "build_info",
            "The controller and its version; always 1",
            metrics.build.clone(),
        );
        registry.register(
            "leader",
            "1 in the process that works, 0 in one that stands by",
            metrics.leader.clone(),
        );
        metrics
    }

    /// Says which controller this is.
    pub fn set_build(&self, controller: &str, version: &str) {
        let labels = BuildLabels {
            controller: controller.to_owned(),
            version: version.to_owned(),
            commit: COMMIT,
        };
        self.build.get_or_create(&labels).set(1);
    }

    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
