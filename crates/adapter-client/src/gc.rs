//! Garbage collection: blocks that no file needs, and the search for what is out of step.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    blocks::JobState,
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    shares::path,
    wire::{Seconds, list},
};

pub(crate) static RUN: Route = Route::post(
    "gc.run",
    "/api/v1/shares/{share}/blockstore/gc",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static JOB: Route = Route::get(
    "gc.job",
    "/api/v1/shares/{share}/blockstore/gc/{job}",
    Access::Admin,
);
pub(crate) static LAST_RUN: Route = Route::get(
    "gc.last_run",
    "/api/v1/shares/{share}/blockstore/gc-status",
    Access::Admin,
);
pub(crate) static RECONCILE_REPORT: Route = Route::get(
    "gc.reconcile_report",
    "/api/v1/blockstore/reconcile-report",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static RECLAIM: Route = Route::post(
    "gc.reclaim",
    "/api/v1/blockstore/reconcile/reclaim",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static AUDIT_REFCOUNTS: Route = Route::post(
    "gc.audit_refcounts",
    "/api/v1/shares/{share}/audit/refcounts",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();

/// How to collect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GcOptions {
    /// Only counts.
    pub dry_run: bool,
    /// Also looks for objects that no record knows.
    pub reconcile: bool,
    /// Age below which nothing is removed; that of the configuration when absent.
    #[serde(
        rename = "grace_period_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub grace_period: Option<Seconds>,
}

/// A collection that was started.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GcStarted {
    /// Its ID.
    pub job_id: String,
    /// How far it is.
    pub status: GcJob,
}

/// How far a collection is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GcJob {
    /// Its ID.
    pub id: String,
    /// How far it is.
    pub state: JobState,
    /// Name of the share.
    pub share: String,
    /// Whether it also looks for objects that no record knows.
    pub reconcile: bool,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Blocks that files need.
    pub hashes_marked: u64,
    /// Objects looked at.
    pub objects_scanned: u64,
    /// Objects removed.
    pub objects_swept: u64,
    /// Bytes freed.
    pub bytes_freed: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, in the server's words.
    #[serde(default)]
    pub error: String,
}

/// A collection that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GcRun {
    /// Its ID.
    pub run_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Blocks that files need.
    pub hashes_marked: u64,
    /// Objects looked at.
    pub objects_scanned: u64,
    /// Objects removed.
    pub objects_swept: u64,
    /// Bytes freed.
    pub bytes_freed: u64,
    /// Errors on the way.
    pub error_count: u64,
    /// The first of them, in the server's words.
    #[serde(default, deserialize_with = "list")]
    pub first_errors: Vec<String>,
    /// Whether it only counted.
    pub dry_run: bool,
    /// Some of the objects that it would have removed, when it only counted.
    #[serde(default, deserialize_with = "list")]
    pub dry_run_candidates: Vec<String>,
}

/// A number of things out of step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReconcileCount {
    /// How many.
    pub count: u64,
    /// Their bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The IDs of some of them.
    #[serde(default, deserialize_with = "list")]
    pub sample: Vec<String>,
}

/// What is out of step between the stores.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReconcileReport {
    /// Records that nobody refers to.
    pub zero_ref_records: ReconcileCount,
    /// Blocks that no record knows.
    pub leaked_blocks: ReconcileCount,
    /// Objects in the remote store that no record knows.
    pub orphan_remote_objects: ReconcileCount,
    /// Chunks in the local store that nobody needs.
    pub stranded_local_chunks: ReconcileCount,
    /// Records looked at.
    pub block_records_scanned: u64,
    /// Objects looked at.
    pub remote_objects_scanned: u64,
}

#[derive(Serialize)]
struct ReclaimBody {
    dry_run: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reclaimed {
    /// Records that nobody referred to.
    pub reclaimed: ReconcileCount,
    /// Blocks that no record knew.
    pub leaked_reclaimed: ReconcileCount,
    /// Objects that no record knew.
    pub orphan_objects_reclaimed: ReconcileCount,
    /// Errors on the way.
    pub errors: u64,
    /// Whether it was only counted.
    pub dry_run: bool,
}

/// Whether every file's blocks exist.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AuditResult {
    /// Name of the share.
    pub share: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Files looked at.
    pub total_files: u64,
    /// References looked at.
    pub total_refs: u64,
    /// References to blocks that are missing: data that is lost.
    pub dangling_refs: u64,
}

/// The answer to an audit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Audit {
    /// What was found.
    pub result: AuditResult,
}

/// Calls for garbage collection, for role admin (server contract 3.16). See [`Client::gc`].
#[derive(Clone, Copy, Debug)]
pub struct GarbageCollection<'a>(&'a Client);

impl Client {
    /// Blocks that no file needs.
    #[must_use]
    pub fn gc(&self) -> GarbageCollection<'_> {
        GarbageCollection(self)
    }
}

impl GarbageCollection<'_> {
    /// Starts a collection for a share, or gives the one that runs.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share; [`Error::Invalid`] for a grace period together with
    /// `reconcile`.
    pub async fn run(&self, share: &str, options: &GcOptions) -> Result<GcStarted, Error> {
        self.0.call(RUN.at(&[path(share)]).json(options)).await
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], also after a restart of the server.
    pub async fn job(&self, share: &str, id: &str) -> Result<GcJob, Error> {
        self.0.call(JOB.at(&[path(share), id])).await
    }

    /// The last collection of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there was none.
    pub async fn last_run(&self, share: &str) -> Result<GcRun, Error> {
        self.0.call(LAST_RUN.at(&[path(share)])).await
    }

    /// What is out of step between the stores.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reconcile_report(&self) -> Result<ReconcileReport, Error> {
        self.0.call(RECONCILE_REPORT.at(&[])).await
    }

    /// Removes what is out of step.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reclaim(&self, dry_run: bool) -> Result<Reclaimed, Error> {
        self.0
            .call(RECLAIM.at(&[]).json(&ReclaimBody { dry_run }))
            .await
    }

    /// Looks whether every file's blocks exist.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share.
    pub async fn audit_refcounts(&self, share: &str) -> Result<Audit, Error> {
        self.0.call(AUDIT_REFCOUNTS.at(&[path(share)])).await
    }
}
