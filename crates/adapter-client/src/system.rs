//! The server's upload of everything that is only local.

use serde::Deserialize;

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    wire::GoDuration,
};

pub(crate) static DRAIN_UPLOADS: Route = Route::post(
    "system.drain_uploads",
    "/api/v1/system/drain-uploads",
    Access::Admin,
)
.class(Class::Drain);

/// Everything is in the remote stores.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Drained {
    /// `drained`.
    pub status: String,
    /// How long it took.
    pub duration: GoDuration,
}

/// Calls for the server as a whole, for role admin (server contract 3.16). See [`Client::system`].
#[derive(Clone, Copy, Debug)]
pub struct System<'a>(&'a Client);

impl Client {
    /// Uploads of the server.
    #[must_use]
    pub fn system(&self) -> System<'_> {
        System(self)
    }
}

impl System<'_> {
    /// Waits until everything is in the remote stores; shares without one do not count. Ends when
    /// nothing has moved for `controlplane.drain_stall_timeout`. When the caller goes away, it is
    /// given up.
    ///
    /// # Errors
    /// [`Error::ServerError`] with 504 when nothing moves, with 500 when an upload fails.
    pub async fn drain_uploads(&self) -> Result<Drained, Error> {
        self.0.call(DRAIN_UPLOADS.at(&[])).await
    }
}
