//! Shares.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    health::HealthReport,
    route::{Access, Class, Route},
    wire::{ByteSize, GoDuration, ReportedSize, filled, list, words},
};

pub(crate) static LIST: Route =
    Route::get("shares.list", "/api/v1/shares", Access::Admin).class(Class::Slow);
pub(crate) static GET: Route =
    Route::get("shares.get", "/api/v1/shares/{share}", Access::Admin).class(Class::Slow);
pub(crate) static STATUS: Route = Route::get(
    "shares.status",
    "/api/v1/shares/{share}/status",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static CREATE: Route =
    Route::post("shares.create", "/api/v1/shares", Access::Admin).class(Class::Slow);
pub(crate) static UPDATE: Route =
    Route::put("shares.update", "/api/v1/shares/{share}", Access::Admin).class(Class::Slow);
pub(crate) static DELETE: Route =
    Route::delete("shares.delete", "/api/v1/shares/{share}", Access::Admin).class(Class::Slow);
pub(crate) static ENABLE: Route = Route::post(
    "shares.enable",
    "/api/v1/shares/{share}/enable",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();
pub(crate) static DISABLE: Route = Route::post(
    "shares.disable",
    "/api/v1/shares/{share}/disable",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();

words! {
    /// What a user may do with a share.
    PermissionLevel {
        /// Nothing.
        None = "none",
        /// Read.
        Read = "read",
        /// Read and write.
        ReadWrite = "read-write",
        /// Everything.
        Admin = "admin",
    }
}

words! {
    /// What stays in the local cache of a share with a remote store.
    RetentionPolicy {
        /// Everything.
        Pin = "pin",
        /// What was used within a time.
        Ttl = "ttl",
        /// What was used last.
        Lru = "lru",
    }
}

/// A share.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Share {
    /// UUID. Calls take the name: with the UUID some of them do half the work.
    pub id: String,
    /// Name with its leading slash.
    pub name: String,
    /// UUID of its metadata store.
    pub metadata_store_id: String,
    /// UUID of its local block store.
    pub local_block_store_id: String,
    /// UUID of its remote block store.
    pub remote_block_store_id: Option<String>,
    /// Whether clients may only read.
    pub read_only: bool,
    /// Whether it is served.
    pub enabled: bool,
    /// SMB3 encryption.
    pub encrypt_data: bool,
    /// What users without a permission of their own may do.
    pub default_permission: PermissionLevel,
    /// Numeric user ID of the root folder's owner.
    pub owner_uid: Option<u32>,
    /// Numeric group ID of the root folder.
    pub owner_gid: Option<u32>,
    /// Operations that are refused.
    #[serde(default, deserialize_with = "list")]
    pub blocked_operations: Vec<String>,
    /// What stays in the local cache.
    pub retention_policy: RetentionPolicy,
    /// For how long, with `ttl`; kept when the policy changes.
    #[serde(default, deserialize_with = "filled")]
    pub retention_ttl: Option<GoDuration>,
    /// Size of the local cache, when it was set.
    #[serde(default, deserialize_with = "filled")]
    pub local_store_size: Option<ReportedSize>,
    /// Memory for reading, when it was set.
    #[serde(default, deserialize_with = "filled")]
    pub read_buffer_size: Option<ReportedSize>,
    /// Size of the share, unless it is unlimited.
    #[serde(default, deserialize_with = "filled")]
    pub quota_bytes: Option<ReportedSize>,
    /// Bytes in files.
    pub used_bytes: i64,
    /// Bytes in the block store.
    pub physical_bytes: i64,
    /// Part of the quota in use, 0 to 100; 0 without a quota.
    pub usage_percent: f64,
    /// Whether inherited ACL flags are canonicalized.
    pub acl_flag_inherited_canonicalization: bool,
    /// Whether SMB hides what a user may not read.
    pub access_based_enumeration: bool,
    /// No change notifications over SMB.
    pub change_notify_disabled: bool,
    /// No alternate data streams over SMB.
    pub streams_disabled: bool,
    /// SMB continuous availability.
    pub continuous_availability: bool,
    /// Minshall-French symbolic links over SMB.
    pub allow_mfsymlink: bool,
    /// Whether there is a recycle bin.
    pub trash_enabled: bool,
    /// Days until the bin forgets; 0 is never.
    pub trash_retention_days: u32,
    /// Whether only administrators see the bin.
    pub trash_restrict_to_admin: bool,
    /// Bytes in the bin; 0 is unlimited.
    pub trash_max_bytes: u64,
    /// Names that are not kept in the bin.
    #[serde(default, deserialize_with = "list")]
    pub trash_exclude_patterns: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How its stores do; `unknown` when the share could not be loaded.
    pub status: HealthReport,
    /// What a change could not do.
    #[serde(default, deserialize_with = "list")]
    pub warnings: Vec<String>,
}

/// Options of a share; `None` takes the default, or leaves the option when a share is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShareOptions {
    /// Whether clients may only read. After a change of this alone, NFSv3 clients keep their
    /// access for up to 5 minutes; a change of the NFS options ends that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// SMB3 encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypt_data: Option<bool>,
    /// What users without a permission of their own may do; `none` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_permission: Option<PermissionLevel>,
    /// Operations of NFS or SMB that are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_operations: Option<Vec<String>>,
    /// What stays in the local cache of a share with a remote store; `lru` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<RetentionPolicy>,
    /// For how long, with `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_ttl: Option<GoDuration>,
    /// Size of the local cache; the server chooses when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_store_size: Option<ByteSize>,
    /// Memory for reading; the server chooses when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_buffer_size: Option<ByteSize>,
    /// Size of the share; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<ByteSize>,
    /// Whether inherited ACL flags are canonicalized; true when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl_flag_inherited_canonicalization: Option<bool>,
    /// Whether SMB hides what a user may not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_based_enumeration: Option<bool>,
    /// No change notifications over SMB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_notify_disabled: Option<bool>,
    /// No alternate data streams over SMB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_disabled: Option<bool>,
    /// SMB continuous availability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continuous_availability: Option<bool>,
    /// Minshall-French symbolic links over SMB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_mfsymlink: Option<bool>,
    /// Whether there is a recycle bin. Switching it off empties it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_enabled: Option<bool>,
    /// Days until the bin forgets; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_retention_days: Option<u32>,
    /// Whether only administrators see the bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_restrict_to_admin: Option<bool>,
    /// Bytes in the bin; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_max_bytes: Option<u64>,
    /// Names that are not kept in the bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_exclude_patterns: Option<Vec<String>>,
}

/// A share to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewShare {
    /// Name; the server adds a leading slash. For SMB lower case and one segment.
    /// Never `/`, which no call could address any more: it is refused here.
    pub name: String,
    /// Name of its metadata store. A restore rolls back the whole store: one per share.
    #[serde(rename = "metadata_store_id")]
    pub metadata_store: String,
    /// Name of its local block store.
    pub local_block_store: String,
    /// Name of its remote block store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_block_store: Option<String>,
    /// User with a numeric ID that owns the root folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub options: ShareOptions,
}

