//! Block stores: where the content of files is kept, locally and remotely.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    client::Client,
    error::Error,
    health::HealthReport,
    route::{Access, Class, Request, Route},
    stores::{StoreBody, StoreHealth, same},
    users::exposed,
};

pub(crate) static LIST: Route = Route::get(
    "block_stores.list",
    "/api/v1/store/block/{kind}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static GET: Route = Route::get(
    "block_stores.get",
    "/api/v1/store/block/{kind}/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static CREATE: Route = Route::post(
    "block_stores.create",
    "/api/v1/store/block/{kind}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static UPDATE: Route = Route::put(
    "block_stores.update",
    "/api/v1/store/block/{kind}/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static DELETE: Route = Route::delete(
    "block_stores.delete",
    "/api/v1/store/block/{kind}/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static HEALTH: Route = Route::get(
    "block_stores.health",
    "/api/v1/store/block/{kind}/{store}/health",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static STATUS: Route = Route::get(
    "block_stores.status",
    "/api/v1/store/block/{kind}/{store}/status",
    Access::Admin,
)
.class(Class::Slow);

/// Which block stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// On the server; every share has one.
    Local,
    /// In object storage; optional.
    Remote,
}

impl Tier {
    /// The server's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Local => "local",
            Tier::Remote => "remote",
        }
    }
}

/// A block store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BlockStore {
    /// UUID.
    pub id: String,
    /// Name, unique in its tier.
    pub name: String,
    /// `local` or `remote`.
    #[serde(rename = "kind")]
    pub tier: String,
    /// `fs`, `memory` or `s3`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration as the server shows it: secrets are `********`. Compare it with
    /// [`BlockStoreConfig::matches`].
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it does.
    pub status: HealthReport,
}

/// Where a block store keeps its data (contract 3.10).
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BlockStoreConfig {
    /// A folder of the server.
    Fs(FsConfig),
    /// In memory, for tests: everything is lost when the server restarts.
    Memory {
        /// The tier it is made for.
        #[serde(skip)]
        tier: Tier,
    },
    /// A bucket.
    S3(Box<S3Config>),
}

/// A folder of the server. Each share has one of its own in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsConfig {
    /// The folder, absolute.
    pub path: String,
    /// Bytes that a share may use locally when it has a remote store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Bytes of the write log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_log_bytes: Option<u64>,
    /// When a write counts as done: `local`, `writeback` or `remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
}

/// A bucket of S3 or of a server that speaks it.
#[derive(Clone, Debug, Serialize)]
pub struct S3Config {
    /// Its name; must exist.
    pub bucket: String,
    /// Access key.
    #[serde(serialize_with = "exposed")]
    pub access_key_id: SecretString,
    /// Secret key.
    #[serde(serialize_with = "exposed")]
    pub secret_access_key: SecretString,
    /// Region; `us-east-1` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// URL of another server than AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Start of the names of all objects. Two file servers must never share bucket and prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Whether the bucket is in the path of URLs; true with an endpoint when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// Needed for an endpoint with a private address, so for every one in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_private_endpoint: Option<bool>,
    /// Uploads at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_uploads: Option<u32>,
    /// Compression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Encryption by the file server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// Compression of what goes to a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// `zstd` or `lz4`.
    pub algo: String,
}

/// Encryption of what goes to a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Encryption {
    /// `aes-256-gcm`, `chacha20-poly1305` or `xchacha20-poly1305`.
    pub aead: String,
    /// Where the key is.
    pub key: EncryptionKey,
}

/// Where the key of an encrypted bucket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EncryptionKey {
    /// In a file of the server.
    Local {
        /// The file.
        file: String,
    },
    /// In a key server. The certificates are files of the file server.
    Kmip {
        /// Host and port.
        endpoint: String,
        /// Authority of the key server's certificate.
        server_ca: String,
        /// Client certificate.
        client_cert: String,
        /// Its key.
        client_key: String,
        /// Which key.
        key_uid: String,
    },
}

impl BlockStoreConfig {
    /// The server's word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            BlockStoreConfig::Fs(_) => "fs",
            BlockStoreConfig::Memory { .. } => "memory",
            BlockStoreConfig::S3(_) => "s3",
        }
    }

    /// The tier it belongs to.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self {
            BlockStoreConfig::Fs(_) => Tier::Local,
            BlockStoreConfig::Memory { tier } => *tier,
            BlockStoreConfig::S3(_) => Tier::Remote,
        }
    }

    /// Whether `store` has this configuration. Secrets, which the server does not
    /// show, count as equal.
    #[must_use]
    pub fn matches(&self, store: &BlockStore) -> bool {
        self.tier().as_str() == store.tier
            && self.kind() == store.kind
            && same(self, store.config.as_ref())
    }

    fn hide(&self, request: Request) -> Request {
        match self {
            BlockStoreConfig::S3(s3) => request
                .secret(&s3.access_key_id)
                .secret(&s3.secret_access_key),
            BlockStoreConfig::Fs(_) | BlockStoreConfig::Memory { .. } => request,
        }
    }
}

/// Calls for block stores, for role admin (server contract 3.10). See [`Client::block_stores`].
#[derive(Clone, Copy, Debug)]
pub struct BlockStores<'a>(&'a Client);

impl Client {
    /// Where the content of files is kept.
    #[must_use]
    pub fn block_stores(&self) -> BlockStores<'_> {
        BlockStores(self)
    }
}

impl BlockStores<'_> {
    /// All block stores of a tier.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, tier: Tier) -> Result<Vec<BlockStore>, Error> {
        self.0.call_list(LIST.at(&[tier.as_str()])).await
    }

    /// One block store.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, tier: Tier, name: &str) -> Result<BlockStore, Error> {
        self.0.call(GET.at(&[tier.as_str(), name])).await
    }

    /// Makes a block store. Whether a bucket can be reached, and compression and encryption, are not
    /// checked; see its status, which takes 5 s when nobody answers.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken in its tier; [`Error::Invalid`] for a
    /// configuration that cannot work, such as a folder that cannot be made.
    pub async fn create(&self, name: &str, config: &BlockStoreConfig) -> Result<BlockStore, Error> {
        let request = CREATE.at(&[config.tier().as_str()]).json(&StoreBody::new(
            Some(name),
            config.kind(),
            config,
        ));
        self.0.call(config.hide(request)).await
    }

    /// Replaces the configuration; shares use it when they are loaded next.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`].
    pub async fn update(&self, name: &str, config: &BlockStoreConfig) -> Result<BlockStore, Error> {
        let request = UPDATE
            .at(&[config.tier().as_str(), name])
            .json(&StoreBody::new(None, config.kind(), config));
        self.0.call(config.hide(request)).await
    }

    /// Forgets a store; its data stays.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a share uses it.
    pub async fn delete(&self, tier: Tier, name: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[tier.as_str(), name])).await
    }

    /// Probes the store now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn health(&self, tier: Tier, name: &str) -> Result<StoreHealth, Error> {
        self.0.call(HEALTH.at(&[tier.as_str(), name])).await
    }

    /// The report on the store; kept for 5 s.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn status(&self, tier: Tier, name: &str) -> Result<HealthReport, Error> {
        self.0.call(STATUS.at(&[tier.as_str(), name])).await
    }
}
