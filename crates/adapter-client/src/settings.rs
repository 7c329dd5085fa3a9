//! The server's global key-value store, in which an operator may keep markers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
};

pub(crate) static LIST: Route = Route::get("settings.list", "/api/v1/settings", Access::Admin);
pub(crate) static GET: Route = Route::get("settings.get", "/api/v1/settings/{key}", Access::Admin);
pub(crate) static PUT: Route = Route::put("settings.put", "/api/v1/settings/{key}", Access::Admin);
pub(crate) static DELETE: Route =
    Route::delete("settings.delete", "/api/v1/settings/{key}", Access::Admin);

/// One entry. The server's own are `machine_sid` and `discovery.name`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Setting {
    /// Name; must have no slash.
    pub key: String,
    /// Any text.
    pub value: String,
    /// When it was last written; only in lists.
    pub updated_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

/// Calls for the key-value store, for role admin (server contract 3.15). See [`Client::settings`].
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a>(&'a Client);

impl Client {
    /// The server's key-value store.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        Settings(self)
    }
}

impl Settings<'_> {
    /// All entries.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Setting>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// The value of `key`; `None` when there is no such entry. The server answers
    /// the same for an empty value, so that counts as absent too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let setting: Setting = self.0.call(GET.at(&[key])).await?;
        Ok(Some(setting.value).filter(|value| !value.is_empty()))
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put(&self, key: &str, value: &str) -> Result<(), Error> {
        self.0
            .call_empty(PUT.at(&[key]).json(&Value { value }))
            .await
    }

    /// Removes `key`; also succeeds when there is no such entry.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[key])).await
    }
}
