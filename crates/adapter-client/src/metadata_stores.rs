//! Metadata stores: where the names and attributes of files are kept.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    client::Client,
    error::Error,
    health::HealthReport,
    route::{Access, Class, Route},
    stores::{StoreBody, StoreHealth, same},
    users::exposed,
};

pub(crate) static LIST: Route = Route::get(
    "metadata_stores.list",
    "/api/v1/store/metadata",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static GET: Route = Route::get(
    "metadata_stores.get",
    "/api/v1/store/metadata/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static CREATE: Route = Route::post(
    "metadata_stores.create",
    "/api/v1/store/metadata",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static UPDATE: Route = Route::put(
    "metadata_stores.update",
    "/api/v1/store/metadata/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static DELETE: Route = Route::delete(
    "metadata_stores.delete",
    "/api/v1/store/metadata/{store}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static HEALTH: Route = Route::get(
    "metadata_stores.health",
    "/api/v1/store/metadata/{store}/health",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static STATUS: Route = Route::get(
    "metadata_stores.status",
    "/api/v1/store/metadata/{store}/status",
    Access::Admin,
)
.class(Class::Slow);

/// A metadata store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MetadataStore {
    /// UUID.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// `memory`, `badger`, `sqlite` or `postgres`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration as the server shows it: secrets are `********`. Compare it with
    /// [`MetadataStoreConfig::matches`].
    #[serde(default)]
    pub config: Option<Map<String, Value>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it does.
    pub status: HealthReport,
}

/// Where a metadata store keeps its data (contract 3.9). Several stores of one
/// kind never share a place.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum MetadataStoreConfig {
    /// In memory: everything is lost when the server restarts.
    Memory {},
    /// A folder with a Badger database.
    Badger {
        /// The folder.
        path: String,
        /// Block cache in MiB; the server chooses by its memory when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        block_cache_mb: Option<u64>,
        /// Index cache in MiB.
        #[serde(skip_serializing_if = "Option::is_none")]
        index_cache_mb: Option<u64>,
        /// Whether changes are acknowledged before they are on disk; true when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        relaxed_durability: Option<bool>,
    },
    /// A SQLite file.
    Sqlite {
        /// The file.
        path: String,
    },
    /// A PostgreSQL database of its own, which must exist. Never that of the control plane.
    Postgres {
        /// Name or address.
        host: String,
        /// TCP port; 5432 when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// Name of the database.
        database: String,
        /// Role; must have CREATE on the database.
        user: String,
        /// Its password.
        #[serde(serialize_with = "exposed")]
        password: SecretString,
        /// `disable` (when absent), `require`, `verify-ca`, `verify-full`.
        #[serde(skip_serializing_if = "Option::is_none")]
        sslmode: Option<String>,
        /// Connections at most; 10 when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_conns: Option<u32>,
        /// Connections kept open; 3 when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        min_conns: Option<u32>,
        /// Whether changes are acknowledged before they are on disk; true when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        relaxed_durability: Option<bool>,
    },
}

impl MetadataStoreConfig {
    /// The server's word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            MetadataStoreConfig::Memory {} => "memory",
            MetadataStoreConfig::Badger { .. } => "badger",
            MetadataStoreConfig::Sqlite { .. } => "sqlite",
            MetadataStoreConfig::Postgres { .. } => "postgres",
        }
    }

    /// Whether `store` has this configuration. Secrets, which the server does not
    /// show, count as equal.
    #[must_use]
    pub fn matches(&self, store: &MetadataStore) -> bool {
        self.kind() == store.kind && same(self, store.config.as_ref())
    }
}

/// Calls for metadata stores, for role admin (server contract 3.9). See [`Client::metadata_stores`].
#[derive(Clone, Copy, Debug)]
pub struct MetadataStores<'a>(&'a Client);

impl Client {
    /// Where the names and attributes of files are kept.
    #[must_use]
    pub fn metadata_stores(&self) -> MetadataStores<'_> {
        MetadataStores(self)
    }
}

impl MetadataStores<'_> {
    /// All metadata stores.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<MetadataStore>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// One metadata store.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, name: &str) -> Result<MetadataStore, Error> {
        self.0.call(GET.at(&[name])).await
    }

    /// Opens and stores a metadata store. The server opens it before it looks whether the name is
    /// taken, and keeps it open: ask with [`MetadataStores::get`] first.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken; [`Error::Invalid`] when it cannot be opened,
    /// which is also the answer to a second badger store with the same path.
    pub async fn create(
        &self,
        name: &str,
        config: &MetadataStoreConfig,
    ) -> Result<MetadataStore, Error> {
        let mut request = CREATE
            .at(&[])
            .json(&StoreBody::new(Some(name), config.kind(), config));
        if let MetadataStoreConfig::Postgres { password, .. } = config {
            request = request.secret(password);
        }
        self.0.call(request).await
    }

    /// Replaces the configuration. The server does not check it, and uses it from its next start
    /// on; with one that cannot be opened it does not start.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update(
        &self,
        name: &str,
        config: &MetadataStoreConfig,
    ) -> Result<MetadataStore, Error> {
        let mut request = UPDATE
            .at(&[name])
            .json(&StoreBody::new(None, config.kind(), config));
        if let MetadataStoreConfig::Postgres { password, .. } = config {
            request = request.secret(password);
        }
        self.0.call(request).await
    }

    /// Forgets a store. Its data stays, and it stays open until the server restarts.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a share uses it.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[name])).await
    }

    /// Probes the store now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn health(&self, name: &str) -> Result<StoreHealth, Error> {
        self.0.call(HEALTH.at(&[name])).await
    }

    /// The report on the store; kept for 5 s.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn status(&self, name: &str) -> Result<HealthReport, Error> {
        self.0.call(STATUS.at(&[name])).await
    }
}
