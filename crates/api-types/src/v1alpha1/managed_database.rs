//! `spec.database.percona` and `spec.database.cloudnativePG`: PostgreSQL clusters of other operators.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DatabaseName, PerconaBackup, SslMode, bounded};
use crate::reference::{ObjectName, SecretRef};

/// The volumes of a cluster only grow.
pub(super) const GROWS: &str = "self.storageSize == oldSelf.storageSize || !isQuantity(oldSelf.storageSize) || !isQuantity(self.storageSize) || !quantity(self.storageSize).isLessThan(quantity(oldSelf.storageSize))";
pub(super) const SHRINKS: &str =
    "storageSize cannot shrink: volumes only grow. Set it to the old size or more";

/// An object of a database operator that exists already, in the namespace of the DittoServer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterRef {
    /// Name of the object.
    pub name: ObjectName,
}

/// What becomes of the database cluster with the DittoServer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseDeletion {
    /// It stays, with its data.
    #[default]
    Retain,
    /// It is deleted, with its data.
    Delete,
}

/// A PostgreSQL cluster of the Percona operator. Without clusterRef the operator makes a PerconaPGCluster NAME-postgres, whose fields these are; what is not named here belongs to you.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.sslmode) || self.sslmode in ['require', 'verify-ca', 'verify-full']").message("sslmode must be require, verify-ca or verify-full: a managed database takes no login without TLS"))]
#[x_kube(validation = Rule::new("!has(self.clusterRef) || (!has(self.backup) && !has(self.resources) && self.deletionPolicy == 'Retain')").message("backup, resources and deletionPolicy Delete belong to a cluster that the operator makes: set them in the PerconaPGCluster that clusterRef names"))]
#[x_kube(validation = Rule::new("has(self.clusterRef) == has(oldSelf.clusterRef) && (!has(self.clusterRef) || self.clusterRef == oldSelf.clusterRef) && self.databaseName == oldSelf.databaseName && self.user == oldSelf.user").message("clusterRef, databaseName and user cannot be changed: the control plane is in that database, and its tables are that user's. Set them back"))]
#[x_kube(validation = Rule::new("!(self.user in ['postgres', 'monitor', 'logicalrepl'])").message("user must not be postgres, monitor or logicalrepl: the Percona operator keeps these names for itself"))]
#[x_kube(validation = Rule::new(GROWS).message(SHRINKS))]
pub struct PerconaDatabase {
    /// A PerconaPGCluster that exists already; nothing is written to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,
    /// PostgreSQL role of the file server: lower-case letters, digits and '-', as the Percona operator takes them.
    #[serde(default = "user")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub user: String,
    /// Name of the database.
    #[serde(default = "database_name")]
    pub database_name: DatabaseName,
    /// Secret with the credentials of the role, where it is not called CLUSTER-pguser-USER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Version of the Percona operator whose behaviour the cluster has; not above that of the installed operator.
    #[serde(default = "cr_version")]
    #[schemars(
        length(min = 5, max = 64),
        regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+([-+][a-zA-Z0-9.+-]+)?$")
    )]
    pub cr_version: String,
    /// Image of PostgreSQL. The Percona operator has none of its own.
    #[serde(default = "postgres_image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// Major version of PostgreSQL in that image, 15 to 18.
    #[serde(default = "postgres_version")]
    #[schemars(range(min = 15, max = 18))]
    pub postgres_version: i32,
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
    /// CPU and memory of each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// What becomes of the cluster with the DittoServer.
    #[serde(default)]
    pub deletion_policy: DatabaseDeletion,
    /// Backups by pgBackRest; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<PerconaBackup>,
    /// Use of TLS: require, verify-ca, or verify-full when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
}

/// A PostgreSQL cluster of the CloudNativePG operator. Without clusterRef the operator makes a Cluster NAME-postgres, whose fields these are; what is not named here belongs to you.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.sslmode) || self.sslmode in ['require', 'verify-ca', 'verify-full']").message("sslmode must be require, verify-ca or verify-full: a managed database takes no login without TLS"))]
#[x_kube(validation = Rule::new("!has(self.clusterRef) || self.deletionPolicy == 'Retain'").message("deletionPolicy Delete belongs to a cluster that the operator makes, not to one that clusterRef names"))]
#[x_kube(validation = Rule::new("has(self.clusterRef) == has(oldSelf.clusterRef) && (!has(self.clusterRef) || self.clusterRef == oldSelf.clusterRef) && self.databaseName == oldSelf.databaseName").message("clusterRef and databaseName cannot be changed: the control plane is in that database. Set them back"))]
#[x_kube(validation = Rule::new("has(self.clusterRef) || !has(oldSelf.imageName) || has(self.imageName)").message("imageName cannot be taken away: the default of the CloudNativePG operator may be another major version of PostgreSQL, and it moves the data at once"))]
#[x_kube(validation = Rule::new(GROWS).message(SHRINKS))]
pub struct CloudNativePgDatabase {
    /// A Cluster that exists already; nothing is written to it. Its Secret CLUSTER-app opens the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ref: Option<ClusterRef>,
    /// Name of the database; its owner has the name dittofs.
    #[serde(default = "database_name")]
    pub database_name: DatabaseName,
    /// PostgreSQL instances, 1 to 5.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 5))]
    pub instances: i32,
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
    /// Image of PostgreSQL; the CloudNativePG operator's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image_name: Option<String>,
    /// What becomes of the cluster with the DittoServer.
    #[serde(default)]
    pub deletion_policy: DatabaseDeletion,
    /// Use of TLS: require, verify-ca, or verify-full when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
}

impl PerconaDatabase {
    /// Role of the file server unless the spec says otherwise.
    pub const USER: &str = "dittofs";
    /// crVersion unless the spec says otherwise: the release these defaults were taken from.
    pub const CR_VERSION: &str = "3.0.0";
    /// Image of PostgreSQL of that release.
    pub const IMAGE: &str = "percona/percona-distribution-postgresql:18.3-2";
    /// Major version of PostgreSQL in that image.
    pub const POSTGRES_VERSION: i32 = 18;
}

fn user() -> String {
    PerconaDatabase::USER.to_owned()
}

fn database_name() -> DatabaseName {
    DatabaseName("dittofs".to_owned())
}

fn cr_version() -> String {
    PerconaDatabase::CR_VERSION.to_owned()
}

fn postgres_image() -> String {
    PerconaDatabase::IMAGE.to_owned()
}

fn postgres_version() -> i32 {
    PerconaDatabase::POSTGRES_VERSION
}

fn one() -> i32 {
    1
}

fn storage_size() -> String {
    "10Gi".to_owned()
}
