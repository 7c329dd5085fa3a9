//! Reads the parts of a connection from Secrets.

use api_types::conditions::Reason;
use api_types::names;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::SslMode;

use super::{CA_FILE, Flaw, Lookup, Origin, Parts, Variable, Wiring};
use crate::dsn::Dsn;
use crate::source::{Managed, SecretSource};

const HOST: &str = "DITTOFS_DATABASE_POSTGRES_HOST";
const PORT: &str = "DITTOFS_DATABASE_POSTGRES_PORT";
const DATABASE: &str = "DITTOFS_DATABASE_POSTGRES_DATABASE";
const USER: &str = "DITTOFS_DATABASE_POSTGRES_USER";
const PASSWORD: &str = "DITTOFS_DATABASE_POSTGRES_PASSWORD";
const SSLMODE: &str = "DITTOFS_DATABASE_POSTGRES_SSLMODE";
const SSL_ROOT_CERT: &str = "DITTOFS_DATABASE_POSTGRES_SSL_ROOT_CERT";

/// The port of PostgreSQL.
const DEFAULT_PORT: u16 = 5432;
/// What the parts are, for people.
const WHAT: &str = "the connection to PostgreSQL";

/// Parts, their way to the pod, and the Secret in which others find them.
pub(super) type Found = (Parts, Wiring, String);

/// Reads a connection, and collects what is missing.
pub(super) struct Reader<R> {
    read: R,
    pub(super) flaws: Vec<Flaw>,
    pub(super) restart: Vec<SecretKeyRef>,
}

/// A value and where it was found.
struct Item {
    text: String,
    reference: SecretKeyRef,
}

impl Item {
    fn variable(&self, name: &'static str) -> Variable {
        from_secret(name, &self.reference, false)
    }
}

fn from_secret(name: &'static str, reference: &SecretKeyRef, optional: bool) -> Variable {
    Variable {
        name,
        origin: Origin::Secret {
            reference: reference.clone(),
            optional,
        },
    }
}

fn text(name: &'static str, value: impl Into<String>) -> Variable {
    Variable {
        name,
        origin: Origin::Text(value.into()),
    }
}

impl<'s, R: Fn(&str, &str) -> Lookup<'s>> Reader<R> {
    pub(super) fn new(read: R) -> Self {
        Reader {
            read,
            flaws: Vec::new(),
            restart: Vec::new(),
        }
    }

    fn flaw(&mut self, reason: Reason, message: String) {
        self.flaws.push(Flaw { reason, message });
    }

    /// Whether the Secret can be read at all; `made` says who makes it.
    fn is_there(&mut self, secret: &str, made: Option<&str>, keys: &str) -> bool {
        match (self.read)(secret, "") {
            Lookup::Value(_) | Lookup::NoKey => true,
            Lookup::NoSecret => {
                let message = match made {
                    Some(operator) => {
                        format!("Secret {secret} is missing: the {operator} makes it ({WHAT}).")
                    }
                    None => format!("Secret {secret} is missing: create it with {keys} ({WHAT})."),
                };
                self.flaw(Reason::SecretMissing, message);
                false
            }
            Lookup::Refused(why) => {
                self.refused(secret, why);
                false
            }
        }
    }

    fn refused(&mut self, secret: &str, why: &str) {
        self.flaw(
            Reason::InputUnreadable,
            format!(
                "Secret {secret} cannot be read: {why}. Let the server-controller's role read it."
            ),
        );
    }

