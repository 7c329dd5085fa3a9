//! What the block stores hold, and their local caches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    shares::path,
    wire::{list, words},
};

pub(crate) static STATS: Route =
    Route::get("blocks.stats", "/api/v1/blockstore/stats", Access::Admin).class(Class::Slow);
pub(crate) static SHARE_STATS: Route = Route::get(
    "blocks.share_stats",
    "/api/v1/shares/{share}/blockstore/stats",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static EVICT: Route =
    Route::post("blocks.evict", "/api/v1/blockstore/evict", Access::Admin)
        .class(Class::Slow)
        .repeatable();
pub(crate) static SHARE_EVICT: Route = Route::post(
    "blocks.share_evict",
    "/api/v1/shares/{share}/blockstore/evict",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();
pub(crate) static WARM: Route = Route::post(
    "blocks.warm",
    "/api/v1/shares/{share}/blockstore/warm",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static WARM_JOB: Route = Route::get(
    "blocks.warm_job",
    "/api/v1/shares/{share}/blockstore/warm/{job}",
    Access::Admin,
);

/// The state of block stores. After a drain, nothing is only local when
/// `pending_uploads` and `unsynced_bytes` are 0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BlockStats {
    /// Files.
    pub file_count: i64,
    /// Blocks that wait to be stored.
    pub blocks_dirty: i64,
    /// Blocks that are only local.
    pub blocks_local: i64,
    /// Blocks in the remote store.
    pub blocks_remote: i64,
    /// All blocks.
    pub blocks_total: i64,
    /// Those of the local blocks that were fetched from the remote store.
    pub blocks_cached: i64,
    /// Bytes on the local disk.
    pub local_disk_used: i64,
    /// Bytes that may be there.
    pub local_disk_max: i64,
    /// Bytes in memory.
    pub local_mem_used: i64,
    /// Always 0: there is no such limit any more.
    pub local_mem_max: i64,
    /// Bytes of the write log from which on writes wait.
    pub append_log_limit_bytes: i64,
    /// Entries of the read buffer.
    pub read_buffer_entries: i64,
    /// Bytes in the read buffer.
    pub read_buffer_used: i64,
    /// Bytes that may be there.
    pub read_buffer_max: i64,
    /// Blocks to be synchronized.
    pub pending_syncs: i64,
    /// Uploads that wait.
    pub pending_uploads: i64,
    /// Synchronizations done.
    pub completed_syncs: i64,
    /// Synchronizations that failed.
    pub failed_syncs: i64,
    /// Bytes that are only local.
    pub unsynced_bytes: i64,
    /// Whether there is a remote store.
    pub has_remote: bool,
    /// Whether it answers.
    pub remote_healthy: bool,
    /// Whether the local store keeps everything because the remote one is away.
    pub eviction_suspended: bool,
    /// For how many seconds the remote store has been away.
    pub outage_duration_seconds: f64,
    /// Reads that failed because of that.
    pub offline_reads_blocked: i64,
    /// Whether what is in the local store survives a crash of the server.
    pub local_durable: bool,
    /// Whether what is in the remote store does; false without one.
    pub remote_durable: bool,
}

/// The state of block stores, together and by share.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BlockStatsOfAll {
    /// All shares together.
    pub totals: BlockStats,
    /// Each share.
    #[serde(default, deserialize_with = "list")]
    pub per_share: Vec<BlockStatsOfShare>,
}

/// The state of one share's block stores.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BlockStatsOfShare {
    /// Name of the share.
    pub share_name: String,
    /// Its state.
    pub stats: BlockStats,
}

/// Which caches to empty; both when neither is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evict {
    /// Only the memory for reading.
    pub read_buffer_only: bool,
    /// Only the local store.
    pub local_only: bool,
}

/// What was emptied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Evicted {
    /// Entries of the memory for reading.
    pub read_buffer_entries_cleared: u64,
    /// Files of the local store.
    pub local_files_evicted: u64,
    /// Bytes of the local store.
    pub bytes_freed: u64,
}

/// A job that fetches blocks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WarmStarted {
    /// Its ID.
    pub job_id: String,
    /// How far it is.
    pub status: WarmJob,
}

/// How far a job is that fetches blocks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WarmJob {
    /// Its ID.
    pub id: String,
    /// Name of the share.
    pub share: String,
    /// How far it is.
    pub state: JobState,
    /// Blocks to be fetched.
    pub blocks_total: u64,
    /// Blocks fetched.
    pub blocks_done: u64,
    /// Bytes fetched.
    pub bytes_done: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, in the server's words.
    #[serde(default)]
    pub error: String,
    /// What it could not do, in the server's words.
    #[serde(default)]
    pub warning: String,
}

words! {
    /// How far a job is.
    JobState {
        /// At work.
        Running = "running",
        /// Done.
        Done = "done",
        /// Failed.
        Failed = "failed",
    }
}

/// Calls for blocks, for role admin (server contract 3.16). See [`Client::blocks`].
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a>(&'a Client);

impl Client {
    /// What the block stores hold.
    #[must_use]
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks(self)
    }
}

impl Blocks<'_> {
    /// The state of all shares.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stats(&self) -> Result<BlockStatsOfAll, Error> {
        self.0.call(STATS.at(&[])).await
    }

    /// The state of one share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn share_stats(&self, share: &str) -> Result<BlockStatsOfAll, Error> {
        self.0.call(SHARE_STATS.at(&[path(share)])).await
    }

    /// Empties the caches of all shares.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a share has no remote store to read from again.
    pub async fn evict(&self, what: Evict) -> Result<Evicted, Error> {
        self.0.call(EVICT.at(&[]).json(&what)).await
    }

    /// Empties the caches of a share.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the share does not exist or has no remote store.
    pub async fn share_evict(&self, share: &str, what: Evict) -> Result<Evicted, Error> {
        self.0
            .call(SHARE_EVICT.at(&[path(share)]).json(&what))
            .await
    }

    /// Starts to fetch everything of a share into its local cache.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share.
    pub async fn warm(&self, share: &str) -> Result<WarmStarted, Error> {
        self.0.call(WARM.at(&[path(share)])).await
    }

    /// How far that is.
    ///
    /// # Errors
    /// [`Error::NotFound`], also after a restart of the server.
    pub async fn warm_job(&self, share: &str, id: &str) -> Result<WarmJob, Error> {
        self.0.call(WARM_JOB.at(&[path(share), id])).await
    }
}