/// What to change of a share. The metadata store, the name and the owner cannot be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShareChange {
    /// UUID or name of another local block store.
    #[serde(
        rename = "local_block_store_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub local_block_store: Option<String>,
    /// UUID or name of another remote block store; empty for none.
    #[serde(
        rename = "remote_block_store_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub remote_block_store: Option<String>,
    /// Everything else. Live: `read_only`, `default_permission`, `quota_bytes`, retention and
    /// trash; the others at the next start of the server.
    #[serde(flatten)]
    pub options: ShareOptions,
}

/// A share's name as it stands in paths, where the server adds the leading slash.
/// Nothing for the root of all shares, which cannot be addressed.
pub(crate) fn path(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// Calls for shares, for role admin (server contract 3.11). See [`Client::shares`].
#[derive(Clone, Copy, Debug)]
pub struct Shares<'a>(&'a Client);

impl Client {
    /// The shares.
    #[must_use]
    pub fn shares(&self) -> Shares<'_> {
        Shares(self)
    }
}

impl Shares<'_> {
    /// All shares. Takes up to 30 s while the remote store of one is away.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Share>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// One share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, share: &str) -> Result<Share, Error> {
        self.0.call(GET.at(&[path(share)])).await
    }

    /// How the stores of a share do. Takes up to 30 s while its remote store is away, and then says
    /// that all is well: ask the store itself.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn status(&self, share: &str) -> Result<HealthReport, Error> {
        self.0.call(STATUS.at(&[path(share)])).await
    }

    /// Makes a share. Succeeds also when the share cannot be loaded: its status is then `unknown`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken; [`Error::Invalid`] for stores that do not exist,
    /// an owner without a numeric ID and values that are not understood.
    pub async fn create(&self, share: &NewShare) -> Result<Share, Error> {
        if path(&share.name).is_empty() {
            return Err(Error::Invalid {
                call: CREATE.call,
                status: 400,
                detail: "a share must not be called /".into(),
                fields: BTreeMap::new(),
            });
        }
        // The server decodes the name here as in paths.
        let share = NewShare {
            name: share.name.replace('%', "%25"),
            ..share.clone()
        };
        self.0.call(CREATE.at(&[]).json(&share)).await
    }

    /// Changes a share. What another block store could not do is in its warnings.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`].
    pub async fn update(&self, share: &str, change: &ShareChange) -> Result<Share, Error> {
        self.0.call(UPDATE.at(&[path(share)]).json(change)).await
    }

    /// Stops serving a share and forgets it with its permissions and snapshots. Files, blocks and
    /// quotas stay: a share of the same name on the same stores has them again.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, share: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[path(share)])).await
    }

    /// Serves a share.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that could not be loaded.
    pub async fn enable(&self, share: &str) -> Result<Share, Error> {
        self.0.call(ENABLE.at(&[path(share)])).await
    }

    /// Stops serving a share, over restarts too. A restore needs that.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that could not be loaded.
    pub async fn disable(&self, share: &str) -> Result<Share, Error> {
        self.0.call(DISABLE.at(&[path(share)])).await
    }
}
