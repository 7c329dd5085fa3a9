//! Which database holds the control plane.

use api_types::DittoServerSpec;
use api_types::names;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{
    CloudNativePgDatabase, Database, DatabaseDeletion, DatabaseName, DatabaseProvider,
    DatabaseSecret, DatabaseType, Percona, PerconaDatabase, Sqlite, SslMode,
};
use serde_json::{Value, json};

use crate::provider::{Provider, Seen};

/// The one source of the control-plane database.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file on the control-plane volume.
    Sqlite {
        /// Path of the file in the pod.
        path: String,
    },
    /// A PostgreSQL server that a Secret describes.
    Secret(SecretSource),
    /// A PostgreSQL cluster of another operator.
    Managed(Managed),
}

/// A PostgreSQL server that a Secret describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    /// Name of the Secret.
    pub name: String,
    /// Its key with the whole connection as one text.
    pub dsn_key: Option<String>,
    /// The CA of the database server's certificate.
    pub ca: Option<SecretKeyRef>,
    /// Use of TLS that goes before what the Secret says.
    pub sslmode: Option<SslMode>,
    /// Named in the Go operator's way: what that left to the server is left to it.
    pub by_older_field: bool,
    /// Databases for metadata stores.
    pub metadata: Vec<String>,
}

/// A PostgreSQL cluster of another operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// Name of its object.
    pub cluster: String,
    /// Databases for metadata stores.
    pub metadata: Vec<String>,
    settings: Settings,
    /// Named in the Go operator's way, which has no word for versions.
    by_older_field: bool,
}

/// What of a PerconaPGCluster says versions.
const VERSIONS: [&str; 3] = ["crVersion", "image", "postgresVersion"];

#[derive(Clone, Debug, PartialEq)]
enum Settings {
    Percona(Box<PerconaDatabase>),
    CloudNativePg(Box<CloudNativePgDatabase>),
}

impl Managed {
    fn new(server: &str, settings: Settings, metadata: Vec<String>, by_older_field: bool) -> Self {
        let mut managed = Managed {
            cluster: String::new(),
            metadata,
            settings,
            by_older_field,
        };
        managed.cluster = match managed.provider().existing() {
            Some(name) => name.to_owned(),
            None => names::managed_database(server),
        };
        managed
    }

    /// Its operator.
    pub fn provider(&self) -> &dyn Provider {
        match &self.settings {
            Settings::Percona(settings) => settings.as_ref(),
            Settings::CloudNativePg(settings) => settings.as_ref(),
        }
    }

    /// Whether the object is ours to make.
    pub fn is_ours(&self) -> bool {
        self.provider().existing().is_none()
    }

    /// Whether the object goes with the server.
    pub fn goes_with_server(&self) -> bool {
        self.is_ours() && self.provider().deletion() == DatabaseDeletion::Delete
    }

    /// Secret with the credentials.
    pub fn credentials(&self) -> String {
        self.provider().credentials(&self.cluster)
    }

    /// The CA of its certificate.
    pub fn authority(&self) -> SecretKeyRef {
        self.provider().authority(&self.cluster)
    }

    /// The spec of the object in `namespace`: only the fields that are ours. `live` is the object that exists.
    pub fn spec(&self, namespace: &str, live: Option<Seen<'_>>) -> Value {
        let provider = self.provider();
        let mut spec = provider.spec(namespace, &self.cluster, &self.metadata);
        if let Some(live) = live {
            provider.keep(&mut spec, live);
            if self.by_older_field {
                // Nobody has chosen them: a newer version of this operator moves no database to newer ones.
                for version in VERSIONS {
                    if let Some(now) = live.spec.get(version) {
                        spec[version] = now.clone();
                    }
                }
            }
        }
        spec
    }

    /// Major version of PostgreSQL of the live object, which is ours to write, and the one that the spec asks for,
    /// where they differ. Volumes hold data of one major version.
    pub fn other_version(&self, live: Seen<'_>) -> Option<(i64, i64)> {
        if !self.is_ours() || self.by_older_field {
            return None;
        }
        let now = self.provider().version_of(live)?;
        let wanted = self.provider().version()?;
        (now != wanted).then_some((now, wanted))
    }
}

/// PostgreSQL databases of a server.
struct Databases<'s> {
    provider: DatabaseProvider,
    /// The cluster; or the Secret, and the key in it.
    place: (&'s str, Option<&'s str>),
    /// The control plane's has the empty name where a Secret says it.
    names: Vec<&'s str>,
}

impl Source {
    /// The provider as `status.database.provider` names it.
    pub fn provider(&self) -> DatabaseProvider {
        match self {
            Source::Sqlite { .. } => DatabaseProvider::Sqlite,
            Source::Secret(_) => DatabaseProvider::Secret,
            Source::Managed(managed) => managed.provider().provider(),
        }
    }

