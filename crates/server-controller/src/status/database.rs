//! DatabaseReady, and what the status says of the database in use.

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use api_types::reference::{ObjectName, SecretRef};
use api_types::v1alpha1::{DatabaseStatus, MetadataDatabase};
use configgen::Concern;
use percona_bridge::Source;

use super::Visit;
use super::inputs::first;
use crate::takeover;
use crate::validate::database;

pub(super) fn database_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::DatabaseReady, status, reason, message)
    };
    let validated = visit.validated;
    let source = match &validated.source {
        Err(refused) => {
            return verdict(
                Status::False,
                Reason::ProviderNotSupported,
                format!("{refused}."),
            );
        }
        Ok(source) => source,
    };
    if let Some((reason, message)) = first(&validated.problems, Concern::Database) {
        let status = match reason {
            Reason::DatabaseCheckPending => Status::Unknown,
            _ => Status::False,
        };
        return verdict(status, reason, message);
    }
    if let Some((reason, message)) = first(&validated.database.notes, Concern::Database) {
        return verdict(Status::False, reason, message);
    }
    match source {
        Source::Sqlite { path }
            if percona_bridge::data_still_in_sqlite(
                validated.instance.spec,
                takeover::is_done(&visit.observed.server),
            ) =>
        {
            verdict(
                Status::False,
                Reason::DataStillInSQLite,
                format!(
                    "The Go operator never used the managed database: the control plane is in {path}, on the control-plane volume, and stays there. Set spec.percona.enabled to false once the database cluster is not needed; or move the data, and set spec.database.percona together with spec.database.migratedFrom: sqlite."
                ),
            )
        }
        Source::Sqlite { path } => verdict(
            Status::True,
            Reason::SqliteOnVolume,
            format!("The control plane is kept in {path}, on the control-plane volume."),
        ),
        Source::Secret(secret) if secret.by_older_field => verdict(
            Status::True,
            Reason::ConnectionComplete,
            format!(
                "Secret {} holds a complete connection to PostgreSQL.",
                secret.name
            ),
        ),
        Source::Secret(secret) => verdict(
            Status::True,
            Reason::DatabaseAnswers,
            format!(
                "The PostgreSQL server that Secret {} describes takes the server's login.",
                secret.name
            ),
        ),
        Source::Managed(managed) => verdict(
            Status::True,
            Reason::DatabaseAnswers,
            format!(
                "{} {} is ready and takes the server's login.",
                managed.provider().kind(),
                managed.cluster
            ),
        ),
    }
}

/// The database in use. While the pod is kept as it is with another one, the status is too.
pub(super) fn database(visit: Visit<'_>) -> Option<DatabaseStatus> {
    let Visit {
        observed,
        validated,
        applied,
        ..
    } = visit;
    let before = observed.server.status.as_ref();
    let before = before.and_then(|status| status.database.clone());
    let Ok(source) = &validated.source else {
        return before;
    };
    let instance = &validated.instance;
    let set = applied.live.stateful_set.as_deref();
    let has_pod = set.is_some_and(|set| instance.owns(set));
    let in_force = validated.digest.is_some() && super::live_digest(visit) == validated.digest;
    if let Some(before) = &before
        && has_pod
        && !in_force
        && before.provider != source.provider()
    {
        return Some(before.clone());
    }
    let reference = |name: &str| SecretRef {
        name: ObjectName(name.to_owned()),
    };
    let connection = validated.database.connection.as_ref();
    let secret = match (connection, source) {
        (_, Source::Sqlite { .. }) => None,
        (Some(connection), _) => Some(reference(&connection.secret)),
        (None, Source::Secret(secret)) => Some(reference(&secret.name)),
        (None, Source::Managed(managed)) => Some(reference(&managed.credentials())),
    };
    let metadata: Vec<MetadataDatabase> = source
        .metadata()
        .iter()
        .map(|name| MetadataDatabase {
            name: name.clone(),
            secret_ref: secret.clone(),
            sslmode: connection.map(|connection| connection.parts.sslmode),
            ready: connection.is_some() && database::is_metadata_ready(observed, instance, name),
        })
        .collect();
    let now = connection.map(|connection| connection.parts.database.clone());
    let known =
        before.and_then(|before| before.name.filter(|_| before.provider == source.provider()));
    let name = if has_pod && !in_force {
        known
    } else {
        now.or(known)
    };
    Some(DatabaseStatus {
        provider: source.provider(),
        name,
        secret_ref: secret,
        cluster_uid: validated.database.cluster_uid.clone(),
        metadata: (!metadata.is_empty()).then_some(metadata),
    })
}
