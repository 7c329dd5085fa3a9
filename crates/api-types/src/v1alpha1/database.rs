//! `spec.database`: where the server keeps its control plane (users, shares, adapters).

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{CloudNativePgDatabase, DatabaseProvider, PerconaDatabase};
use crate::reference::{ObjectName, SecretKeyName, SecretKeyRef};

/// The control-plane database. Without this section it is SQLite on the control-plane volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'postgres' || has(self.postgresSecretRef) || has(self.secret) || has(self.percona) || has(self.cloudnativePG)").message("type postgres needs postgresSecretRef, secret, percona or cloudnativePG: name a Secret with the keys host, database, user and password, or a provider"))]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'sqlite' || !has(self.postgresSecretRef)").message("type sqlite and postgresSecretRef exclude each other: set type to postgres, or remove postgresSecretRef"))]
#[x_kube(validation = Rule::new("!((has(self.type) && self.type == 'sqlite') || has(self.sqlite)) || !(has(self.secret) || has(self.percona) || has(self.cloudnativePG))").message("sqlite excludes secret, percona and cloudnativePG: the server has exactly one control-plane database"))]
#[x_kube(validation = Rule::new("[has(self.postgresSecretRef), has(self.secret), has(self.percona), has(self.cloudnativePG)].filter(given, given).size() <= 1").message("postgresSecretRef, secret, percona and cloudnativePG exclude each other: the server has exactly one control-plane database"))]
#[x_kube(validation = Rule::new("!has(self.metadataDatabases) || self.metadataDatabases.size() == 0 || has(self.secret) || has(self.percona) || has(self.cloudnativePG)").message("metadataDatabases needs secret, percona or cloudnativePG: they lie in the same PostgreSQL server as the control plane"))]
#[x_kube(validation = Rule::new("!has(self.metadataDatabases) || !self.metadataDatabases.exists(name, (has(self.percona) && name == self.percona.databaseName) || (has(self.cloudnativePG) && name == self.cloudnativePG.databaseName))").message("metadataDatabases must not name the database of the control plane: their tables have the same names"))]
pub struct Database {
    /// Kind of database. When absent it follows from the other fields.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DatabaseType>,
    /// Settings of SQLite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
    /// Older spelling of secret: a Secret with the keys host, database, user and password, optionally port and sslmode. The field `key` is accepted for older manifests and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_secret_ref: Option<SecretKeyRef>,
    /// A PostgreSQL database of your own, described by a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<DatabaseSecret>,
    /// A PostgreSQL cluster of the Percona operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percona: Option<PerconaDatabase>,
    /// A PostgreSQL cluster of the CloudNativePG operator.
    #[serde(
        default,
        rename = "cloudnativePG",
        skip_serializing_if = "Option::is_none"
    )]
    pub cloudnative_pg: Option<CloudNativePgDatabase>,
    /// Databases for metadata stores of shares, in the same PostgreSQL server, at most 64. Each belongs to one share: metadataStore.postgres.database of a DittoFSShare names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub metadata_databases: Vec<DatabaseName>,
    /// Kind of the database that the control plane was in before: it says that its data has been moved, and is needed to change the kind of a server that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated_from: Option<DatabaseProvider>,
}

/// Name of a PostgreSQL database: 1 to 63 lower-case letters, digits, `-` and `_`, beginning with a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseName(pub String);

impl std::fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DatabaseName {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "DatabaseName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": 63,
            "pattern": r"^[a-z]([-_a-z0-9]*[a-z0-9])?$",
        })
    }
}

/// A PostgreSQL database that a Secret describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSecret {
    /// Name of the Secret. It has the keys host, database (or dbname), user (or username) and password, optionally port, sslmode and sslrootcert (a CA as PEM text); or one key with a DSN.
    pub name: ObjectName,
    /// Key with a DSN: a URL such as postgresql://user:password@host:5432/database?sslmode=verify-full, or words such as host=... user=.... The other keys are not read then, except sslrootcert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn_key: Option<SecretKeyName>,
    /// CA of the database server's certificate, as PEM text; it goes before the key sslrootcert.
    #[serde(
        default,
        rename = "caSecretRef",
        skip_serializing_if = "Option::is_none"
    )]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Use of TLS; it goes before the key sslmode, and before the DSN's. When nothing says it: verify-full with a CA, and require without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
}

/// Use of TLS between the file server and PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// No TLS: passwords and data can be read on the way.
    Disable,
    /// TLS where the database server offers it.
    Prefer,
    /// TLS; whose certificate it is, is not looked at.
    Require,
    /// TLS with a certificate of the CA.
    VerifyCa,
    /// TLS with a certificate of the CA for this host.
    VerifyFull,
}

impl SslMode {
    /// As PostgreSQL and the server spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }

    /// The mode of this spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [
            SslMode::Disable,
            SslMode::Prefer,
            SslMode::Require,
            SslMode::VerifyCa,
            SslMode::VerifyFull,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
    }
}

/// Kind of the control-plane database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseType {
    /// A file on the control-plane volume.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// Settings of SQLite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Sqlite {
    /// Path of the database file, on the control-plane volume: anywhere else it would be lost with the pod.
    #[serde(default = "sqlite_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('/data/controlplane/') && !self.contains('/../') && !self.endsWith('/') && !self.endsWith('/..')").message("must be a file under /data/controlplane/, the control-plane volume: anywhere else the database is lost with the pod"))]
    pub path: String,
}

fn sqlite_path() -> String {
    Sqlite::DEFAULT_PATH.to_owned()
}

impl Sqlite {
    /// Path of the database file unless the spec says otherwise.
    pub const DEFAULT_PATH: &str = "/data/controlplane/controlplane.db";
}

impl Default for Sqlite {
    fn default() -> Self {
        Sqlite {
            path: sqlite_path(),
        }
    }
}
