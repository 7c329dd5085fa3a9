//! Which account a Kerberos principal is, and which numeric ID a SID got.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
};

pub(crate) static LIST: Route = Route::get(
    "identity_mappings.list",
    "/api/v1/identity-mappings",
    Access::Admin,
);
pub(crate) static CREATE: Route = Route::post(
    "identity_mappings.create",
    "/api/v1/identity-mappings",
    Access::Admin,
);
pub(crate) static OF_USER: Route = Route::get(
    "identity_mappings.of_user",
    "/api/v1/identity-mappings/users/{account}",
    Access::Admin,
);
pub(crate) static DELETE: Route = Route::delete(
    "identity_mappings.delete",
    "/api/v1/identity-mappings/by-provider/{provider}/{principal}",
    Access::Admin,
);
pub(crate) static SIDS: Route = Route::get(
    "identity_mappings.sids",
    "/api/v1/sid-mappings",
    Access::Admin,
);
pub(crate) static DELETE_SID: Route = Route::delete(
    "identity_mappings.delete_sid",
    "/api/v1/sid-mappings/{sid}",
    Access::Admin,
);

/// A principal and its account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IdentityMapping {
    /// UUID.
    pub id: String,
    /// Who vouches for the principal: `kerberos`.
    pub provider_name: String,
    /// The principal.
    pub principal: String,
    /// Name of the account.
    pub username: String,
    /// When it was made. The server writes its local time as if it were UTC.
    pub created_at: Timestamp,
    /// When it was last changed, with the same fault.
    pub updated_at: Timestamp,
}

/// A mapping to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewIdentityMapping {
    /// Who vouches for the principal: `kerberos`.
    pub provider_name: String,
    /// The principal, such as `alice@EXAMPLE.ORG`.
    pub principal: String,
    /// Name of the account.
    pub username: String,
}

/// A SID and its numeric ID.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SidMapping {
    /// The SID.
    pub sid: String,
    /// Its numeric ID.
    pub unix_id: u32,
    /// Whether it is a group.
    pub is_group: bool,
    /// Name for people.
    #[serde(default)]
    pub display_name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Calls for identity mappings, for role admin (server contract 3.15). See [`Client::identity_mappings`].
#[derive(Clone, Copy, Debug)]
pub struct IdentityMappings<'a>(&'a Client);

impl Client {
    /// Kerberos principals and SIDs.
    #[must_use]
    pub fn identity_mappings(&self) -> IdentityMappings<'_> {
        IdentityMappings(self)
    }
}

impl IdentityMappings<'_> {
    /// All mappings of principals.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<IdentityMapping>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// The mappings of the principals of one provider, such as `kerberos`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_of(&self, provider: &str) -> Result<Vec<IdentityMapping>, Error> {
        self.0
            .call_list(LIST.at(&[]).query("provider", provider))
            .await
    }

    /// Maps a principal to an account, which need not exist.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the principal is mapped; [`Error::Invalid`] when it is empty.
    pub async fn create(&self, mapping: &NewIdentityMapping) -> Result<IdentityMapping, Error> {
        self.0.call(CREATE.at(&[]).json(mapping)).await
    }

    /// The mappings to an account; none for one that does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn of_user(&self, username: &str) -> Result<Vec<IdentityMapping>, Error> {
        self.0.call_list(OF_USER.at(&[username])).await
    }

    /// Removes a mapping.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, provider: &str, principal: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[provider, principal])).await
    }

    /// The numeric IDs that SIDs got.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sids(&self) -> Result<Vec<SidMapping>, Error> {
        self.0.call_list(SIDS.at(&[])).await
    }

    /// Forgets the numeric ID of a SID.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_sid(&self, sid: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE_SID.at(&[sid])).await
    }
}
