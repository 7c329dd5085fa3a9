//! ConfigReady.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use configgen::Concern;

use super::Visit;
use crate::validate::Problem;

pub(super) fn config_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::ConfigReady, status, reason, message)
    };
    let conflict = visit
        .validated
        .conflicts
        .iter()
        .find(|conflict| conflict.kind == "ConfigMap");
    if let Some((reason, message)) = first(&visit.validated.problems, Concern::Config) {
        verdict(Status::False, reason, message)
    } else if let Some(conflict) = conflict {
        verdict(
            Status::False,
            Reason::NameConflict,
            format!(
                "ConfigMap {} belongs to somebody else: rename or remove it.",
                conflict.name
            ),
        )
    } else if asks_for_unnamed_certificate(visit) {
        verdict(
            Status::True,
            Reason::ClientCertificateNotNamed,
            "Every Secret and key that the server needs is there. The API asks for client certificates (controlPlane.clientCASecretName) and controlPlane.clientCertSecretName names none: the operator's other controllers cannot reach it.".to_owned(),
        )
    } else {
        verdict(
            Status::True,
            Reason::InputsComplete,
            "Every Secret and key that the server needs is there.".to_owned(),
        )
    }
}

fn asks_for_unnamed_certificate(visit: Visit<'_>) -> bool {
    let control_plane = &visit.validated.instance.spec.control_plane;
    control_plane.client_ca_secret_name.is_some() && control_plane.client_cert_secret_name.is_none()
}

/// The reason of the first problem, and the messages of all.
pub(super) fn first(problems: &[Problem], concern: Concern) -> Option<(Reason, String)> {
    let mut found = problems
        .iter()
        .filter(|problem| problem.concern == concern)
        .peekable();
    let reason = found.peek()?.reason;
    let messages: Vec<&str> = found.map(|problem| problem.message.as_str()).collect();
    Some((reason, messages.join(" ")))
}
