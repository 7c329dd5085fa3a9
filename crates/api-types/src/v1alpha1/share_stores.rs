//! `spec.metadataStore` and `spec.blockStore` of a share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded;
use crate::reference::{ObjectName, SecretRef};
use crate::size::VolumeSize;

const SAME_STORE_MESSAGE: &str = "metadataStore cannot be changed: the names and attributes of the files are in it. Set it back; to move the files, create another DittoFSShare and copy them";

/// Where the names and attributes of the files are kept. Each share gets a store of its own, because a
/// snapshot is restored for a whole store; only a store that exists already may have several shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self == oldSelf").message(SAME_STORE_MESSAGE))]
#[x_kube(validation = Rule::new("!has(self.path) || self.type in ['badger', 'sqlite']").message("path belongs to the types badger and sqlite: remove it, or set type"))]
#[x_kube(validation = Rule::new("!has(self.path) || self.type != 'sqlite' || self.path.matches('^/data/store/metadata/[^/]+$')").message("the path of a SQLite store is a file in /data/store/metadata itself: the server makes no folder for it"))]
#[x_kube(validation = Rule::new("has(self.postgres) == (self.type == 'postgres')").message("type postgres needs postgres, and no other type has it"))]
#[x_kube(validation = Rule::new("has(self.existing) == (self.type == 'existing')").message("type existing needs existing, and no other type has it"))]
pub struct MetadataStore {
    /// badger and sqlite keep files on the server's volume for metadata; postgres is a database of its own; memory loses every file when the server restarts; existing is a store that was made with the server's own tools.
    #[serde(default, rename = "type")]
    pub kind: MetadataStoreType,
    /// Folder (badger) or file (sqlite) on the server's volume for metadata. When absent: /data/store/metadata/SHARE, and for sqlite /data/store/metadata/SHARE.db. No two stores may have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    #[x_kube(validation = Rule::new("self.startsWith('/data/store/metadata/') && !self.endsWith('/') && !self.matches('//|/[.]{1,2}(/|$)')").message("must be below /data/store/metadata, the server's volume for metadata, and without '.', '..' and '//': anywhere else the files are lost with the pod"))]
    pub path: Option<String>,
    /// The PostgreSQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresStore>,
    /// The store that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingStore>,
}

/// Kind of a metadata store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataStoreType {
    /// A folder with a Badger database.
    #[default]
    Badger,
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
    /// Memory: everything is lost when the server restarts.
    Memory,
    /// A store that exists already.
    Existing,
}

/// A PostgreSQL database that is used for nothing else, least of all for the control plane: their tables have the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.database) != has(self.secretRef)").message("set either database, one of the DittoServer's databases for metadata stores, or secretRef, a Secret with a connection of your own"))]
pub struct PostgresStore {
    /// One of the databases for metadata stores that the DittoServer has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z]([-_a-z0-9]*[a-z0-9])?$")
    )]
    pub database: Option<String>,
    /// Secret with the connection: the keys host, database, user and password, optionally port and sslmode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// A store that was made with the server's own tools. It is used as it is, and never removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExistingStore {
    /// Name of the store in the server.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\x00-\x1f\x7f]+$"))]
    pub name: String,
}

/// Where the contents of the files are kept: on a volume of the server, and behind it in a bucket when there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.remote) == has(oldSelf.remote)").message("remote cannot be added or removed later: the contents stay where they were written. Set it back; to move the files, create another DittoFSShare and copy them"))]
pub struct BlockStore {
    /// The store on a volume of the server: the only copy without a remote store, else its cache.
    #[serde(default)]
    pub local: LocalBlockStore,
    /// The store in a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteBlockStore>,
}

