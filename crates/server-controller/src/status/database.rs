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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api_types::v1alpha1::SslMode;
    use percona_bridge::{CnpgCluster, PerconaPGCluster};
    use serde_json::{Value, json};

    use crate::observe::Observed;
    use crate::testing::{provisioned, reported, secret};

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

    /// Secret and mode of the database `films`, as the status of `world` tells them to the share-controller.
    fn told(world: &Observed) -> (Option<String>, Option<SslMode>) {
        let database = reported(world).database.unwrap();
        let mut listed = database.metadata.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let films = listed.remove(0);
        assert_eq!(films.name, "films");
        (films.secret_ref.map(|secret| secret.name.0), films.sslmode)
    }

    fn asking(mut database: Value) -> Observed {
        database["metadataDatabases"] = json!(["films"]);
        let mut world = provisioned(json!({ "database": database }));
        world.database.served.percona = true;
        world.database.served.cloudnative_pg = true;
        world
    }

    /// A world with a Secret of a person, with these keys beside the connection's.
    fn of_secret(spec: Value, more: &[(&str, &str)]) -> Observed {
        let mut fields = json!({"name": "pg"});
        let spec = spec.as_object().unwrap().clone();
        fields.as_object_mut().unwrap().extend(spec);
        let mut world = asking(json!({ "secret": fields }));
        let mut keys = vec![
            ("host", "h"),
            ("database", "dittofs"),
            ("user", "u"),
            ("password", "p"),
        ];
        keys.extend(more);
        secret(&mut world, "pg", &keys);
        secret(&mut world, "authority", &[("ca.crt", PEM)]);
        world
    }

    #[test]
    fn a_persons_secret_says_which_tls_the_metadata_stores_use() {
        let named = json!({"caSecretRef": {"name": "authority", "key": "ca.crt"}});
        let mode = |mode: &str| json!({ "sslmode": mode });
        let by_text = json!({"dsnKey": "dsn"});
        let dsn = "postgres://u:p@h/dittofs?sslmode=disable";
        for (spec, keys, secret, expected) in [
            (json!({}), &[][..], "pg", SslMode::Require),
            // Where a CA is known, the certificate is looked at.
            (
                json!({}),
                &[("sslrootcert", PEM)],
                "pg",
                SslMode::VerifyFull,
            ),
            (named, &[], "pg", SslMode::VerifyFull),
            (json!({}), &[("sslmode", "prefer")], "pg", SslMode::Prefer),
            // The spec counts more than the Secret.
            (
                mode("verify-ca"),
                &[("sslmode", "disable"), ("sslrootcert", PEM)],
                "pg",
                SslMode::VerifyCa,
            ),
            (by_text, &[("dsn", dsn)], "files-database", SslMode::Disable),
        ] {
            let world = of_secret(spec.clone(), keys);
            let known = (Some(secret.to_owned()), Some(expected));
            assert_eq!(told(&world), known, "{spec} {keys:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_tls_while_the_connection_is_not_known() {
        let world = asking(json!({"secret": {"name": "pg"}}));
        assert_eq!(told(&world), (Some("pg".to_owned()), None));
        let world = asking(json!({"percona": {}}));
        let credentials = Some("files-postgres-pguser-dittofs".to_owned());
        assert_eq!(told(&world), (credentials, None));
    }

    #[test]
    fn a_managed_database_is_reached_with_a_certificate_that_was_looked_at() {
        let meta = |component| {
            let labels = api_types::labels::standard("files", component);
            json!({"name": "files-postgres", "namespace": "media", "uid": "uid-a", "generation": 1, "labels": labels})
        };
        let meta = meta(api_types::labels::Component::Database);
        let parts = [
            ("host", "h"),
            ("port", "5432"),
            ("user", "dittofs"),
            ("password", "p"),
        ];
        let mut percona = asking(json!({"percona": {}}));
        let cluster: PerconaPGCluster =
            serde_json::from_value(json!({"metadata": meta, "status": {"state": "ready"}}))
                .unwrap();
        percona.database.live.percona = Some(Arc::new(cluster));
        let mut cnpg = asking(json!({"cloudnativePG": {}}));
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let cluster: CnpgCluster = serde_json::from_value(
            json!({"metadata": meta, "spec": {"bootstrap": {"initdb": {}}}, "status": ready}),
        )
        .unwrap();
        cnpg.database.live.cloudnative_pg = Some(Arc::new(cluster));
        for (mut world, credentials, authority) in [
            (
                percona,
                "files-postgres-pguser-dittofs",
                "files-postgres-cluster-cert",
            ),
            (cnpg, "files-postgres-app", "files-postgres-ca"),
        ] {
            secret(&mut world, credentials, &parts);
            secret(&mut world, authority, &[("ca.crt", PEM)]);
            let known = (Some(credentials.to_owned()), Some(SslMode::VerifyFull));
            assert_eq!(told(&world), known);
        }
    }
}
