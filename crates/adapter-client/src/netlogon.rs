//! The server's account in a Windows domain, with which it lets domain controllers check NTLM logins.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Route},
    wire::{GoDuration, filled, list},
};

pub(crate) static STATUS: Route =
    Route::get("netlogon.status", "/api/v1/netlogon/status", Access::Admin);
pub(crate) static ROTATE: Route =
    Route::post("netlogon.rotate", "/api/v1/netlogon/rotate", Access::Admin).class(Class::Slow);

/// How the account in the domain does. Asking does not touch the domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NetlogonStatus {
    /// Whether it is used.
    pub enabled: bool,
    /// Where its password comes from, in the server's words.
    pub provider: String,
    /// Its name.
    #[serde(default)]
    pub account_name: String,
    /// Kerberos realm of the domain.
    #[serde(default)]
    pub realm: String,
    /// Short name of the domain.
    #[serde(default)]
    pub netbios_domain: String,
    /// Addresses of domain controllers; found by DNS when there are none.
    #[serde(default, deserialize_with = "list")]
    pub dc_addresses: Vec<String>,
    /// Whether the account exists in the domain, as far as the server knows.
    pub joined: bool,
    /// Whether there is a connection to a domain controller.
    pub channel_connected: bool,
    /// Whether the server changes the password by itself.
    pub rotation_enabled: bool,
    /// How often.
    #[serde(default, deserialize_with = "filled")]
    pub rotation_interval: Option<GoDuration>,
    /// When it last did.
    pub last_rotation: Option<Timestamp>,
    /// When it will.
    pub next_rotation: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Rotated {
    status: NetlogonStatus,
}

/// Calls for the account in a Windows domain, for role admin (server contract 3.15). A server
/// without one has no such routes: [`Error::Protocol`]. See [`Client::netlogon`].
#[derive(Clone, Copy, Debug)]
pub struct Netlogon<'a>(&'a Client);

impl Client {
    /// The server's account in a Windows domain.
    #[must_use]
    pub fn netlogon(&self) -> Netlogon<'_> {
        Netlogon(self)
    }
}

impl Netlogon<'_> {
    /// How the account does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<NetlogonStatus, Error> {
        self.0.call(STATUS.at(&[])).await
    }

    /// Gives the account a new password, in the domain and in the server.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the password comes from the configuration;
    /// [`Error::ServerError`] (500) when the domain controller refuses.
    pub async fn rotate(&self) -> Result<NetlogonStatus, Error> {
        let rotated: Rotated = self.0.call(ROTATE.at(&[])).await?;
        Ok(rotated.status)
    }
}