    /// The value of the first of `keys` that the Secret has.
    fn first(&mut self, secret: &str, keys: &[&str]) -> Option<Item> {
        for key in keys {
            if let Lookup::Value(value) = (self.read)(secret, key) {
                let reference = SecretKeyRef::new(secret, *key);
                if value.is_empty() {
                    self.flaw(
                        Reason::SecretInvalid,
                        format!("Key {key} of Secret {secret} ({WHAT}) is empty."),
                    );
                    return None;
                }
                let Ok(text) = std::str::from_utf8(value) else {
                    self.flaw(
                        Reason::SecretInvalid,
                        format!("Key {key} of Secret {secret} ({WHAT}) is not text."),
                    );
                    return None;
                };
                self.restart.push(reference.clone());
                return Some(Item {
                    text: text.to_owned(),
                    reference,
                });
            }
        }
        None
    }

    /// As [`Reader::first`], for what the server cannot do without.
    fn needed(&mut self, secret: &str, keys: &[&str]) -> Option<Item> {
        let before = self.flaws.len();
        let found = self.first(secret, keys);
        if found.is_none() && self.flaws.len() == before {
            let names = keys.join(" or ");
            self.flaw(
                Reason::SecretKeyMissing,
                format!("Secret {secret} has no key {names}: add it ({WHAT})."),
            );
        }
        found
    }

    /// The port, and where it is. `unseen` hands on what is no number too.
    fn port(&mut self, secret: &str, unseen: bool) -> Option<(u16, SecretKeyRef)> {
        let reference = SecretKeyRef::new(secret, "port");
        let Some(item) = self.first(secret, &["port"]) else {
            return Some((DEFAULT_PORT, reference));
        };
        match item.text.parse::<u16>().ok().filter(|port| *port != 0) {
            Some(port) => Some((port, reference)),
            None if unseen => Some((DEFAULT_PORT, reference)),
            None => {
                self.flaw(
                    Reason::SecretInvalid,
                    format!(
                        "Key port of Secret {secret} ({WHAT}) is not a number from 1 to 65535."
                    ),
                );
                None
            }
        }
    }

    fn certificate(&mut self, reference: &SecretKeyRef, made: Option<&str>) -> Option<Vec<u8>> {
        const CA: &str = "the CA of the database server's certificate";
        let (secret, key) = (&reference.name.0, &reference.key.0);
        match (self.read)(secret, key) {
            Lookup::Value(pem) if holds_certificate(pem) => {
                self.restart.push(reference.clone());
                return Some(pem.to_vec());
            }
            Lookup::Value(_) => self.flaw(
                Reason::SecretInvalid,
                format!("Key {key} of Secret {secret} ({CA}) holds no certificate as PEM text."),
            ),
            Lookup::NoKey => self.flaw(
                Reason::SecretKeyMissing,
                format!("Secret {secret} has no key {key}: add it ({CA})."),
            ),
            Lookup::NoSecret => {
                let message = match made {
                    Some(operator) => {
                        format!("Secret {secret} is missing: the {operator} makes it ({CA}).")
                    }
                    None => format!(
                        "Secret {secret} is missing: create it with the key {key} ({CA})."
                    ),
                };
                self.flaw(Reason::SecretMissing, message);
            }
            Lookup::Refused(why) => self.flaw(
                Reason::InputUnreadable,
                format!(
                    "Secret {secret} cannot be read: {why}. Let the server-controller's role read it."
                ),
            ),
        }
        None
    }

    /// The CA that the spec names, else the one in the Secret itself; `None` where that fails.
    #[allow(clippy::option_option, reason = "failed, none, one")]
    fn own_certificate(
        &mut self,
        secret: &SecretSource,
    ) -> Option<Option<(SecretKeyRef, Vec<u8>)>> {
        let inside = SecretKeyRef::new(secret.name.as_str(), "sslrootcert");
        let reference = match &secret.ca {
            Some(reference) => reference.clone(),
            None => match (self.read)(&inside.name.0, &inside.key.0) {
                Lookup::Value(_) => inside,
                _ => return Some(None),
            },
        };
        let pem = self.certificate(&reference, None)?;
        Some(Some((reference, pem)))
    }

