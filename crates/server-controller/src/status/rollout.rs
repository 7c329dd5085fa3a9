//! Progressing: whether the pod of the current revision runs, and since when it should. Pure.

use std::time::Duration;

use api_types::conditions::{self, ConditionType, Reason, Status, Verdict};
use api_types::{DittoServerSpec, DittoServerStatus};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{Visit, trouble};

/// Label by which the StatefulSet controller marks a pod's revision.
pub(crate) const REVISION: &str = "controller-revision-hash";

/// Whether `pod` is of the revision that `set` is being updated to; `None` while the StatefulSet
/// controller has not seen the latest template.
pub(crate) fn is_current(set: &StatefulSet, pod: &Pod) -> Option<bool> {
    let status = set.status.as_ref()?;
    (status.observed_generation == set.metadata.generation)
        .then(|| pod.labels().get(REVISION) == status.update_revision.as_ref())
}

/// Whether the cluster's own controllers are about to make something of the server: its claims, its
/// pod, or the revision of the StatefulSet that the pod is of.
pub(crate) fn is_being_made(visit: Visit<'_>) -> bool {
    let Visit {
        observed, applied, ..
    } = visit;
    let Some(set) = applied.live.stateful_set.as_deref() else {
        return false;
    };
    let spec = &observed.server.spec;
    let pod = observed.pod.as_deref();
    spec.replicas > 0
        && (observed.claims.len() < resources::volumes_of(spec).len()
            || pod.is_none_or(|pod| is_current(set, pod) != Some(true)))
}

/// The verdict on the rollout. One that takes longer than the spec's deadline is no progress any
/// more, until it ends or the spec changes.
pub(super) fn progressing(visit: Visit<'_>, previous: &[Condition], now: Timestamp) -> Verdict {
    let verdict = on_the_way(visit);
    if verdict.reason != Reason::RollingOut || !overdue(visit, previous, now) {
        return verdict;
    }
    Verdict::new(
        ConditionType::Progressing,
        Status::False,
        Reason::ProgressDeadlineExceeded,
        "The pod of the current revision did not start within spec.progressDeadlineSeconds: see Degraded.",
    )
}

fn overdue(visit: Visit<'_>, previous: &[Condition], now: Timestamp) -> bool {
    let server = &visit.observed.server;
    let Some(before) = conditions::find(previous, ConditionType::Progressing) else {
        return false;
    };
    if before.reason == Reason::ProgressDeadlineExceeded.as_str() {
        return before.observed_generation == server.metadata.generation;
    }
    before.reason == Reason::RollingOut.as_str()
        && left(before, deadline(&server.spec), now).is_zero()
}

fn deadline(spec: &DittoServerSpec) -> Duration {
    Duration::from_secs(u64::from(spec.progress_deadline_seconds))
}

/// What is left of `time` since the condition last changed its status.
fn left(condition: &Condition, time: Duration, now: Timestamp) -> Duration {
    let passed = now.duration_since(condition.last_transition_time.0);
    time.saturating_sub(Duration::try_from(passed).unwrap_or_default())
}

/// When a rollout must be looked at again although nothing changed; `None` when there is none.
pub(crate) fn wake(
    status: &DittoServerStatus,
    spec: &DittoServerSpec,
    pod: Option<&Pod>,
    now: Timestamp,
) -> Option<Duration> {
    let progressing = conditions::find(&status.conditions, ConditionType::Progressing)
        .filter(|condition| condition.reason == Reason::RollingOut.as_str())?;
    let deadline = left(progressing, deadline(spec), now);
    let patience = pod
        .and_then(|pod| trouble::mount_patience(pod, now))
        .filter(|left| !left.is_zero());
    Some(patience.map_or(deadline, |patience| patience.min(deadline)))
}

