//! ConfigReady and DatabaseReady.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use configgen::Concern;
use percona_bridge::Source;

use super::Visit;
use crate::takeover;
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

pub(super) fn database_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::DatabaseReady, status, reason, message)
    };
    match &visit.validated.source {
        Err(refused) => verdict(
            Status::False,
            Reason::ProviderNotSupported,
            format!("{refused}."),
        ),
        Ok(Source::Sqlite { path })
            if percona_bridge::data_still_in_sqlite(
                visit.validated.instance.spec,
                takeover::is_done(&visit.observed.server),
            ) =>
        {
            verdict(
                Status::False,
                Reason::DataStillInSQLite,
                format!(
                    "The Go operator never used the managed database: the control plane is in {path}, on the control-plane volume, and stays there. Set spec.percona.enabled to false once the database cluster is not needed."
                ),
            )
        }
        Ok(Source::Sqlite { path }) => verdict(
            Status::True,
            Reason::SqliteOnVolume,
            format!("The control plane is kept in {path}, on the control-plane volume."),
        ),
        Ok(Source::Secret { name }) => match first(&visit.validated.problems, Concern::Database) {
            Some((reason, message)) => verdict(Status::False, reason, message),
            None => verdict(
                Status::True,
                Reason::ConnectionComplete,
                format!("Secret {name} holds a complete connection to PostgreSQL."),
            ),
        },
    }
}

/// The reason of the first problem, and the messages of all.
fn first(problems: &[Problem], concern: Concern) -> Option<(Reason, String)> {
    let mut found = problems
        .iter()
        .filter(|problem| problem.concern == concern)
        .peekable();
    let reason = found.peek()?.reason;
    let messages: Vec<&str> = found.map(|problem| problem.message.as_str()).collect();
    Some((reason, messages.join(" ")))
}
