//! Login, renewal, and what concerns the own account.

use secrecy::SecretString;
use serde::Serialize;

use crate::{
    client::Client,
    error::{Error, Refusal},
    route::{Access, Request, Route},
    session::{Account, Grant},
    users::{User, exposed},
};

pub(crate) static LOGIN: Route =
    Route::post("auth.login", "/api/v1/auth/login", Access::Anonymous).repeatable();
pub(crate) static REFRESH: Route =
    Route::post("auth.refresh", "/api/v1/auth/refresh", Access::Anonymous).repeatable();
pub(crate) static ME: Route = Route::get("auth.me", "/api/v1/auth/me", Access::Account);
pub(crate) static PASSWORD: Route = Route::post(
    "auth.change_password",
    "/api/v1/users/me/password",
    Access::Account,
);

#[derive(Serialize)]
struct Login<'a> {
    username: &'a str,
    #[serde(serialize_with = "exposed")]
    password: &'a SecretString,
}

#[derive(Serialize)]
struct Refresh<'a> {
    #[serde(serialize_with = "exposed")]
    refresh_token: &'a SecretString,
}

#[derive(Serialize)]
struct ChangePassword<'a> {
    #[serde(serialize_with = "exposed")]
    current_password: &'a SecretString,
    #[serde(serialize_with = "exposed")]
    new_password: &'a SecretString,
}

pub(crate) fn log_in_request(account: &Account) -> Request {
    LOGIN
        .at(&[])
        .hold_answer()
        .secret(&account.password)
        .json(&Login {
            username: &account.username,
            password: &account.password,
        })
}

pub(crate) fn refresh_request(token: &SecretString) -> Request {
    REFRESH.at(&[]).hold_answer().secret(token).json(&Refresh {
        refresh_token: token,
    })
}

/// Calls for the own account, for every role (server contract 3.4). See [`Client::auth`].
#[derive(Clone, Copy, Debug)]
pub struct Auth<'a>(&'a Client);

impl Client {
    /// The own account.
    #[must_use]
    pub fn auth(&self) -> Auth<'_> {
        Auth(self)
    }
}

impl Auth<'_> {
    /// The own account, as the database has it now.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when it is gone.
    pub async fn me(&self) -> Result<User, Error> {
        self.0.call(ME.at(&[])).await
    }

    /// Sets a new password for the own account. The session goes on with the
    /// tokens and the password that result, so this is also the way out of
    /// [`crate::Denial::MustChangePassword`].
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when the present password is not (any more) that of the
    /// client's account; [`Error::ServerError`] (500) for a new one of fewer than 8 or more
    /// than 72 characters.
    pub async fn change_password(&self, new_password: SecretString) -> Result<User, Error> {
        let Some(session) = self.0.session() else {
            return Err(Error::Unauthorized {
                call: PASSWORD.call,
                refusal: Refusal::NoAccount,
                detail: "this call needs an account".into(),
            });
        };
        let account = session.account();
        let asked = self.0.now();
        let request = PASSWORD
            .at(&[])
            .hold_answer()
            .secret(&account.password)
            .secret(&new_password)
            .json(&ChangePassword {
                current_password: &account.password,
                new_password: &new_password,
            });
        let grant: Grant = self.0.call(request).await?;
        let user = grant.user.clone();
        session.adopt(grant, new_password, asked);
        Ok(user)
    }
}