    pub(super) fn by_keys(&mut self, source: &SecretSource) -> Option<Found> {
        let secret = source.name.as_str();
        if !self.is_there(secret, None, "the keys host, database, user and password") {
            return None;
        }
        // Each is looked for, so that all that is missing is said at once.
        let host = self.needed(secret, &["host"]);
        let port = self.port(secret, source.by_older_field);
        let database = self.needed(secret, &["database", "dbname"]);
        let user = self.needed(secret, &["user", "username"]);
        let password = self.needed(secret, &["password"]);
        let said = self.first(secret, &["sslmode"]);
        let ca = if source.by_older_field {
            Some(None)
        } else {
            self.own_certificate(source)
        };
        let said_mode = match (&said, source.by_older_field) {
            // What the Go operator handed on unseen still is.
            (Some(item), true) => Some(SslMode::parse(&item.text).unwrap_or(SslMode::Prefer)),
            (Some(item), false) => match SslMode::parse(&item.text) {
                Some(mode) => Some(mode),
                None => {
                    self.flaw(
                        Reason::SecretInvalid,
                        format!(
                            "Key sslmode of Secret {secret} ({WHAT}) is none of disable, prefer, require, verify-ca and verify-full."
                        ),
                    );
                    return None;
                }
            },
            (None, _) => None,
        };
        let (host, database, user, password) = (host?, database?, user?, password?);
        let ((port, port_reference), ca) = (port?, ca?);
        let mut variables = vec![
            host.variable(HOST),
            from_secret(PORT, &port_reference, true),
            database.variable(DATABASE),
            user.variable(USER),
            password.variable(PASSWORD),
        ];
        let sslmode = if source.by_older_field {
            let reference = SecretKeyRef::new(secret, "sslmode");
            variables.push(from_secret(SSLMODE, &reference, true));
            said_mode.unwrap_or(SslMode::Disable)
        } else {
            let mode = mode(source.sslmode.or(said_mode), ca.is_some());
            variables.push(text(SSLMODE, mode.as_str()));
            mode
        };
        let (wiring, pem) = wired(variables, ca);
        let parts = Parts {
            host: host.text,
            port,
            database: database.text,
            user: user.text,
            password: password.text.into(),
            sslmode,
            ca: pem,
        };
        Some((parts, wiring, secret.to_owned()))
    }

