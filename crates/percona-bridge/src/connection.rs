//! From a source and the Secrets that it names to the connection: its parts, how the pod gets them, and what
//! is missing.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api_types::conditions::Reason;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::SslMode;
use secrecy::{ExposeSecret, SecretString};

use crate::source::Source;
use reader::Reader;

/// Where the pod has the CA of the database server's certificate.
pub const CA_FILE: &str = "/database-ca/ca.crt";

/// What is known of a key of a Secret.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'s> {
    /// Its value.
    Value(&'s [u8]),
    /// The Secret has no such key.
    NoKey,
    /// There is no such Secret.
    NoSecret,
    /// The API server refuses to show the Secret, with this explanation.
    Refused(&'s str),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Reason of the condition.
    pub reason: Reason,
    /// For people: what is missing and what to do.
    pub message: String,
}

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A key of a Secret.
    Secret {
        /// The key.
        reference: SecretKeyRef,
        /// Whether the pod starts without it.
        optional: bool,
    },
    /// This text, which is no secret.
    Text(String),
}

/// A variable of the server's environment. Source: server contract 1.3 and 2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Where its value comes from.
    pub origin: Origin,
}

/// How the pod gets the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Variables, in the order of the pod's environment.
    pub variables: Vec<Variable>,
    /// What is mounted as [`CA_FILE`].
    pub ca: Option<SecretKeyRef>,
}

/// The parts of a connection.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Name or address of the database server.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Use of TLS.
    pub sslmode: SslMode,
    /// The CA of the database server's certificate, as PEM text.
    pub ca: Option<Vec<u8>>,
}

/// A complete connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its parts.
    pub parts: Parts,
    /// How the pod gets them.
    pub wiring: Wiring,
    /// The values of Secrets that the process takes at its start.
    pub restart: Vec<SecretKeyRef>,
    /// The Secret in which others find host, port, user and password.
    pub secret: String,
}

/// What the Secret of [`api_types::names::database_connection`] holds for `parts`.
pub fn derived(parts: &Parts) -> BTreeMap<String, SecretString> {
    let Parts {
        host,
        port,
        database,
        user,
        password,
        sslmode,
        ca: _,
    } = parts;
    [
        ("host", host.clone().into()),
        ("port", port.to_string().into()),
        ("database", database.clone().into()),
        ("user", user.clone().into()),
        ("password", password.clone()),
        ("sslmode", sslmode.as_str().to_owned().into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The connection to the database of the server called `server`; `None` for one without. `read` tells what is
/// known of a key of a Secret.
///
/// # Errors
/// What is missing, for people.
pub fn connection<'s>(
    server: &str,
    source: &Source,
    read: impl Fn(&str, &str) -> Lookup<'s>,
) -> Result<Option<Connection>, Vec<Flaw>> {
    let mut reader = Reader::new(read);
    let found = match source {
        Source::Sqlite { .. } => return Ok(None),
        Source::Secret(secret) => match &secret.dsn_key {
            Some(key) => reader.by_dsn(server, secret, key),
            None => reader.by_keys(secret),
        },
        Source::Managed(managed) => reader.managed(managed),
    };
    match found {
        Some((parts, wiring, secret)) if reader.flaws.is_empty() => Ok(Some(Connection {
            parts,
            wiring,
            restart: reader.restart,
            secret,
        })),
        _ => {
            reader.flaws.dedup();
            Err(reader.flaws)
        }
    }
}

/// What is wrong with the credentials of the backups that `source` asks for, for people. Without them a cluster
/// may never become ready; one that is does not need them. `read` tells what is known of a key of a Secret.
pub fn backups<'s>(source: &Source, read: impl Fn(&str, &str) -> Lookup<'s>) -> Option<Flaw> {
    let mut reader = Reader::new(read);
    if let Source::Managed(managed) = source {
        reader.backups(managed);
    }
    reader.flaws.pop()
}

impl Parts {
    /// These parts for another database of the same server.
    #[must_use]
    pub fn of_database(&self, database: &str) -> Self {
        Parts {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// Whether `self` and `other` are the same connection.
    pub fn is(&self, other: &Self) -> bool {
        let Parts {
            host,
            port,
            database,
            user,
            password,
            sslmode,
            ca,
        } = self;
        (host, port, database, user, sslmode, ca)
            == (
                &other.host,
                &other.port,
                &other.database,
                &other.user,
                &other.sslmode,
                &other.ca,
            )
            && password.expose_secret() == other.password.expose_secret()
    }
}