    /// Whether one of the PostgreSQL databases is one of `other` too; both are of the same namespace. What two Secrets
    /// of different names describe is not compared.
    pub fn shares_a_database(&self, other: &Source) -> bool {
        let (Some(own), Some(others)) = (self.databases(), other.databases()) else {
            return false;
        };
        own.provider == others.provider
            && own.place == others.place
            && own.names.iter().any(|name| others.names.contains(name))
    }

    fn databases(&self) -> Option<Databases<'_>> {
        let (place, control_plane) = match self {
            Source::Sqlite { .. } => return None,
            Source::Secret(secret) => ((secret.name.as_str(), secret.dsn_key.as_deref()), ""),
            Source::Managed(managed) => (
                (managed.cluster.as_str(), None),
                managed.provider().database(),
            ),
        };
        let metadata = self.metadata().iter().map(String::as_str);
        Some(Databases {
            provider: self.provider(),
            place,
            names: metadata.chain(std::iter::once(control_plane)).collect(),
        })
    }

    /// The Secrets that are read for it.
    pub fn secrets(&self, server: &str) -> Vec<String> {
        match self {
            Source::Sqlite { .. } => Vec::new(),
            Source::Secret(secret) => {
                let derived = secret
                    .dsn_key
                    .as_ref()
                    .map(|_| names::database_connection(server));
                let ca = secret.ca.as_ref().map(|ca| ca.name.0.clone());
                std::iter::once(secret.name.clone())
                    .chain(derived)
                    .chain(ca)
                    .collect()
            }
            Source::Managed(managed) => {
                let backups = managed.provider().backup_credentials();
                [managed.credentials(), managed.authority().name.0]
                    .into_iter()
                    .chain(backups.map(|reference| reference.name.0))
                    .collect()
            }
        }
    }

    /// Databases for metadata stores.
    pub fn metadata(&self) -> &[String] {
        match self {
            Source::Sqlite { .. } => &[],
            Source::Secret(secret) => &secret.metadata,
            Source::Managed(managed) => &managed.metadata,
        }
    }

    /// What of it the server's process or its pod takes at the start, besides the values of Secrets.
    pub fn restart_part(&self) -> Value {
        match self {
            Source::Sqlite { path } => json!({ "sqlite": path }),
            Source::Secret(SecretSource {
                name,
                dsn_key,
                ca,
                sslmode,
                by_older_field: _,
                metadata: _,
            }) => json!({
                "secret": name,
                "dsnKey": dsn_key,
                "ca": ca,
                "sslmode": sslmode.map(SslMode::as_str),
            }),
            Source::Managed(managed) => json!({
                "provider": managed.provider().provider(),
                "cluster": managed.cluster,
                "secret": managed.credentials(),
                "database": managed.provider().database(),
                "sslmode": managed.provider().sslmode().as_str(),
            }),
        }
    }
}

/// The spec asks for a database that there is no source for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "spec.{field} asks for a database that this release cannot provide: use SQLite, or name a PostgreSQL server with spec.database.secret"
)]
pub struct NotSupported {
    /// Path of the field below spec.
    pub field: &'static str,
}

/// The control-plane database that `spec` of the server called `server` asks for.
///
/// The Go operator made a managed database and then wrote everything to SQLite: a server that was
/// `taken_over` from it keeps its data there until the spec says that it was moved.
///
/// A Secret wins over the type `sqlite`: servers of the Go operator carry that type as a default
/// and use PostgreSQL all the same.
///
/// # Errors
/// When the spec asks for a database and says nothing of where it is.
pub fn source(
    server: &str,
    spec: &DittoServerSpec,
    taken_over: bool,
) -> Result<Source, NotSupported> {
    let none = Database::default();
    let Database {
        kind,
        sqlite,
        postgres_secret_ref,
        secret,
        percona,
        cloudnative_pg,
        metadata_databases,
        migrated_from: _,
    } = spec.database.as_ref().unwrap_or(&none);
    let metadata: Vec<String> = metadata_databases
        .iter()
        .map(|name| name.0.clone())
        .collect();
    if data_still_in_sqlite(spec, taken_over) {
        return Ok(file(sqlite.as_ref()));
    }
    if let Some(reference) = postgres_secret_ref {
        return Ok(Source::Secret(SecretSource {
            name: reference.name.0.clone(),
            dsn_key: None,
            ca: None,
            sslmode: None,
            by_older_field: true,
            metadata,
        }));
    }
    if let Some(DatabaseSecret {
        name,
        dsn_key,
        ca_secret_ref,
        sslmode,
    }) = secret
    {
        return Ok(Source::Secret(SecretSource {
            name: name.0.clone(),
            dsn_key: dsn_key.as_ref().map(|key| key.0.clone()),
            ca: ca_secret_ref.clone(),
            sslmode: *sslmode,
            by_older_field: false,
            metadata,
        }));
    }
    let older = spec.percona.as_ref().filter(|percona| percona.enabled);
    let (settings, by_older_field) = if let Some(percona) = percona {
        (Settings::Percona(Box::new(percona.clone())), false)
    } else if let Some(cluster) = cloudnative_pg {
        (Settings::CloudNativePg(Box::new(cluster.clone())), false)
    } else if let Some(percona) = older {
        let percona = Box::new(of_older_field(percona));
        (Settings::Percona(percona), true)
    } else if *kind == Some(DatabaseType::Postgres) {
        return Err(NotSupported {
            field: "database.type",
        });
    } else {
        return Ok(file(sqlite.as_ref()));
    };
    Ok(Source::Managed(Managed::new(
        server,
        settings,
        metadata,
        by_older_field,
    )))
}

