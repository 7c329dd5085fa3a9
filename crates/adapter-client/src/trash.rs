//! The recycle bins of shares.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    shares::path,
};

pub(crate) static LIST: Route =
    Route::get("trash.list", "/api/v1/shares/{share}/trash", Access::Admin);
pub(crate) static STATUS: Route = Route::get(
    "trash.status",
    "/api/v1/shares/{share}/trash/status",
    Access::Admin,
);
pub(crate) static RESTORE: Route = Route::post(
    "trash.restore",
    "/api/v1/shares/{share}/trash/restore",
    Access::Admin,
);
pub(crate) static EMPTY: Route = Route::post(
    "trash.empty",
    "/api/v1/shares/{share}/trash/empty",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();

/// Something in a bin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrashEntry {
    /// Where it is in the bin.
    pub bin_path: String,
    /// Where it was.
    pub original_path: String,
    /// Who removed it.
    #[serde(default)]
    pub deleted_by: String,
    /// When.
    pub deleted_at: Timestamp,
    /// Bytes.
    pub size: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// How much is in a bin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrashStatus {
    /// Whether there is a bin.
    pub enabled: bool,
    /// Things in it.
    pub item_count: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// When the oldest was removed.
    pub oldest: Option<Timestamp>,
}

#[derive(Serialize)]
struct RestoreBody<'a> {
    bin_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

#[derive(Serialize)]
struct EmptyBody {
    force: bool,
}

/// What emptying a bin removed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrashEmptied {
    /// How many things.
    pub removed: u64,
}

/// Calls for recycle bins, for role admin (server contract 3.16). See [`Client::trash`].
#[derive(Clone, Copy, Debug)]
pub struct Trash<'a>(&'a Client);

impl Client {
    /// The recycle bins of shares.
    #[must_use]
    pub fn trash(&self) -> Trash<'_> {
        Trash(self)
    }
}

impl Trash<'_> {
    /// What is in the bin of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share.
    pub async fn list(&self, share: &str) -> Result<Vec<TrashEntry>, Error> {
        self.0.call_list(LIST.at(&[path(share)])).await
    }

    /// How much is in the bin of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share.
    pub async fn status(&self, share: &str) -> Result<TrashStatus, Error> {
        self.0.call(STATUS.at(&[path(share)])).await
    }

    /// Puts something back where it was, or elsewhere in the share.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share or the thing; [`Error::Conflict`] when something is there.
    pub async fn restore(
        &self,
        share: &str,
        bin_path: &str,
        to: Option<&str>,
    ) -> Result<(), Error> {
        self.0
            .call_empty(
                RESTORE
                    .at(&[path(share)])
                    .json(&RestoreBody { bin_path, to }),
            )
            .await
    }

    /// Removes everything in the bin of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share.
    pub async fn empty(&self, share: &str) -> Result<TrashEmptied, Error> {
        self.0
            .call(EMPTY.at(&[path(share)]).json(&EmptyBody { force: true }))
            .await
    }
}
