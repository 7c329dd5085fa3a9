//! Degraded: what needs a person. Pure.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};

use super::{Visit, trouble::trouble};

/// The verdict, given the one on the rollout.
pub(super) fn degraded(visit: Visit<'_>, progressing: &Verdict) -> Verdict {
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
    let mount = visit.observed.mount_failure.as_ref().map(|message| {
        (
            Reason::MountFailed,
            format!("A volume cannot be mounted: {message}"),
        )
    });
    let late = (progressing.reason == Reason::ProgressDeadlineExceeded).then(|| {
        (
            Reason::ProgressDeadlineExceeded,
            format!(
                "The pod did not start within spec.progressDeadlineSeconds: see `kubectl describe pod {}` and its log.",
                api_types::names::pod(visit.validated.instance.name)
            ),
        )
    });
    match visit
        .observed
        .pod
        .as_deref()
        .and_then(trouble)
        .or(mount)
        .or(late)
    {
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