fn on_the_way(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: &str| {
        Verdict::new(ConditionType::Progressing, status, reason, message)
    };
    let Visit {
        observed,
        applied,
        plan,
        ..
    } = visit;
    if plan.paused {
        return verdict(
            Status::False,
            Reason::Paused,
            "Writes are stopped by the annotation dittofs.io/paused: remove it to go on.",
        );
    }
    let Some(set) = applied.live.stateful_set.as_deref() else {
        return verdict(
            Status::False,
            Reason::RolloutBlocked,
            "Nothing is rolled out before the inputs are complete: see ConfigReady, DatabaseReady and Degraded.",
        );
    };
    if observed.server.spec.replicas == 0 {
        return if observed.pod.is_some() {
            verdict(
                Status::True,
                Reason::RollingOut,
                "The pod is being stopped.",
            )
        } else {
            verdict(Status::False, Reason::Stopped, "The server is stopped.")
        };
    }
    let current = observed.pod.as_deref().is_some_and(|pod| {
        is_current(set, pod) == Some(true) && pod.metadata.deletion_timestamp.is_none()
    });
    if !current && !super::storage::keeps_pod(visit) {
        return verdict(
            Status::True,
            Reason::RollingOut,
            "The pod is being replaced by one of the current revision.",
        );
    }
    if !started(observed.pod.as_deref()) {
        return verdict(
            Status::True,
            Reason::RollingOut,
            "The pod of the current revision is starting.",
        );
    }
    if plan.held_back {
        return verdict(
            Status::False,
            Reason::TemplateUpdatePending,
            "The pod would be rendered differently today: by this release of the operator, or for settings that the running server has over its API. The running pod stays; the next restart brings the new rendering.",
        );
    }
    let mut problems = visit.validated.problems.iter();
    if let Some(used) = problems.find(|problem| problem.reason == Reason::StillInUse) {
        return verdict(Status::False, Reason::RolloutBlocked, &used.message);
    }
    if visit.validated.digest.is_none() {
        return verdict(
            Status::False,
            Reason::RolloutBlocked,
            "An input is missing or invalid, so the running pod is left as it is: see ConfigReady and DatabaseReady.",
        );
    }
    verdict(
        Status::False,
        Reason::RolloutComplete,
        "The pod runs the current revision.",
    )
}

/// Whether the server's container has passed its start once: a later crash is no rollout.
fn started(pod: Option<&Pod>) -> bool {
    pod.and_then(trouble::container)
        .is_some_and(|status| status.started == Some(true) || status.restart_count > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{condition, provisioned, reported_at, with_pod, with_stateful_set};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_rollout_that_takes_too_long_is_said_once_and_heals_by_itself() {
        let starting = json!({"containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "started": false, "state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}}]});
        let spec = json!({"progressDeadlineSeconds": 600});
        let mut world = with_pod(with_stateful_set(provisioned(spec)), starting);
        let visit = |world: &mut crate::observe::Observed, second| {
            let status = reported_at(world, at(second));
            let mut server = api_types::DittoServer::clone(&world.server);
            server.status = Some(status.clone());
            world.server = std::sync::Arc::new(server);
            status
        };
        let first = visit(&mut world, 0);
        assert_eq!(condition(&first, "Progressing"), "True RollingOut");
        let spec = world.server.spec.clone();
        assert_eq!(
            wake(&first, &spec, None, at(100)),
            Some(Duration::from_secs(500))
        );
        assert_eq!(
            condition(&visit(&mut world, 599), "Progressing"),
            "True RollingOut"
        );
        let late = visit(&mut world, 600);
        assert_eq!(
            condition(&late, "Progressing"),
            "False ProgressDeadlineExceeded"
        );
        assert_eq!(
            condition(&late, "Degraded"),
            "True ProgressDeadlineExceeded"
        );
        assert_eq!(wake(&late, &spec, None, at(600)), None);
        assert_eq!(
            visit(&mut world, 700),
            late,
            "time alone changes nothing after the deadline"
        );
        let mut healed = with_pod(world.clone(), crate::testing::serving());
        assert_eq!(
            condition(&visit(&mut healed, 800), "Progressing"),
            "False RolloutComplete"
        );
    }
}
