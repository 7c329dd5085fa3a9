//! Limits per user and group within a share. The limit of the share itself is one of its options.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    shares::path,
    wire::{ByteSize, ReportedSize, Seconds, filled},
};

pub(crate) static LIST: Route = Route::get(
    "quotas.list",
    "/api/v1/shares/{share}/quotas",
    Access::Admin,
);
pub(crate) static GET: Route = Route::get(
    "quotas.get",
    "/api/v1/shares/{share}/quotas/{scope}/{id}",
    Access::Admin,
);
pub(crate) static PUT: Route = Route::put(
    "quotas.put",
    "/api/v1/shares/{share}/quotas/{scope}/{id}",
    Access::Admin,
);
pub(crate) static DELETE: Route = Route::delete(
    "quotas.delete",
    "/api/v1/shares/{share}/quotas/{scope}/{id}",
    Access::Admin,
);

/// Whose quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaOf {
    /// The user with this numeric ID.
    User(u32),
    /// The group with this numeric ID.
    Group(u32),
    /// Every user without a quota of its own.
    DefaultUser,
}

impl QuotaOf {
    fn scope(self) -> &'static str {
        match self {
            QuotaOf::User(_) => "user",
            QuotaOf::Group(_) => "group",
            QuotaOf::DefaultUser => "default-user",
        }
    }

    /// The server's own route for the default does not work; with any number it does.
    fn id(self) -> String {
        match self {
            QuotaOf::User(id) | QuotaOf::Group(id) => id.to_string(),
            QuotaOf::DefaultUser => "0".to_owned(),
        }
    }
}

/// Limits; 0 is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaLimits {
    /// Bytes that cannot be exceeded.
    pub limit_bytes: ByteSize,
    /// Bytes that can be exceeded for the time of grace.
    pub soft_bytes: ByteSize,
    /// Files that cannot be exceeded.
    pub limit_files: u64,
    /// Files that can be exceeded for the time of grace.
    pub soft_files: u64,
    /// The time of grace.
    #[serde(rename = "grace_seconds")]
    pub grace: Seconds,
}

/// A quota and its use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Quota {
    /// Name of the share.
    pub share_name: String,
    /// `user`, `group` or `default-user`.
    pub scope: String,
    /// Numeric ID of the user or group.
    pub identity_id: Option<u32>,
    /// Bytes that cannot be exceeded.
    #[serde(default, deserialize_with = "filled")]
    pub limit_bytes: Option<ReportedSize>,
    /// Bytes that can be exceeded for the time of grace.
    #[serde(default, deserialize_with = "filled")]
    pub soft_bytes: Option<ReportedSize>,
    /// Files that cannot be exceeded; 0 is unlimited.
    pub limit_files: u64,
    /// Files that can be exceeded for the time of grace; 0 is unlimited.
    pub soft_files: u64,
    /// The time of grace.
    #[serde(rename = "grace_seconds")]
    pub grace: Seconds,
    /// Since when a soft limit is exceeded.
    pub grace_started_at: Option<Timestamp>,
    /// Bytes in use.
    pub used_bytes: i64,
    /// Files in use.
    pub used_files: i64,
}

/// Calls for quotas, for role admin (server contract 3.14). See [`Client::quotas`].
#[derive(Clone, Copy, Debug)]
pub struct Quotas<'a>(&'a Client);

impl Client {
    /// Limits per user and group within shares.
    #[must_use]
    pub fn quotas(&self) -> Quotas<'_> {
        Quotas(self)
    }
}

impl Quotas<'_> {
    /// All quotas of a share; none for a share that does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, share: &str) -> Result<Vec<Quota>, Error> {
        self.0.call_list(LIST.at(&[path(share)])).await
    }

    /// One quota.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, share: &str, of: QuotaOf) -> Result<Quota, Error> {
        self.0
            .call(GET.at(&[path(share), of.scope(), &of.id()]))
            .await
    }

    /// Sets a quota, in place of the one there is. Succeeds also for a share that does not exist.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a soft limit above the hard one.
    pub async fn put(
        &self,
        share: &str,
        of: QuotaOf,
        limits: &QuotaLimits,
    ) -> Result<Quota, Error> {
        self.0
            .call(PUT.at(&[path(share), of.scope(), &of.id()]).json(limits))
            .await
    }

    /// Removes a quota.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, share: &str, of: QuotaOf) -> Result<(), Error> {
        self.0
            .call_empty(DELETE.at(&[path(share), of.scope(), &of.id()]))
            .await
    }
}
