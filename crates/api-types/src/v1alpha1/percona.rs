//! `spec.percona`: the Go operator's spelling of `spec.database.percona`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::managed_database::{GROWS, SHRINKS};
use crate::reference::{ObjectName, SecretRef};

/// Older spelling of database.percona.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || !oldSelf.enabled || self.databaseName == oldSelf.databaseName").message("databaseName cannot be changed: the control plane is in that database. Set it back"))]
#[x_kube(validation = Rule::new(format!("!self.enabled || !oldSelf.enabled || {GROWS}")).message(SHRINKS))]
pub struct Percona {
    /// Whether the cluster is wanted.
    #[serde(default)]
    pub enabled: bool,
    /// Whether the cluster goes with the DittoServer.
    #[serde(default)]
    pub delete_with_server: bool,
    /// PostgreSQL instances, 1 to 5.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: i32,
    /// Size of each instance's volume, as a Kubernetes quantity.
    #[serde(default = "storage_size")]
    #[schemars(
        length(min = 1, max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?)?$")
    )]
    pub storage_size: String,
    /// StorageClass of those volumes; the cluster's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
    /// Name of the database.
    #[serde(default = "database_name")]
    #[schemars(length(min = 1, max = 63))]
    pub database_name: String,
    /// Backups by pgBackRest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<PerconaBackup>,
}

fn one() -> i32 {
    1
}

fn storage_size() -> String {
    "10Gi".to_owned()
}

fn database_name() -> String {
    "dittofs".to_owned()
}

/// Backups of the PostgreSQL cluster to an S3 bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || (has(self.bucket) && has(self.endpoint) && has(self.credentialsSecretRef))").message("backups need bucket, endpoint and credentialsSecretRef while they are enabled"))]
pub struct PerconaBackup {
    /// Whether backups are made.
    #[serde(default)]
    pub enabled: bool,
    /// Image of pgBackRest. The Percona operator has none of its own.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// Secret with the bucket's credentials: under the key s3.conf a pgBackRest configuration with repo1-s3-key and repo1-s3-key-secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    /// Name of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub bucket: Option<String>,
    /// Host of the S3 service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default = "region")]
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// When full backups start, as a cron line.
    #[serde(default = "full_schedule")]
    #[schemars(length(min = 1, max = 64))]
    pub full_schedule: String,
    /// When incremental backups start, as a cron line.
    #[serde(default = "incremental_schedule")]
    #[schemars(length(min = 1, max = 64))]
    pub incr_schedule: String,
    /// Days for which backups are kept, at least 1.
    #[serde(default = "retention_days")]
    #[schemars(range(min = 1, max = 36500))]
    pub retention_days: i32,
}

fn image() -> String {
    "percona/percona-pgbackrest:2.58.0-1".to_owned()
}

fn region() -> String {
    "eu-west-1".to_owned()
}

fn full_schedule() -> String {
    "0 2 * * *".to_owned()
}

fn incremental_schedule() -> String {
    "0 * * * *".to_owned()
}

fn retention_days() -> i32 {
    7
}