fn file(sqlite: Option<&Sqlite>) -> Source {
    Source::Sqlite {
        path: sqlite.map_or_else(
            || Sqlite::DEFAULT_PATH.to_owned(),
            |sqlite| sqlite.path.clone(),
        ),
    }
}

/// `spec.percona` in today's words.
fn of_older_field(older: &Percona) -> PerconaDatabase {
    let Percona {
        enabled: _,
        delete_with_server,
        replicas,
        storage_size,
        storage_class_name,
        database_name,
        backup,
    } = older;
    PerconaDatabase {
        cluster_ref: None,
        user: PerconaDatabase::USER.to_owned(),
        database_name: DatabaseName(database_name.clone()),
        secret_ref: None,
        cr_version: PerconaDatabase::CR_VERSION.to_owned(),
        image: PerconaDatabase::IMAGE.to_owned(),
        postgres_version: PerconaDatabase::POSTGRES_VERSION,
        replicas: *replicas,
        storage_size: storage_size.clone(),
        storage_class_name: storage_class_name.clone(),
        resources: None,
        deletion_policy: if *delete_with_server {
            DatabaseDeletion::Delete
        } else {
            DatabaseDeletion::Retain
        },
        backup: backup.clone(),
        sslmode: None,
    }
}

/// Whether the data of a taken-over server lies in SQLite although a managed database is asked for.
pub fn data_still_in_sqlite(spec: &DittoServerSpec, taken_over: bool) -> bool {
    let database = spec.database.as_ref();
    let by_older_field = spec.percona.as_ref().is_some_and(|percona| percona.enabled);
    let another = database.is_some_and(|database| {
        database.postgres_secret_ref.is_some()
            || database.secret.is_some()
            || database.cloudnative_pg.is_some()
    });
    let moved = database.is_some_and(|database| {
        database.percona.is_some() && database.migrated_from == Some(DatabaseProvider::Sqlite)
    });
    taken_over && by_older_field && !another && !moved
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn of(rest: Value, taken_over: bool) -> Result<Source, NotSupported> {
        let mut spec = json!({"storage": {"metadataSize": "1Gi"}});
        spec.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        source("files", &serde_json::from_value(spec).unwrap(), taken_over)
    }

    fn managed(rest: Value) -> Managed {
        match of(rest, false) {
            Ok(Source::Managed(managed)) => managed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sqlite_on_the_control_plane_volume_is_the_default() {
        let expected = Source::Sqlite {
            path: "/data/controlplane/controlplane.db".to_owned(),
        };
        assert_eq!(of(json!({}), false), Ok(expected.clone()));
        assert_eq!(of(json!({"database": {"sqlite": {}}}), false), Ok(expected));
    }

    #[test]
    fn a_secret_means_postgresql_whatever_default_type_an_old_object_carries() {
        let reference = json!({"name": "pg", "key": "unused"});
        let plain = of(json!({"database": {"postgresSecretRef": reference}}), false);
        assert!(
            matches!(&plain, Ok(Source::Secret(secret)) if secret.name == "pg" && secret.by_older_field)
        );
        let typed = json!({"database": {"type": "sqlite", "postgresSecretRef": reference}});
        assert_eq!(of(typed, false), plain);
    }

    #[test]
    fn a_type_without_a_place_is_refused() {
        let refused = of(json!({"database": {"type": "postgres"}}), false).unwrap_err();
        assert!(refused.to_string().contains("spec.database.type"));
    }

    #[test]
    fn the_older_field_means_a_cluster_of_its_own_for_a_new_server() {
        let older = managed(
            json!({"percona": {"enabled": true, "databaseName": "d", "deleteWithServer": true, "replicas": 3}}),
        );
        assert_eq!(older.cluster, "files-postgres");
        assert!(older.is_ours() && older.goes_with_server());
        assert_eq!(older.credentials(), "files-postgres-pguser-dittofs");
        assert_eq!(older.spec("media", None)["instances"][0]["replicas"], 3);
        assert_eq!(older.provider().database(), "d");
    }

    #[test]
    fn versions_that_nobody_chose_stay_as_they_are() {
        let meta = ObjectMeta::default();
        let status = Value::Null;
        let spec = json!({"crVersion": "2.8.0", "image": "percona-distribution-postgresql:17.6-1", "postgresVersion": 17});
        let live = Seen {
            meta: &meta,
            spec: &spec,
            status: &status,
        };
        let versions = |managed: &Managed| {
            let spec = managed.spec("media", Some(live));
            VERSIONS.map(|version| spec[version].clone())
        };
        let older = managed(json!({"percona": {"enabled": true}}));
        assert_eq!(versions(&older), VERSIONS.map(|name| spec[name].clone()));
        assert_eq!(older.other_version(live), None);
        let chosen = managed(json!({"database": {"percona": {}}}));
        assert_eq!(versions(&chosen)[0], PerconaDatabase::CR_VERSION);
        assert_eq!(chosen.other_version(live), Some((17, 18)));
        // One that is to be made has those of this release, in either spelling.
        assert_eq!(older.spec("media", None), chosen.spec("media", None));
    }

    #[test]
    fn a_cluster_that_exists_is_nobodys_to_make_or_delete() {
        let named = managed(
            json!({"database": {"percona": {"clusterRef": {"name": "shared"}, "user": "files", "databaseName": "files"}}}),
        );
        assert_eq!(named.cluster, "shared");
        assert!(!named.is_ours() && !named.goes_with_server());
        assert_eq!(named.credentials(), "shared-pguser-files");
        let named = managed(json!({"database": {"cloudnativePG": {"clusterRef": {"name": "c"}}}}));
        assert_eq!(named.credentials(), "c-app");
        assert_eq!(named.authority(), SecretKeyRef::new("c-ca", "ca.crt"));
    }

    #[test]
    fn a_taken_over_server_keeps_its_data_where_the_go_operator_wrote_it_until_it_is_moved() {
        let older = json!({"percona": {"enabled": true}});
        assert!(matches!(of(older, true), Ok(Source::Sqlite { .. })));
        let asked = json!({"percona": {"enabled": true}, "database": {"percona": {}}});
        assert!(matches!(of(asked, true), Ok(Source::Sqlite { .. })));
        let moved = json!({"percona": {"enabled": true}, "database": {"percona": {}, "migratedFrom": "sqlite"}});
        assert!(matches!(of(moved, true), Ok(Source::Managed(_))));
    }

    #[test]
    fn the_restart_part_of_the_older_field_is_that_of_earlier_releases() {
        let older = of(
            json!({"database": {"postgresSecretRef": {"name": "pg", "key": "k"}}}),
            false,
        );
        let part = older.unwrap().restart_part();
        assert_eq!(
            part,
            json!({"secret": "pg", "dsnKey": null, "ca": null, "sslmode": null})
        );
    }

    #[test]
    fn servers_that_share_a_database_are_told_from_those_that_share_a_cluster() {
        let of = |database: Value| of(json!({"database": database}), false).unwrap();
        let cluster = |name: &str, metadata: &[&str]| {
            of(
                json!({"percona": {"clusterRef": {"name": "pg"}, "databaseName": name}, "metadataDatabases": metadata}),
            )
        };
        let one = cluster("one", &["films"]);
        for (other, shares) in [
            (cluster("one", &[]), true),
            (cluster("two", &[]), false),
            (cluster("two", &["one"]), true),
            (cluster("films", &[]), true),
            (cluster("two", &["films"]), true),
            (
                of(json!({"cloudnativePG": {"clusterRef": {"name": "pg"}, "databaseName": "one"}})),
                false,
            ),
            (of(json!({"sqlite": {}})), false),
        ] {
            assert_eq!(one.shares_a_database(&other), shares, "{other:?}");
            assert_eq!(other.shares_a_database(&one), shares, "{other:?}");
        }
        let secret = |name: &str| of(json!({"secret": {"name": name}}));
        assert!(secret("a").shares_a_database(&secret("a")));
        assert!(!secret("a").shares_a_database(&secret("b")));
        let key = |key: &str| of(json!({"secret": {"name": "a", "dsnKey": key}}));
        assert!(!key("one").shares_a_database(&key("two")));
        let files = of(json!({}));
        assert!(!files.shares_a_database(&files));
    }
}
