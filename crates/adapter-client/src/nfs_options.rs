//! How a share is exported over NFS. The switches for SMB are options of the share itself.

use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    shares::path,
    wire::words,
};

pub(crate) static GET: Route = Route::get(
    "nfs_options.get",
    "/api/v1/shares/{share}/adapters/nfs/config",
    Access::Admin,
);
pub(crate) static PATCH: Route = Route::patch(
    "nfs_options.patch",
    "/api/v1/shares/{share}/adapters/nfs/config",
    Access::Admin,
);

words! {
    /// Which users of clients become another one.
    Squash {
        /// Nobody: root is the administrator.
        None = "none",
        /// Root becomes the administrator.
        RootToAdmin = "root_to_admin",
        /// Root becomes the anonymous user; the default.
        RootToGuest = "root_to_guest",
        /// Everybody becomes the administrator.
        AllToAdmin = "all_to_admin",
        /// Everybody becomes the anonymous user.
        AllToGuest = "all_to_guest",
    }
}

words! {
    /// What Kerberos must do at least.
    KerberosLevel {
        /// Authentication.
        Authentication = "krb5",
        /// And integrity.
        Integrity = "krb5i",
        /// And privacy.
        Privacy = "krb5p",
    }
}

/// How a share is exported over NFS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NfsOptions {
    /// Which users become another one.
    pub squash: Squash,
    /// Numeric ID of the anonymous user; 65534 when absent.
    pub anonymous_uid: Option<u32>,
    /// Numeric ID of its group; 65534 when absent.
    pub anonymous_gid: Option<u32>,
    /// Whether clients may name their user without proof.
    pub allow_auth_sys: bool,
    /// Whether they must prove it.
    pub require_kerberos: bool,
    /// What Kerberos must do at least.
    pub min_kerberos_level: KerberosLevel,
    /// Name of the netgroup whose members may mount with NFSv3; empty for everybody.
    pub netgroup: String,
    /// No READDIRPLUS.
    pub disable_readdirplus: bool,
}

/// What to change of [`NfsOptions`]; `None` leaves it. IDs cannot be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NfsOptionsChange {
    /// Which users become another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub squash: Option<Squash>,
    /// Numeric ID of the anonymous user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_uid: Option<u32>,
    /// Numeric ID of its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_gid: Option<u32>,
    /// Whether clients may name their user without proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_auth_sys: Option<bool>,
    /// Whether they must prove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_kerberos: Option<bool>,
    /// What Kerberos must do at least. The server does not check the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kerberos_level: Option<KerberosLevel>,
    /// Name of a netgroup; empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netgroup: Option<String>,
    /// No READDIRPLUS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_readdirplus: Option<bool>,
}

/// Calls for NFS options of shares, for role admin (server contract 3.13). See [`Client::nfs_options`].
#[derive(Clone, Copy, Debug)]
pub struct NfsOptionsOf<'a>(&'a Client);

impl Client {
    /// How shares are exported over NFS.
    #[must_use]
    pub fn nfs_options(&self) -> NfsOptionsOf<'_> {
        NfsOptionsOf(self)
    }
}

impl NfsOptionsOf<'_> {
    /// The options of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, share: &str) -> Result<NfsOptions, Error> {
        self.0.call(GET.at(&[path(share)])).await
    }

    /// Changes options; gives all of them. Squashing, anonymous IDs and the netgroup apply at once
    /// and make the server forget what it allowed clients, the others apply when the share is
    /// loaded next.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an unknown netgroup or squash mode.
    pub async fn patch(&self, share: &str, change: &NfsOptionsChange) -> Result<NfsOptions, Error> {
        self.0.call(PATCH.at(&[path(share)]).json(change)).await
    }
}
