//! Groups of users. Membership has nothing to do with the role of an account.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    users::Role,
    wire::list,
};

pub(crate) static LIST: Route = Route::get("groups.list", "/api/v1/groups", Access::Admin);
pub(crate) static GET: Route = Route::get("groups.get", "/api/v1/groups/{group}", Access::Admin);
pub(crate) static CREATE: Route = Route::post("groups.create", "/api/v1/groups", Access::Admin);
pub(crate) static UPDATE: Route =
    Route::put("groups.update", "/api/v1/groups/{group}", Access::Admin);
pub(crate) static DELETE: Route =
    Route::delete("groups.delete", "/api/v1/groups/{group}", Access::Admin);
pub(crate) static MEMBERS: Route = Route::get(
    "groups.members",
    "/api/v1/groups/{group}/members",
    Access::Admin,
);
pub(crate) static ADD_MEMBER: Route = Route::post(
    "groups.add_member",
    "/api/v1/groups/{group}/members",
    Access::Admin,
)
.repeatable();
pub(crate) static REMOVE_MEMBER: Route = Route::delete(
    "groups.remove_member",
    "/api/v1/groups/{group}/members/{user}",
    Access::Admin,
);

/// A group. `admins`, `operators` and `users` are built in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// UUID.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// Numeric ID that NFS clients present.
    pub gid: Option<u32>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Names of its users.
    #[serde(default, deserialize_with = "list")]
    pub members: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A group to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewGroup {
    /// Name, unique.
    pub name: String,
    /// Numeric ID, unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What to change of a group; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupChange {
    /// Numeric ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A user in a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// UUID of the user.
    pub id: String,
    /// Its name.
    pub username: String,
    /// Its name for people.
    #[serde(default)]
    pub display_name: String,
    /// Its e-mail address.
    #[serde(default)]
    pub email: String,
    /// What it may do with the API.
    pub role: Role,
}

#[derive(Serialize)]
struct NewMember<'a> {
    username: &'a str,
}

/// Calls for groups, for role admin (server contract 3.6). See [`Client::groups`].
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a>(&'a Client);

impl Client {
    /// Groups of users.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        Groups(self)
    }
}

impl Groups<'_> {
    /// All groups.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Group>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// One group.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, name: &str) -> Result<Group, Error> {
        self.0.call(GET.at(&[name])).await
    }

    /// Makes a group.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name or the numeric ID is taken; [`Error::Invalid`] without a
    /// name.
    pub async fn create(&self, group: &NewGroup) -> Result<Group, Error> {
        self.0.call(CREATE.at(&[]).json(group)).await
    }

    /// Changes a group.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update(&self, name: &str, change: &GroupChange) -> Result<Group, Error> {
        self.0.call(UPDATE.at(&[name]).json(change)).await
    }

    /// Removes a group.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] for a built-in one.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[name])).await
    }

    /// The users in a group.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn members(&self, name: &str) -> Result<Vec<Member>, Error> {
        self.0.call_list(MEMBERS.at(&[name])).await
    }

    /// Adds a user; also succeeds when it is in the group.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the user or the group.
    pub async fn add_member(&self, name: &str, username: &str) -> Result<(), Error> {
        self.0
            .call_empty(ADD_MEMBER.at(&[name]).json(&NewMember { username }))
            .await
    }

    /// Removes a user from a group; also succeeds when it is not in it, or the group is gone.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the user.
    pub async fn remove_member(&self, name: &str, username: &str) -> Result<(), Error> {
        self.0.call_empty(REMOVE_MEMBER.at(&[name, username])).await
    }
}