/// The store on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == oldSelf.type && has(self.path) == has(oldSelf.path) && (!has(self.path) || self.path == oldSelf.path)").message("type and path of blockStore.local cannot be changed, set or removed: the contents of the files are there. Set them back; to move the files, create another DittoFSShare and copy them"))]
#[x_kube(validation = Rule::new("self.type == 'fs' || !(has(self.path) || has(self.maxLogSize))").message("path and maxLogSize belong to type fs: remove them, or set type"))]
pub struct LocalBlockStore {
    /// fs keeps files on the server's volume for contents; memory loses what is not in a remote store when the server restarts.
    #[serde(default, rename = "type")]
    pub kind: LocalBlockStoreType,
    /// Folder on the server's volume for contents; the share gets a folder of its own in it. /data/store/block when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    #[x_kube(validation = Rule::new("(self == '/data/store/block' || self.startsWith('/data/store/block/')) && !self.endsWith('/') && !self.matches('//|/[.]{1,2}(/|$)')").message("must be /data/store/block, the server's volume for contents, or below it, without '.', '..' and '//': anywhere else the files are lost with the pod"))]
    pub path: Option<String>,
    /// Bytes that the share may use locally when it has a remote store, such as 20Gi; the server takes it at its next start. When absent the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<VolumeSize>,
    /// Bytes of the log in which writes are collected, such as 1Gi; the server takes it at its next start. When absent the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_log_size: Option<VolumeSize>,
    /// Memory for reading, such as 256Mi; the server takes it at its next start. When absent the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_buffer_size: Option<VolumeSize>,
}

/// Kind of a local block store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LocalBlockStoreType {
    /// A folder.
    #[default]
    Fs,
    /// Memory.
    Memory,
}

/// The store in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteBlockStore {
    /// A bucket of S3 or of a server that speaks it.
    pub s3: S3,
}

const SAME_BUCKET: &str = "self.bucket == oldSelf.bucket && has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix) && has(self.compression) == has(oldSelf.compression) && (!has(self.compression) || self.compression == oldSelf.compression) && has(self.encryption) == has(oldSelf.encryption) && (!has(self.encryption) || self.encryption == oldSelf.encryption)";

/// A bucket of S3 or of a server that speaks it. No two servers may have the same bucket and prefix: each would remove what it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(SAME_BUCKET).message("bucket, prefix, compression and encryption cannot be changed, set or removed: the contents of the files were written so. Set them back; to move the files, create another DittoFSShare and copy them"))]
#[x_kube(validation = Rule::new("!has(self.allowPrivateEndpoint) || has(self.endpoint)").message("allowPrivateEndpoint is about endpoint: set it, or remove allowPrivateEndpoint"))]
pub struct S3 {
    /// Name of the bucket, which must exist.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub bucket: String,
    /// Beginning of the names of all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub prefix: Option<String>,
    /// Region of the bucket; us-east-1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub region: Option<String>,
    /// URL of another server than that of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s/@]+/?$"))]
    pub endpoint: Option<String>,
    /// Whether the bucket is in the path of URLs instead of in the host; true with an endpoint and false without one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// Whether endpoint may have a private address, as every endpoint in the cluster has; the server refuses it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_private_endpoint: Option<bool>,
    /// Secret in the namespace of the DittoFSShare with the keys accessKeyID and secretAccessKey. The server knows no other kind of credentials.
    pub credentials_secret_ref: SecretRef,
    /// How contents are compressed before they are sent; not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<Compression>")]
    pub compression: Option<Compression>,
    /// How the server encrypts contents before they are sent; not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// How contents are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard.
    Zstd,
    /// LZ4.
    Lz4,
}

/// How contents are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The method.
    #[serde(default)]
    pub aead: Aead,
    /// File with the key in the server's pod, mounted there with spec.pod of the DittoServer. Without the key nobody can read the files any more.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^/[^\x00-\x1f\x7f]+$"))]
    pub key_file: String,
}

/// A method of authenticated encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Aead {
    /// AES-256 in GCM.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// ChaCha20 with Poly1305.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// XChaCha20 with Poly1305.
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

impl S3 {
    /// Key of the credentials' Secret with the access key.
    pub const ACCESS_KEY_ID: &str = "accessKeyID";
    /// Key of the credentials' Secret with the secret key.
    pub const SECRET_ACCESS_KEY: &str = "secretAccessKey";

    /// Name of the Secret with the credentials.
    pub fn credentials(&self) -> &ObjectName {
        &self.credentials_secret_ref.name
    }
}
