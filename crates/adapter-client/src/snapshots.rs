//! Snapshots of shares, kept by the server itself: a quick way back, no backup.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    shares::path,
    wire::words,
};

pub(crate) static CREATE: Route = Route::post(
    "snapshots.create",
    "/api/v1/shares/{share}/snapshots",
    Access::Admin,
);
pub(crate) static LIST: Route = Route::get(
    "snapshots.list",
    "/api/v1/shares/{share}/snapshots",
    Access::Admin,
);
pub(crate) static GET: Route = Route::get(
    "snapshots.get",
    "/api/v1/shares/{share}/snapshots/{snapshot}",
    Access::Admin,
);
pub(crate) static DELETE: Route = Route::delete(
    "snapshots.delete",
    "/api/v1/shares/{share}/snapshots/{snapshot}",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static RESTORE: Route = Route::post(
    "snapshots.restore",
    "/api/v1/shares/{share}/snapshots/{snapshot}/restore",
    Access::Admin,
)
.class(Class::Restore);

words! {
    /// How far a snapshot is.
    SnapshotState {
        /// Being made.
        Creating = "creating",
        /// Can be restored.
        Ready = "ready",
        /// Cannot be used.
        Failed = "failed",
    }
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// UUID.
    pub id: String,
    /// Label; not unique. The safety snapshots of restores have none.
    #[serde(default)]
    pub name: String,
    /// Name of the share.
    pub share: String,
    /// How far it is.
    pub state: SnapshotState,
    /// Whether all its blocks are in the remote store.
    pub remote_durable: bool,
    /// Whether a policy made it.
    pub scheduled: bool,
    /// Blocks it refers to; in single answers only.
    #[serde(default)]
    pub manifest_count: u64,
    /// Bytes of its metadata; in single answers only.
    #[serde(default)]
    pub dump_bytes: u64,
    /// Why it failed, in the server's words.
    #[serde(default)]
    pub error: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When its state changed.
    pub updated_at: Timestamp,
}

/// A snapshot to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewSnapshot {
    /// Label.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Does not look whether all blocks are in the remote store; it is then not durable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_verify: bool,
    /// ID of a failed snapshot to be made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
}

/// A snapshot that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SnapshotStarted {
    /// Its UUID.
    pub snapshot_id: String,
    /// Name of the share.
    pub share: String,
}

#[derive(Serialize)]
struct RestoreBody {
    allow_non_durable: bool,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Restored {
    /// The snapshot that was restored.
    pub snapshot_id: String,
    /// The snapshot of the state before, which nobody removes.
    pub safety_snapshot_id: Option<String>,
    /// Name of the share.
    pub share: String,
}

/// Calls for snapshots, for role admin (server contract 6.2 and 6.3). See [`Client::snapshots`].
#[derive(Clone, Copy, Debug)]
pub struct Snapshots<'a>(&'a Client);

impl Client {
    /// Snapshots of shares.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots(self)
    }
}

impl Snapshots<'_> {
    /// Starts a snapshot; ask for it until it is ready or failed.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share or the one to be made again; [`Error::Conflict`] while
    /// another one is made, or when the one to be made again has not failed;
    /// [`Error::Invalid`] for a share on a local store in memory.
    pub async fn create(
        &self,
        share: &str,
        snapshot: &NewSnapshot,
    ) -> Result<SnapshotStarted, Error> {
        self.0.call(CREATE.at(&[path(share)]).json(snapshot)).await
    }

    /// All snapshots of a share, newest first; none for a share that does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, share: &str) -> Result<Vec<Snapshot>, Error> {
        self.0.call_list(LIST.at(&[path(share)])).await
    }

    /// One snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, share: &str, id: &str) -> Result<Snapshot, Error> {
        self.0.call(GET.at(&[path(share), id])).await
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while it is made or needed.
    pub async fn delete(&self, share: &str, id: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[path(share), id])).await
    }

    /// Brings back the state of a snapshot and waits for it. The share must be disabled and stays
    /// so. Every share on the same metadata store is rolled back with it. When the caller goes
    /// away, the server gives up midway.
    ///
    /// # Errors
    /// [`Error::Conflict`] while the share is enabled or the snapshot is not ready;
    /// [`Error::Precondition`] when it is not durable and that is not allowed; [`Error::NotFound`];
    /// [`Error::is_outcome_unknown`] for what came too late.
    pub async fn restore(
        &self,
        share: &str,
        id: &str,
        allow_non_durable: bool,
    ) -> Result<Restored, Error> {
        self.0
            .call(
                RESTORE
                    .at(&[path(share), id])
                    .json(&RestoreBody { allow_non_durable }),
            )
            .await
    }
}
