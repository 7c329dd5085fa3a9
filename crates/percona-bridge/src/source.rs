//! Which database holds the control plane.

use api_types::DittoServerSpec;
use api_types::v1alpha1::{Database, DatabaseProvider, DatabaseType, Sqlite};

/// The one source of the control-plane database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file on the control-plane volume.
    Sqlite {
        /// Path of the file in the pod.
        path: String,
    },
    /// A PostgreSQL server; the Secret of this name holds the connection under [`ConnectionKey`]s.
    Secret {
        /// Name of the Secret.
        name: String,
    },
}

impl Source {
    /// The provider as `status.database.provider` names it.
    pub fn provider(&self) -> DatabaseProvider {
        match self {
            Source::Sqlite { .. } => DatabaseProvider::Sqlite,
            Source::Secret { .. } => DatabaseProvider::Secret,
        }
    }
}

/// The spec asks for a provider that this release does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "spec.{field} asks for a database that this release cannot provide: use SQLite, or name a PostgreSQL server with spec.database.postgresSecretRef"
)]
pub struct NotSupported {
    /// Path of the field below spec.
    pub field: &'static str,
}

/// A key of the Secret that describes a PostgreSQL connection, and the environment variable by
/// which the server takes it. Source: server contract 1.3 and 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionKey {
    /// Key in the Secret.
    pub key: &'static str,
    /// Environment variable of the server.
    pub variable: &'static str,
    /// Whether the server cannot do without it.
    pub required: bool,
}

impl ConnectionKey {
    /// All keys, in the order of the pod's environment.
    pub const ALL: [ConnectionKey; 6] = [
        ConnectionKey::required("host", "DITTOFS_DATABASE_POSTGRES_HOST"),
        ConnectionKey::optional("port", "DITTOFS_DATABASE_POSTGRES_PORT"),
        ConnectionKey::required("database", "DITTOFS_DATABASE_POSTGRES_DATABASE"),
        ConnectionKey::required("user", "DITTOFS_DATABASE_POSTGRES_USER"),
        ConnectionKey::required("password", "DITTOFS_DATABASE_POSTGRES_PASSWORD"),
        ConnectionKey::optional("sslmode", "DITTOFS_DATABASE_POSTGRES_SSLMODE"),
    ];

    const fn required(key: &'static str, variable: &'static str) -> Self {
        ConnectionKey {
            key,
            variable,
            required: true,
        }
    }

    const fn optional(key: &'static str, variable: &'static str) -> Self {
        ConnectionKey {
            key,
            variable,
            required: false,
        }
    }
}

/// The control-plane database that `spec` asks for.
///
/// The Go operator made a managed database and then wrote everything to SQLite: a server that was
/// `taken_over` from it keeps its data there.
///
/// A Secret wins over the type `sqlite`: servers of the Go operator carry that type as a default
/// and use PostgreSQL all the same.
///
/// # Errors
/// When the spec asks for a provider that this release does not have.
pub fn source(spec: &DittoServerSpec, taken_over: bool) -> Result<Source, NotSupported> {
    if !taken_over && wants_percona(spec) {
        return Err(NotSupported {
            field: "percona.enabled",
        });
    }
    let none = Database::default();
    let Database {
        kind,
        sqlite,
        postgres_secret_ref,
    } = spec.database.as_ref().unwrap_or(&none);
    match (postgres_secret_ref, kind) {
        (Some(reference), _) => Ok(Source::Secret {
            name: reference.name.0.clone(),
        }),
        (None, Some(DatabaseType::Postgres)) => Err(NotSupported {
            field: "database.type",
        }),
        (None, Some(DatabaseType::Sqlite) | None) => Ok(Source::Sqlite {
            path: sqlite.as_ref().map_or_else(
                || Sqlite::DEFAULT_PATH.to_owned(),
                |sqlite| sqlite.path.clone(),
            ),
        }),
    }
}

/// Whether the data of a taken-over server lies in SQLite although a managed database is asked for.
pub fn data_still_in_sqlite(spec: &DittoServerSpec, taken_over: bool) -> bool {
    taken_over && wants_percona(spec) && matches!(source(spec, true), Ok(Source::Sqlite { .. }))
}

fn wants_percona(spec: &DittoServerSpec) -> bool {
    spec.percona.as_ref().is_some_and(|percona| percona.enabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(database: serde_json::Value) -> Result<Source, NotSupported> {
        let spec = serde_json::json!({"storage": {"metadataSize": "1Gi"}, "database": database});
        source(&serde_json::from_value(spec).unwrap(), false)
    }

    #[test]
    fn sqlite_on_the_control_plane_volume_is_the_default() {
        let expected = Source::Sqlite {
            path: "/data/controlplane/controlplane.db".to_owned(),
        };
        assert_eq!(of(serde_json::json!(null)), Ok(expected.clone()));
        assert_eq!(of(serde_json::json!({"sqlite": {}})), Ok(expected));
    }

    #[test]
    fn a_secret_means_postgresql_whatever_default_type_an_old_object_carries() {
        let reference = serde_json::json!({"name": "pg", "key": "unused"});
        let expected = Source::Secret {
            name: "pg".to_owned(),
        };
        assert_eq!(
            of(serde_json::json!({"postgresSecretRef": reference})),
            Ok(expected.clone())
        );
        assert_eq!(
            of(serde_json::json!({"type": "sqlite", "postgresSecretRef": reference})),
            Ok(expected)
        );
    }

    #[test]
    fn a_managed_database_is_refused_instead_of_writing_to_sqlite_in_silence() {
        let spec =
            serde_json::json!({"storage": {"metadataSize": "1Gi"}, "percona": {"enabled": true}});
        let refused = source(&serde_json::from_value(spec).unwrap(), false).unwrap_err();
        assert!(refused.to_string().contains("spec.percona.enabled"));
    }

    #[test]
    fn a_taken_over_server_keeps_its_data_where_the_go_operator_wrote_it() {
        let spec =
            serde_json::json!({"storage": {"metadataSize": "1Gi"}, "percona": {"enabled": true}});
        let spec = serde_json::from_value(spec).unwrap();
        assert!(matches!(source(&spec, true), Ok(Source::Sqlite { .. })));
        assert!(data_still_in_sqlite(&spec, true));
        assert!(!data_still_in_sqlite(&spec, false));
    }
}
