//! A connection as one text: a URL or words, as libpq and the tools of PostgreSQL take them
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>). The file server takes
//! single values only (server contract 2.2), so the text is taken apart.

use api_types::v1alpha1::SslMode;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// The parts of a connection that one text gives.
#[derive(Clone, Debug, Default)]
pub struct Dsn {
    /// Name or address of the database server.
    pub host: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Name of the database.
    pub database: Option<String>,
    /// Role.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Use of TLS.
    pub sslmode: Option<SslMode>,
}

/// Why a text is no connection. It says nothing of the text's values, which are secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsnError {
    /// Neither a URL of PostgreSQL nor words.
    #[error(
        "it is neither a URL that begins with postgresql:// or postgres:// nor words such as host=db user=files"
    )]
    Form,
    /// A percent sign without two hexadecimal digits, or bytes that are no text.
    #[error(
        "a percent sign in it is not followed by two hexadecimal digits, or what they stand for is no text: write % in a password as %25"
    )]
    Escape,
    /// A quote is not closed.
    #[error("a quote in it is not closed")]
    Quote,
    /// The port is no number.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// It names several hosts.
    #[error("it names several hosts, and the file server takes one")]
    Hosts,
    /// It names a socket in a folder.
    #[error("its host is a folder with a socket, which the pod does not have")]
    Socket,
    /// The mode of TLS is none that there is.
    #[error("its sslmode is none of disable, prefer, require, verify-ca and verify-full")]
    SslMode,
    /// The CA is the name of a file.
    #[error(
        "its sslrootcert is the name of a file, which the pod does not have: put the CA into a Secret and name it in caSecretRef"
    )]
    RootCertificate,
    /// A parameter that cannot be handed on.
    #[error("its parameter {0} cannot be handed to the file server: remove it")]
    Parameter(String),
}

impl Dsn {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// [`DsnError`]
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let text = text.trim();
        let url = ["postgresql://", "postgres://"]
            .into_iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let mut dsn = Dsn::default();
        match url {
            Some(rest) => dsn.take_url(rest)?,
            None => {
                for (key, value) in words(text)? {
                    dsn.set(&key, value)?;
                }
            }
        }
        Ok(dsn)
    }

    fn take_url(&mut self, rest: &str) -> Result<(), DsnError> {
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = match rest.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (rest, None),
        };
        // The last one: a password may hold the sign as it is.
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        if let Some(login) = login {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            self.set("user", decoded(user)?)?;
            if let Some(password) = password {
                self.set("password", decoded(password)?)?;
            }
        }
        if place.contains(',') {
            return Err(DsnError::Hosts);
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(address) => {
                let (address, after) = address.split_once(']').ok_or(DsnError::Form)?;
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':').ok_or(DsnError::Form)?),
                };
                (address.to_owned(), port)
            }
            None => match place.rsplit_once(':') {
                Some((host, port)) => (decoded(host)?, Some(port)),
                None => (decoded(place)?, None),
            },
        };
        self.set("host", host)?;
        if let Some(port) = port {
            self.set("port", port.to_owned())?;
        }
        if let Some(database) = database {
            self.set("dbname", decoded(database)?)?;
        }
        for parameter in query.unwrap_or_default().split('&') {
            if parameter.is_empty() {
                continue;
            }
            let (key, value) = parameter.split_once('=').ok_or(DsnError::Form)?;
            self.set(&decoded(key)?, decoded(value)?)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), DsnError> {
        if value.is_empty() {
            return Ok(());
        }
        match key {
            "host" | "hostaddr" if value.starts_with('/') => return Err(DsnError::Socket),
            "host" | "hostaddr" if value.contains(',') => return Err(DsnError::Hosts),
            "host" => self.host = Some(value),
            // An address saves the look-up of a name; without a name it is the host.
            "hostaddr" => {
                self.host.get_or_insert(value);
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port != 0);
                self.port = Some(port.ok_or(DsnError::Port)?);
            }
            "dbname" => self.database = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value.into()),
            "sslmode" => self.sslmode = Some(SslMode::parse(&value).ok_or(DsnError::SslMode)?),
            "sslrootcert" => return Err(DsnError::RootCertificate),
            // About this end of the connection only.
            "application_name" | "connect_timeout" | "target_session_attrs" => {}
            other => return Err(DsnError::Parameter(shown(other))),
        }
        Ok(())
    }
}

/// The name of a parameter as it may be shown: what is no name may be a piece of a password.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 32
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name { name } else { "(not shown)" }.to_owned()
}

