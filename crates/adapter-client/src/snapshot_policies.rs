//! Snapshots at intervals, made by the server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    shares::path,
    snapshots::SnapshotStarted,
    wire::{GoDuration, filled},
};

pub(crate) static LIST: Route = Route::get(
    "snapshot_policies.list",
    "/api/v1/snapshot-policies",
    Access::Admin,
);
pub(crate) static GET: Route = Route::get(
    "snapshot_policies.get",
    "/api/v1/shares/{share}/snapshot-policy",
    Access::Admin,
);
pub(crate) static PUT: Route = Route::put(
    "snapshot_policies.put",
    "/api/v1/shares/{share}/snapshot-policy",
    Access::Admin,
);
pub(crate) static DELETE: Route = Route::delete(
    "snapshot_policies.delete",
    "/api/v1/shares/{share}/snapshot-policy",
    Access::Admin,
);
pub(crate) static RUN: Route = Route::post(
    "snapshot_policies.run",
    "/api/v1/shares/{share}/snapshot-policy/run",
    Access::Admin,
);

/// When snapshots are made and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyRules {
    /// Time from one to the next; not a time of day.
    pub interval: GoDuration,
    /// How many are kept; 0 is all.
    pub keep_last: u32,
    /// How long one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<GoDuration>,
    /// Whether any are made.
    pub enabled: bool,
    /// Start of their labels; `scheduled` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_prefix: String,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SnapshotPolicy {
    /// Name of the share.
    pub share: String,
    /// Whether snapshots are made.
    pub enabled: bool,
    /// Time from one to the next.
    pub interval: GoDuration,
    /// How many are kept; 0 is all.
    pub keep_last: u32,
    /// How long one is kept.
    #[serde(default, deserialize_with = "filled")]
    pub ttl: Option<GoDuration>,
    /// Start of their labels.
    #[serde(default)]
    pub name_prefix: String,
    /// When one was last started, also when it failed.
    pub last_run_at: Option<Timestamp>,
    /// When the policy was made.
    pub created_at: Timestamp,
    /// When it was last changed or run.
    pub updated_at: Timestamp,
}

/// Calls for snapshot policies, for role admin (server contract 6.2). See [`Client::snapshot_policies`].
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicies<'a>(&'a Client);

impl Client {
    /// Snapshots at intervals.
    #[must_use]
    pub fn snapshot_policies(&self) -> SnapshotPolicies<'_> {
        SnapshotPolicies(self)
    }
}

impl SnapshotPolicies<'_> {
    /// All policies.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<SnapshotPolicy>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// The policy of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, share: &str) -> Result<SnapshotPolicy, Error> {
        self.0.call(GET.at(&[path(share)])).await
    }

    /// Sets the policy of a share, in place of the one there is; the time of its last run stays.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share; [`Error::Invalid`] for an interval of 0 or a prefix with
    /// other characters than letters, digits, `_` and `-`.
    pub async fn put(&self, share: &str, policy: &PolicyRules) -> Result<SnapshotPolicy, Error> {
        self.0.call(PUT.at(&[path(share)]).json(policy)).await
    }

    /// Removes the policy of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, share: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[path(share)])).await
    }

    /// Makes a snapshot by the policy now.
    ///
    /// # Errors
    /// [`Error::NotFound`] without a policy; [`Error::Conflict`] while one is made.
    pub async fn run(&self, share: &str) -> Result<SnapshotStarted, Error> {
        self.0.call(RUN.at(&[path(share)])).await
    }
}