    pub(super) fn by_dsn(
        &mut self,
        server: &str,
        source: &SecretSource,
        key: &str,
    ) -> Option<Found> {
        let secret = source.name.as_str();
        if !self.is_there(secret, None, &format!("the key {key}")) {
            return None;
        }
        let item = self.needed(secret, &[key])?;
        let ca = self.own_certificate(source);
        let dsn = match Dsn::parse(&item.text) {
            Ok(dsn) => dsn,
            Err(error) => {
                self.flaw(
                    Reason::DSNInvalid,
                    format!(
                        "Key {key} of Secret {secret} is no connection to PostgreSQL: {error}."
                    ),
                );
                return None;
            }
        };
        let Dsn {
            host,
            port,
            database,
            user,
            password,
            sslmode,
        } = dsn;
        let missing: Vec<&str> = [
            ("host", host.is_none()),
            ("database", database.is_none()),
            ("user", user.is_none()),
            ("password", password.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        if !missing.is_empty() {
            self.flaw(
                Reason::DSNInvalid,
                format!(
                    "Key {key} of Secret {secret} is no complete connection to PostgreSQL: it lacks {}.",
                    missing.join(", ")
                ),
            );
        }
        let ca = ca?;
        let derived = names::database_connection(server);
        let sslmode = mode(source.sslmode.or(sslmode), ca.is_some());
        let variables = [
            (HOST, "host"),
            (PORT, "port"),
            (DATABASE, "database"),
            (USER, "user"),
            (PASSWORD, "password"),
        ]
        .map(|(name, key)| from_secret(name, &SecretKeyRef::new(derived.as_str(), key), false));
        let mut variables = variables.to_vec();
        variables.push(text(SSLMODE, sslmode.as_str()));
        let (wiring, pem) = wired(variables, ca);
        let parts = Parts {
            host: host?,
            port: port.unwrap_or(DEFAULT_PORT),
            database: database?,
            user: user?,
            password: password?,
            sslmode,
            ca: pem,
        };
        Some((parts, wiring, derived))
    }

    pub(super) fn backups(&mut self, managed: &Managed) {
        let Some(SecretKeyRef { name, key, .. }) = managed.provider().backup_credentials() else {
            return;
        };
        let content = format!(
            "the key {key}: a pgBackRest configuration with repo1-s3-key and repo1-s3-key-secret below [global] (the credentials of the backups)"
        );
        match (self.read)(&name.0, &key.0) {
            Lookup::Value(value) if holds_credentials(value) => {}
            Lookup::Value(_) | Lookup::NoKey => self.flaw(
                Reason::SecretInvalid,
                format!("Secret {name} needs {content}."),
            ),
            Lookup::NoSecret => self.flaw(
                Reason::SecretMissing,
                format!("Secret {name} is missing: create it with {content}."),
            ),
            Lookup::Refused(why) => self.refused(&name.0, why),
        }
    }

    pub(super) fn managed(&mut self, managed: &Managed) -> Option<Found> {
        let provider = managed.provider();
        let operator = provider.operator();
        let sslmode = provider.sslmode();
        let ca = if matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull) {
            let reference = managed.authority();
            let pem = self.certificate(&reference, Some(operator));
            Some(pem.map(|pem| (reference, pem)))
        } else {
            None
        };
        let secret = managed.credentials();
        if !self.is_there(&secret, Some(operator), "") {
            return None;
        }
        let host = self.needed(&secret, &["host"]);
        let port = self.port(&secret, false);
        let user = self.needed(&secret, &["user", "username"]);
        let password = self.needed(&secret, &["password"]);
        let (host, user, password) = (host?, user?, password?);
        let (port, port_reference) = port?;
        let ca = match ca {
            Some(found) => Some(found?),
            None => None,
        };
        let variables = vec![
            host.variable(HOST),
            from_secret(PORT, &port_reference, true),
            // The Secret names the first database of the role only.
            text(DATABASE, provider.database()),
            user.variable(USER),
            password.variable(PASSWORD),
            text(SSLMODE, sslmode.as_str()),
        ];
        let (wiring, pem) = wired(variables, ca);
        let parts = Parts {
            host: host.text,
            port,
            database: provider.database().to_owned(),
            user: user.text,
            password: password.text.into(),
            sslmode,
            ca: pem,
        };
        Some((parts, wiring, secret))
    }
}

fn mode(said: Option<SslMode>, has_ca: bool) -> SslMode {
    said.unwrap_or(if has_ca {
        SslMode::VerifyFull
    } else {
        SslMode::Require
    })
}

fn wired(
    mut variables: Vec<Variable>,
    ca: Option<(SecretKeyRef, Vec<u8>)>,
) -> (Wiring, Option<Vec<u8>>) {
    if ca.is_some() {
        variables.push(text(SSL_ROOT_CERT, CA_FILE));
    }
    let (ca, pem) = ca.unzip();
    (Wiring { variables, ca }, pem)
}

fn holds_certificate(pem: &[u8]) -> bool {
    std::str::from_utf8(pem).is_ok_and(|pem| pem.contains("-----BEGIN CERTIFICATE-----"))
}

fn holds_credentials(file: &[u8]) -> bool {
    std::str::from_utf8(file).is_ok_and(|file| {
        let has = |name: &str| {
            file.lines().any(|line| {
                let (key, value) = line.split_once('=').unwrap_or_default();
                key.trim() == name && !value.trim().is_empty()
            })
        };
        has("repo1-s3-key") && has("repo1-s3-key-secret")
    })
}
