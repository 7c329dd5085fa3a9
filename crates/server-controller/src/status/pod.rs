//! Available, Progressing and Degraded: what the pod and its StatefulSet tell.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::Visit;
use crate::observe::Observed;

/// Label by which the StatefulSet controller marks a pod's revision.
const REVISION: &str = "controller-revision-hash";

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

pub(super) fn progressing(visit: Visit<'_>) -> Verdict {
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
    let seen = set
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    let target = set
        .status
        .as_ref()
        .and_then(|status| status.update_revision.as_ref());
    let current = seen == set.metadata.generation
        && observed.pod.as_deref().is_some_and(|pod| {
            pod.labels().get(REVISION) == target && pod.metadata.deletion_timestamp.is_none()
        });
    if !current {
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
            "This release of the operator renders the pod differently. The running pod stays; the next restart brings the new rendering.",
        );
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
    container(pod).is_some_and(|status| status.started == Some(true) || status.restart_count > 0)
}

fn container(pod: Option<&Pod>) -> Option<&ContainerStatus> {
    pod?.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn condition<'p>(pod: &'p Pod, kind: &str) -> Option<&'p str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .map(|condition| condition.status.as_str())
}

pub(super) fn degraded(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::Degraded, status, reason, message)
    };
    if !visit.validated.conflicts.is_empty() {
        let names: Vec<String> = visit
            .validated
            .conflicts
            .iter()
            .map(|conflict| format!("{} {}", conflict.kind, conflict.name))
            .collect();
        return verdict(
            Status::True,
            Reason::NameConflict,
            format!(
                "Left untouched because somebody else made it: {}. Rename or remove it, or give the DittoServer another name.",
                names.join(", ")
            ),
        );
    }
    if let Some(refused) = visit.applied.failures.iter().find_map(refusal) {
        return verdict(Status::True, Reason::ChildRefused, refused);
    }
    match visit.observed.pod.as_deref().and_then(trouble) {
        Some((reason, message)) => verdict(Status::True, reason, message),
        None => verdict(
            Status::False,
            Reason::AsExpected,
            "Nothing needs a person.".to_owned(),
        ),
    }
}

/// The API server's refusal of a child: it will not go away by itself.
fn refusal(error: &controller_runtime::apply::ApplyError) -> Option<String> {
    use controller_runtime::apply::ApplyError;
    match error {
        ApplyError::Invalid { .. } => Some(format!("{error}")),
        ApplyError::Api {
            kind,
            name,
            source: kube::Error::Api(status),
        } if status.code == 403 => Some(format!(
            "{kind} {name} may not be written: {}",
            status.message
        )),
        _ => None,
    }
}

/// What keeps the pod from running and does not go away by itself.
fn trouble(pod: &Pod) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unscheduled {
        return Some((
            Reason::Unschedulable,
            format!(
                "No node takes the pod: {}",
                condition.message.as_deref().unwrap_or("no message")
            ),
        ));
    }
    let container = container(Some(pod))?;
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    let message = waiting
        .and_then(|waiting| waiting.message.as_deref())
        .unwrap_or_default();
    match waiting
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default()
    {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => Some((
            Reason::ImagePullFailed,
            format!(
                "The image {} cannot be had: correct spec.image, or make it available to the node (kubectl describe pod {} tells more).",
                container.image,
                pod.name_any()
            ),
        )),
        "CreateContainerConfigError" | "CreateContainerError" => Some((
            Reason::ContainerConfigInvalid,
            format!("The container cannot be made: {message}"),
        )),
        waiting if waiting == "CrashLoopBackOff" || crashed_again(container) => Some((
            Reason::CrashLooping,
            format!("The server ends again and again. {}", last_words(container)),
        )),
        _ => None,
    }
}

/// Whether a container that is not ready has ended more than once: between two ends of a crash
/// loop it runs for a moment, and the verdict shall not flap.
fn crashed_again(container: &ContainerStatus) -> bool {
    !container.ready
        && container.restart_count > 1
        && container
            .last_state
            .as_ref()
            .is_some_and(|state| state.terminated.is_some())
}

/// What the container wrote last before it ended.
fn last_words(container: &ContainerStatus) -> String {
    let Some(end) = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref())
    else {
        return "It left no last words.".to_owned();
    };
    let reason = end.reason.as_deref().unwrap_or("Error");
    let words = end.message.as_deref().unwrap_or_default().trim();
    let words = words.lines().next_back().unwrap_or_default();
    format!(
        "Exit code {} ({reason}). Last words: {words}",
        end.exit_code
    )
}
