//! `spec.database`: where the server keeps its control plane (users, shares, adapters).

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::SecretKeyRef;

/// The control-plane database. Without this section it is SQLite on the control-plane volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'postgres' || has(self.postgresSecretRef)").message("type postgres needs postgresSecretRef: name a Secret with the keys host, database, user and password"))]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'sqlite' || !has(self.postgresSecretRef)").message("type sqlite and postgresSecretRef exclude each other: set type to postgres, or remove postgresSecretRef"))]
pub struct Database {
    /// Kind of database. When absent it follows from postgresSecretRef.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DatabaseType>,
    /// Settings of SQLite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
    /// Secret with the connection to a PostgreSQL database of your own: the keys host, database, user and password, optionally port and sslmode. The field `key` is accepted for older manifests and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_secret_ref: Option<SecretKeyRef>,
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
