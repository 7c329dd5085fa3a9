//! User accounts of the server.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    wire::{list, words},
};

pub(crate) static LIST: Route = Route::get("users.list", "/api/v1/users", Access::Admin);
pub(crate) static GET: Route = Route::get("users.get", "/api/v1/users/{user}", Access::Own);
pub(crate) static CREATE: Route = Route::post("users.create", "/api/v1/users", Access::Admin);
pub(crate) static UPDATE: Route = Route::put("users.update", "/api/v1/users/{user}", Access::Admin);
pub(crate) static DELETE: Route =
    Route::delete("users.delete", "/api/v1/users/{user}", Access::Admin);
pub(crate) static PASSWORD: Route = Route::post(
    "users.set_password",
    "/api/v1/users/{user}/password",
    Access::Admin,
)
.repeatable();

words! {
    /// What an account may do with the API (contract 3.3). Groups have nothing to do with it.
    Role {
        /// Itself only.
        User = "user",
        /// Reads the adapters too.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// UUID.
    pub id: String,
    /// Name, unique.
    pub username: String,
    /// Name for people.
    #[serde(default)]
    pub display_name: String,
    /// E-mail address.
    #[serde(default)]
    pub email: String,
    /// What it may do with the API.
    pub role: Role,
    /// Numeric user ID that NFS clients present.
    pub uid: Option<u32>,
    /// Numeric ID of the primary group.
    pub gid: Option<u32>,
    /// Names of its groups.
    #[serde(default, deserialize_with = "list")]
    pub groups: Vec<String>,
    /// Whether it may log in.
    pub enabled: bool,
    /// It can do nothing but set a new password.
    pub must_change_password: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last logged in.
    pub last_login: Option<Timestamp>,
}

/// An account to be made. The server stores it enabled whatever is asked for,
/// so there is no such field: disable it with [`Users::update`] afterwards.
#[derive(Clone, Debug, Serialize)]
pub struct NewUser {
    /// Name, unique.
    pub username: String,
    /// 8 to 72 characters; others are refused with 500.
    #[serde(serialize_with = "exposed")]
    pub password: SecretString,
    /// With [`Role::Admin`] the account must change its password at the first
    /// login. To avoid that, make it as [`Role::User`] and update the role.
    pub role: Role,
    /// Numeric user ID, unique; without it NFS clients cannot be matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric ID of the primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Names of existing groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// E-mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
}

impl NewUser {
    /// An account with role `user` and nothing else.
    pub fn new(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
            role: Role::User,
            uid: None,
            gid: None,
            groups: Vec::new(),
            display_name: String::new(),
            email: String::new(),
        }
    }
}

/// What to change of an account; `None` leaves it. IDs cannot be taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserChange {
    /// What it may do; takes effect when its tokens are renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it may log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Numeric user ID; one that is taken is refused with 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric ID of the primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// All its groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Serialize)]
struct NewPassword<'a> {
    #[serde(serialize_with = "exposed")]
    new_password: &'a SecretString,
}

/// A secret on its way to the server.
pub(crate) fn exposed<S: Serializer>(
    secret: &SecretString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// Calls for accounts, for role admin; everybody may ask for the own one (server contract 3.5).
/// See [`Client::users`].
#[derive(Clone, Copy, Debug)]
pub struct Users<'a>(&'a Client);

impl Client {
    /// Accounts of the server.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// All accounts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<User>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// One account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] for another account than one's own without role admin.
    pub async fn get(&self, username: &str) -> Result<User, Error> {
        self.0.call(GET.at(&[username])).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name or the numeric ID is taken, with the same text for
    /// both; [`Error::Invalid`] for an unknown group; [`Error::ServerError`] (500) for a
    /// password of fewer than 8 or more than 72 characters.
    pub async fn create(&self, user: &NewUser) -> Result<User, Error> {
        self.0
            .call(CREATE.at(&[]).secret(&user.password).json(user))
            .await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an unknown role or group;
    /// [`Error::ServerError`] (500) for a numeric ID that is taken.
    pub async fn update(&self, username: &str, change: &UserChange) -> Result<User, Error> {
        self.0.call(UPDATE.at(&[username]).json(change)).await
    }

    /// Removes an account. Its rights on the roots of shares stay until the next
    /// change of those shares' permissions: take its grants away first.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] for `admin`.
    pub async fn delete(&self, username: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[username])).await
    }

    /// Sets the password of any account. One with role admin must then change it
    /// at its next login.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ServerError`] (500) for a password of fewer than 8 or
    /// more than 72 characters.
    pub async fn set_password(&self, username: &str, password: &SecretString) -> Result<(), Error> {
        let body = NewPassword {
            new_password: password,
        };
        self.0
            .call_empty(PASSWORD.at(&[username]).secret(password).json(&body))
            .await
    }
}
