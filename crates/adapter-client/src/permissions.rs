//! Who may do what with a share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    shares::{PermissionLevel, path},
    text::clean,
    wire::words,
};

pub(crate) static LIST: Route = Route::get(
    "permissions.list",
    "/api/v1/shares/{share}/permissions",
    Access::Admin,
);
pub(crate) static SET_USER: Route = Route::put(
    "permissions.set_user",
    "/api/v1/shares/{share}/permissions/users/{user}",
    Access::Admin,
);
pub(crate) static REMOVE_USER: Route = Route::delete(
    "permissions.remove_user",
    "/api/v1/shares/{share}/permissions/users/{user}",
    Access::Admin,
);
pub(crate) static SET_GROUP: Route = Route::put(
    "permissions.set_group",
    "/api/v1/shares/{share}/permissions/groups/{group}",
    Access::Admin,
);
pub(crate) static REMOVE_GROUP: Route = Route::delete(
    "permissions.remove_group",
    "/api/v1/shares/{share}/permissions/groups/{group}",
    Access::Admin,
);
pub(crate) static SET_SID: Route = Route::put(
    "permissions.set_sid",
    "/api/v1/shares/{share}/permissions/sids/{sid}",
    Access::Admin,
);
pub(crate) static REMOVE_SID: Route = Route::delete(
    "permissions.remove_sid",
    "/api/v1/shares/{share}/permissions/sids/{sid}",
    Access::Admin,
);

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Permission {
    /// Who has it.
    #[serde(rename = "type")]
    pub kind: GranteeType,
    /// Name of the user or group, or the name given with a SID.
    pub name: String,
    /// What it allows.
    pub level: PermissionLevel,
    /// The SID, for one.
    pub sid: Option<String>,
    /// Whether a SID is a group.
    pub is_group: Option<bool>,
}

words! {
    /// Who has a permission.
    GranteeType {
        /// A user of the server.
        User = "user",
        /// A group of the server.
        Group = "group",
        /// A Windows user or group.
        Sid = "sid",
    }
}

/// A permission for a Windows user or group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SidGrant {
    /// What it allows.
    pub level: PermissionLevel,
    /// Whether it is a group; the server would take it for one when this were absent.
    pub is_group: bool,
    /// Name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
}

#[derive(Serialize)]
struct Grant<'a> {
    level: &'a PermissionLevel,
}

impl<'a> Grant<'a> {
    fn of(level: &'a PermissionLevel) -> Self {
        Self { level }
    }
}

fn refused(call: &'static str, word: &str) -> Error {
    Error::Invalid {
        call,
        status: 400,
        detail: clean(
            &format!("{word:?} is no level: use none, read, read-write or admin"),
            &[],
        ),
        fields: BTreeMap::new(),
    }
}

/// Calls for permissions, for role admin (server contract 3.12). See [`Client::permissions`].
#[derive(Clone, Copy, Debug)]
pub struct Permissions<'a>(&'a Client);

impl Client {
    /// Who may do what with a share.
    #[must_use]
    pub fn permissions(&self) -> Permissions<'_> {
        Permissions(self)
    }
}

impl Permissions<'_> {
    /// All permissions of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn list(&self, share: &str) -> Result<Vec<Permission>, Error> {
        self.0.call_list(LIST.at(&[path(share)])).await
    }

    /// Gives a user a level, in place of the one it has. With LDAP a name that is not known here is
    /// looked up there.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share or the user; [`Error::Invalid`] for a level that the
    /// server does not know, which it would store nevertheless: nothing is sent.
    pub async fn set_user(
        &self,
        share: &str,
        username: &str,
        level: &PermissionLevel,
    ) -> Result<(), Error> {
        if let PermissionLevel::Other(word) = level {
            return Err(refused(SET_USER.call, word));
        }
        self.0
            .call_empty(
                SET_USER
                    .at(&[path(share), username])
                    .json(&Grant::of(level)),
            )
            .await
    }

    /// Takes a user's permission away; also succeeds when it has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn remove_user(&self, share: &str, username: &str) -> Result<(), Error> {
        self.0
            .call_empty(REMOVE_USER.at(&[path(share), username]))
            .await
    }

    /// Gives a group a level, in place of the one it has.
    ///
    /// # Errors
    /// As [`Permissions::set_user`].
    pub async fn set_group(
        &self,
        share: &str,
        group: &str,
        level: &PermissionLevel,
    ) -> Result<(), Error> {
        if let PermissionLevel::Other(word) = level {
            return Err(refused(SET_GROUP.call, word));
        }
        self.0
            .call_empty(SET_GROUP.at(&[path(share), group]).json(&Grant::of(level)))
            .await
    }

    /// Takes a group's permission away; also succeeds when it has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn remove_group(&self, share: &str, group: &str) -> Result<(), Error> {
        self.0
            .call_empty(REMOVE_GROUP.at(&[path(share), group]))
            .await
    }

    /// Gives a Windows user or group a level.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the share; [`Error::Invalid`] for a SID or level that is none.
    pub async fn set_sid(&self, share: &str, sid: &str, grant: &SidGrant) -> Result<(), Error> {
        if let PermissionLevel::Other(word) = &grant.level {
            return Err(refused(SET_SID.call, word));
        }
        self.0
            .call_empty(SET_SID.at(&[path(share), sid]).json(grant))
            .await
    }

    /// Takes a Windows user's or group's permission away. On PostgreSQL a share can only be deleted
    /// without such permissions.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a SID that is none.
    pub async fn remove_sid(&self, share: &str, sid: &str) -> Result<(), Error> {
        self.0.call_empty(REMOVE_SID.at(&[path(share), sid])).await
    }
}