fn decoded(text: &str) -> Result<String, DsnError> {
    let bytes = text.as_bytes();
    let hexadecimal = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let sound = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'%' || (hexadecimal(at + 1) && hexadecimal(at + 2)));
    if !sound {
        return Err(DsnError::Escape);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| DsnError::Escape)?.into_owned())
}

/// The words `key=value`, with blanks around the sign and quotes around the value as libpq allows them.
fn words(text: &str) -> Result<Vec<(String, String)>, DsnError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(DsnError::Form)?;
        let key = key.trim();
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_key {
            return Err(DsnError::Form);
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut characters = after.char_indices();
        if quoted {
            characters.next();
        }
        let mut end = after.len();
        let mut closed = !quoted;
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    end = at + 1;
                    closed = true;
                    break;
                }
                blank if !quoted && blank.is_whitespace() => {
                    end = at;
                    break;
                }
                other => value.push(other),
            }
        }
        if !closed {
            return Err(DsnError::Quote);
        }
        found.push((key.to_owned(), value));
        rest = after[end..].trim_start();
    }
    if found.is_empty() {
        return Err(DsnError::Form);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    type Shown = (
        Option<String>,
        Option<u16>,
        Option<String>,
        Option<String>,
        Option<String>,
        Option<SslMode>,
    );

    fn shown(text: &str) -> Shown {
        let dsn = Dsn::parse(text).unwrap();
        let password = dsn
            .password
            .map(|password| password.expose_secret().to_owned());
        (
            dsn.host,
            dsn.port,
            dsn.database,
            dsn.user,
            password,
            dsn.sslmode,
        )
    }

    fn parts(
        host: &str,
        port: Option<u16>,
        database: &str,
        user: &str,
        password: &str,
        sslmode: Option<SslMode>,
    ) -> Shown {
        let some = |text: &str| Some(text.to_owned());
        (
            some(host),
            port,
            some(database),
            some(user),
            some(password),
            sslmode,
        )
    }

    #[test]
    fn urls_and_words_say_the_same() {
        let expected = parts(
            "db.example.org",
            Some(6432),
            "files",
            "dittofs",
            "p@ss:w/rd?#%",
            Some(SslMode::VerifyFull),
        );
        let url = "postgresql://dittofs:p%40ss%3Aw%2Frd%3F%23%25@db.example.org:6432/files?sslmode=verify-full";
        assert_eq!(shown(url), expected);
        let words = "host=db.example.org port = 6432 dbname=files user='dittofs' password='p@ss:w/rd?#%' sslmode=verify-full";
        assert_eq!(shown(words), expected);
    }

    #[test]
    fn what_is_not_said_stays_open() {
        let dsn = Dsn::parse("postgres://db/files").unwrap();
        assert_eq!(
            (dsn.host.as_deref(), dsn.port, dsn.user.as_deref()),
            (Some("db"), None, None)
        );
        assert!(dsn.password.is_none());
    }

    #[test]
    fn addresses_and_odd_characters_are_taken() {
        let url = "postgres://u:p@[2001:db8::1]:5432/d";
        assert_eq!(
            shown(url),
            parts("2001:db8::1", Some(5432), "d", "u", "p", None)
        );
        // As people write it, though it should be escaped.
        assert_eq!(
            shown("postgres://u:a@b@h/d"),
            parts("h", None, "d", "u", "a@b", None)
        );
        let words = r"host=h dbname=d user=u password='it\'s \\ here'";
        assert_eq!(
            shown(words),
            parts("h", None, "d", "u", r"it's \ here", None)
        );
    }

    #[test]
    fn flaws_are_named_without_a_word_of_the_text() {
        for (text, error) in [
            ("mysql://u:hidden@h/d", DsnError::Form),
            ("", DsnError::Form),
            ("postgres://u:hidden%zz@h/d", DsnError::Escape),
            ("postgres://u:hidden@h:0/d", DsnError::Port),
            ("postgres://u:hidden@h:99999/d", DsnError::Port),
            ("postgres://u:hidden@a,b/d", DsnError::Hosts),
            ("host=/run/postgresql dbname=d", DsnError::Socket),
            ("host=h password='hidden", DsnError::Quote),
            (
                "postgres://u:hidden@h/d?sslmode=sometimes",
                DsnError::SslMode,
            ),
            (
                "postgres://u:hidden@h/d?sslrootcert=/ca.crt",
                DsnError::RootCertificate,
            ),
            (
                "postgres://u:hidden@h/d?options=x",
                DsnError::Parameter("options".to_owned()),
            ),
        ] {
            let found = Dsn::parse(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("hidden"));
        }
    }
}
