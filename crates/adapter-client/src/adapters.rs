//! The live protocol adapters: the listeners for NFS and SMB.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{
    client::Client,
    error::Error,
    health::{HealthReport, HealthStatus},
    route::{Access, Class, Route},
    wire::words,
};

pub(crate) static LIST: Route = Route::get("adapters.list", "/api/v1/adapters", Access::Operator);
pub(crate) static PORTS: Route =
    Route::get("adapters.ports", "/api/v1/adapters/ports", Access::Account);
pub(crate) static GET: Route = Route::get("adapters.get", "/api/v1/adapters/{type}", Access::Admin);
pub(crate) static STATUS: Route = Route::get(
    "adapters.status",
    "/api/v1/adapters/{type}/status",
    Access::Admin,
);
pub(crate) static CREATE: Route =
    Route::post("adapters.create", "/api/v1/adapters", Access::Admin).class(Class::Slow);
pub(crate) static UPDATE: Route =
    Route::put("adapters.update", "/api/v1/adapters/{type}", Access::Admin).class(Class::Slow);
pub(crate) static DELETE: Route =
    Route::delete("adapters.delete", "/api/v1/adapters/{type}", Access::Admin).class(Class::Slow);

words! {
    /// A protocol.
    AdapterType {
        /// NFSv3, NFSv4 and their helpers, on one port.
        Nfs = "nfs",
        /// SMB 2 and 3.
        Smb = "smb",
    }
}

impl AdapterType {
    /// Where the listener is when its row says port 0 (contract 1.4).
    fn default_port(&self) -> Option<u16> {
        match self {
            AdapterType::Nfs => Some(12049),
            AdapterType::Smb => Some(12445),
            AdapterType::Other(_) => None,
        }
    }
}

/// The port of an adapter. The server stores numbers that are no ports, and a
/// server with one above 65535 does not start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterPort {
    /// This one.
    Fixed(u16),
    /// The row says 0: the listener is at the default of its type, given here;
    /// `None` when the type is not known.
    Default(Option<u16>),
    /// No port.
    Invalid(i64),
}

impl AdapterPort {
    fn of(kind: &AdapterType, number: i64) -> Self {
        match u16::try_from(number) {
            Ok(0) => AdapterPort::Default(kind.default_port()),
            Ok(port) => AdapterPort::Fixed(port),
            Err(_) => AdapterPort::Invalid(number),
        }
    }

    /// The TCP port to connect to, when there is one.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        match self {
            AdapterPort::Fixed(port) => Some(*port),
            AdapterPort::Default(port) => *port,
            AdapterPort::Invalid(_) => None,
        }
    }
}

/// An adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// UUID; another one after the adapter was deleted and made again.
    pub id: String,
    /// Its protocol.
    pub kind: AdapterType,
    /// Whether it is wanted. Kept over restarts.
    pub enabled: bool,
    /// Whether it was launched in this process. Says nothing about the port;
    /// see [`Adapter::serving`].
    pub running: bool,
    /// Where it listens.
    pub port: AdapterPort,
    /// Settings that need a restart of the adapter: TLS for NFS, signing and
    /// address for SMB.
    pub config: Map<String, Value>,
    /// When its row was made.
    pub created_at: Timestamp,
    /// When its row was last changed, also by a change to the same values.
    pub updated_at: Timestamp,
    /// The server's report on the listener; may be older than the last change.
    pub status: HealthReport,
}

/// Whether an adapter accepts clients, as far as the server's answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Its port is open.
    Yes,
    /// It is enabled and its port is not open, for instance because another
    /// program has it.
    No,
    /// It is disabled.
    Disabled,
    /// The report is about the time before the last change, or too shortly
    /// after it: ask again.
    Undecided,
}

/// How long after a change a report may still say `unknown` about a listener
/// that is about to open: reports are kept for 5 s (contract 3.7).
const REPORT_AGE: Duration = Duration::from_secs(5);

impl Adapter {
    /// Judges the server's report: it counts only when it is younger than the
    /// last change, and a failure only when it is 5 s younger (contract, rule 6).
    #[must_use]
    pub fn serving(&self) -> Serving {
        if !self.enabled {
            return Serving::Disabled;
        }
        let age = self.status.checked_at.duration_since(self.updated_at);
        let Ok(age) = Duration::try_from(age) else {
            return Serving::Undecided;
        };
        match self.status.status {
            _ if age.is_zero() => Serving::Undecided,
            HealthStatus::Healthy => Serving::Yes,
            _ if age > REPORT_AGE => Serving::No,
            _ => Serving::Undecided,
        }
    }
}

impl<'de> Deserialize<'de> for Adapter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            r#type: AdapterType,
            enabled: bool,
            running: bool,
            port: i64,
            #[serde(default)]
            config: Option<Map<String, Value>>,
            created_at: Timestamp,
            updated_at: Timestamp,
            status: HealthReport,
        }
        let row = Row::deserialize(deserializer)?;
        Ok(Adapter {
            port: AdapterPort::of(&row.r#type, row.port),
            id: row.id,
            kind: row.r#type,
            enabled: row.enabled,
            running: row.running,
            config: row.config.unwrap_or_default(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            status: row.status,
        })
    }
}

/// What every account may know about an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterPortEntry {
    /// Its protocol.
    pub kind: AdapterType,
    /// Where it listens.
    pub port: AdapterPort,
    /// Whether it is wanted.
    pub enabled: bool,
    /// Whether it was launched.
    pub running: bool,
}

