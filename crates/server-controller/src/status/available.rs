//! Available: whether the pod serves. Pure.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use k8s_openapi::api::core::v1::Pod;

use super::Visit;
use crate::observe::Observed;

/// Whether the pod serves: ready, and not on its way out.
pub(super) fn serves(observed: &Observed) -> bool {
    observed.pod.as_deref().is_some_and(|pod| {
        pod.metadata.deletion_timestamp.is_none() && condition(pod, "Ready") == Some("True")
    })
}

pub(super) fn available(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: &str| {
        Verdict::new(ConditionType::Available, status, reason, message)
    };
    let Visit {
        observed, applied, ..
    } = visit;
    if serves(observed) {
        verdict(Status::True, Reason::PodServing, "The pod serves.")
    } else if observed.server.spec.replicas == 0 {
        verdict(
            Status::False,
            Reason::Stopped,
            "The server is stopped: set spec.replicas to 1 to start it.",
        )
    } else if applied.live.stateful_set.is_none() {
        verdict(
            Status::False,
            Reason::WaitingForInputs,
            "The pod is not made before its inputs are complete: see ConfigReady, DatabaseReady and Degraded.",
        )
    } else {
        verdict(
            Status::False,
            Reason::PodNotServing,
            "The pod does not serve: see Progressing and Degraded.",
        )
    }
}

fn condition<'p>(pod: &'p Pod, kind: &str) -> Option<&'p str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .map(|condition| condition.status.as_str())
}