impl<'de> Deserialize<'de> for AdapterPortEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Row {
            r#type: AdapterType,
            port: i64,
            enabled: bool,
            running: bool,
        }
        let row = Row::deserialize(deserializer)?;
        Ok(Self {
            port: AdapterPort::of(&row.r#type, row.port),
            kind: row.r#type,
            enabled: row.enabled,
            running: row.running,
        })
    }
}

/// An adapter to be made. Both exist from the server's first start, and the
/// server starts this one whatever `enabled` would say, so there is no such field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewAdapter {
    /// Its protocol.
    #[serde(rename = "type")]
    pub kind: AdapterType,
    /// Where it listens.
    pub port: u16,
    /// See [`Adapter::config`].
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

/// What to change of an adapter; `None` leaves it.
///
/// Only a changed port or bind address makes the server open a listener anew.
/// To apply another `config`, or to try a port again that was taken, disable the
/// adapter and enable it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AdapterChange {
    /// Whether it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Where it listens. Clients of the old port are dropped. The server does not
    /// check whether another listener has this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Replaces [`Adapter::config`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
}

/// Calls for adapters and their settings (server contract 3.7 and 3.8). For role admin, but for
/// [`Adapters::list`] and [`Adapters::ports`]. See [`Client::adapters`].
#[derive(Clone, Copy, Debug)]
pub struct Adapters<'a>(pub(crate) &'a Client);

impl Client {
    /// The protocol adapters.
    #[must_use]
    pub fn adapters(&self) -> Adapters<'_> {
        Adapters(self)
    }
}

impl Adapters<'_> {
    /// All adapters. Role operator suffices.
    ///
    /// # Errors
    /// [`Error::Protocol`] for `null`, too, which the server never writes here: nothing would be left
    /// to tell it from a server without adapters.
    pub async fn list(&self) -> Result<Vec<Adapter>, Error> {
        self.0.call(LIST.at(&[])).await
    }

    /// Types and ports of all adapters. Any account may ask.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ports(&self) -> Result<Vec<AdapterPortEntry>, Error> {
        self.0.call_list(PORTS.at(&[])).await
    }

    /// One adapter.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, kind: &AdapterType) -> Result<Adapter, Error> {
        self.0.call(GET.at(&[kind.as_str()])).await
    }

    /// The server's report on an adapter. Kept 5 s, also over changes: prefer
    /// [`Adapter::serving`].
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn status(&self, kind: &AdapterType) -> Result<HealthReport, Error> {
        self.0.call(STATUS.at(&[kind.as_str()])).await
    }

    /// Makes an adapter that was deleted. The answer says `running: false` even
    /// though the server starts it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it exists; [`Error::ServerError`] (500) for an unknown type or
    /// settings that cannot be used.
    pub async fn create(&self, adapter: &NewAdapter) -> Result<Adapter, Error> {
        self.0.call(CREATE.at(&[]).json(adapter)).await
    }

    /// Changes an adapter. Succeeds also when the new listener cannot be opened:
    /// look at [`Adapter::serving`] afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update(
        &self,
        kind: &AdapterType,
        change: &AdapterChange,
    ) -> Result<Adapter, Error> {
        self.0.call(UPDATE.at(&[kind.as_str()]).json(change)).await
    }

    /// Stops and deletes an adapter until the next start of the server, which
    /// makes it again with its defaults. To switch it off for good disable it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, kind: &AdapterType) -> Result<(), Error> {
        self.0.call_empty(DELETE.at(&[kind.as_str()])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn adapter(change: Value) -> Adapter {
        let mut row = json!({
            "id": "1", "type": "nfs", "enabled": true, "running": true, "port": 12049,
            "created_at": "2026-07-24T10:00:00Z", "updated_at": "2026-07-24T10:00:00.5+00:00",
            "status": {"status": "healthy", "checked_at": "2026-07-24T12:00:01+02:00"},
            "new_field": {},
        });
        for (key, value) in change.as_object().unwrap() {
            row[key] = value.clone();
        }
        serde_json::from_value(row).unwrap()
    }

    fn report(status: &str, second: &str) -> Value {
        json!({"status": {"status": status, "checked_at": format!("2026-07-24T10:00:{second}Z")}})
    }

    #[test]
    fn ports_that_are_none_are_read_and_named() {
        let port = |row| adapter(row).port;
        assert_eq!(port(json!({})).number(), Some(12049));
        assert_eq!(port(json!({"port": 0})).number(), Some(12049));
        assert_eq!(
            port(json!({"port": 0, "type": "smb"})).number(),
            Some(12445)
        );
        assert_eq!(
            port(json!({"port": 0, "type": "ftp"})),
            AdapterPort::Default(None)
        );
        assert_eq!(port(json!({"port": -1})), AdapterPort::Invalid(-1));
        assert_eq!(port(json!({"port": 99999})).number(), None);
    }

    #[test]
    fn a_report_counts_only_when_it_is_younger_than_the_last_change() {
        let serving = |row| adapter(row).serving();
        assert_eq!(serving(json!({})), Serving::Yes);
        assert_eq!(serving(report("healthy", "00.4")), Serving::Undecided);
        assert_eq!(serving(report("healthy", "00.5")), Serving::Undecided);
        assert_eq!(serving(report("unknown", "00.4")), Serving::Undecided);
        assert_eq!(serving(report("unknown", "05.5")), Serving::Undecided);
        assert_eq!(serving(report("unknown", "05.6")), Serving::No);
        assert_eq!(serving(report("unhealthy", "09")), Serving::No);
        assert_eq!(serving(json!({"enabled": false})), Serving::Disabled);
    }
}
