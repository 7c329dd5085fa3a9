//! One trial login, step by step, so that what fails can be named.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api_types::conditions::Reason;
use api_types::v1alpha1::SslMode;
use percona_bridge::Parts;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

use super::tls::{self, Connector};
use super::{Answer, Place, Trouble};

/// Time for each step: the name, the connection, and the login with TLS.
const STEP: Duration = Duration::from_secs(5);

fn trouble(reason: Reason, message: impl Into<String>) -> Trouble {
    Trouble {
        reason,
        message: message.into(),
    }
}

/// Logs in to the database of `parts` as the server in `namespace` would, and out again.
pub(super) async fn log_in(parts: &Parts, namespace: &str, place: &Place) -> Answer {
    let Some(host) = reachable_name(&parts.host, namespace, place) else {
        // Only pods know such names: nothing can be said from here.
        tracing::debug!(
            host = parts.host,
            "no trial login: names of Services have no addresses outside of the cluster"
        );
        return Ok(());
    };
    let stream = connect(&host, parts, place).await?;
    let mut config = Config::new();
    config
        .user(&parts.user)
        .password(parts.password.expose_secret())
        .dbname(&parts.database)
        .application_name("dittofs-server-controller");
    let outcome = match parts.sslmode {
        SslMode::Disable => {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            timeout(STEP, greet(&config, stream, NoTls)).await
        }
        mode => {
            config.ssl_mode(match mode {
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                _ => tokio_postgres::config::SslMode::Require,
            });
            let connector = Connector::of(parts)
                .map_err(|flaw| trouble(Reason::DatabaseTLSFailed, insecure(parts, &flaw)))?;
            timeout(STEP, greet(&config, stream, connector)).await
        }
    };
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explain(parts, &error)),
        Err(_) => Err(trouble(
            Reason::DatabaseUnreachable,
            format!(
                "{}:{} takes connections and says nothing: see that it is a PostgreSQL server and works.",
                parts.host, parts.port
            ),
        )),
    }
}

/// The name by which the database server has an address here; `None` where it can have none.
fn reachable_name(host: &str, namespace: &str, place: &Place) -> Option<String> {
    let Place {
        domain,
        in_cluster,
        lookup: _,
    } = place;
    let host = host.trim_end_matches('.');
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return Some(host.to_owned());
    }
    let of_service = if !host.contains('.') {
        Some(format!("{host}.{namespace}.svc.{domain}"))
    } else if host.ends_with(".svc") {
        Some(format!("{host}.{domain}"))
    } else if host.ends_with(&format!(".svc.{domain}")) {
        Some(host.to_owned())
    } else {
        None
    };
    match of_service {
        Some(name) => in_cluster.then_some(name),
        None => Some(host.to_owned()),
    }
}

async fn connect(host: &str, parts: &Parts, place: &Place) -> Result<TcpStream, Trouble> {
    let unknown = || {
        trouble(
            Reason::DatabaseHostUnknown,
            format!(
                "The database server's name {} has no address: correct it, or see to the DNS of the cluster.",
                parts.host
            ),
        )
    };
    let look_up = async {
        match &place.lookup {
            Some(lookup) => lookup(host.to_owned(), parts.port).await,
            None => Ok(tokio::net::lookup_host((host, parts.port)).await?.collect()),
        }
    };
    let addresses: Vec<SocketAddr> = match timeout(STEP, look_up).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => return Err(unknown()),
    };
    if addresses.is_empty() {
        return Err(unknown());
    }
    let unreachable = |why: &str| {
        trouble(
            Reason::DatabaseUnreachable,
            format!(
                "The database server does not answer at {}:{} ({why}): see that it runs, and that the network lets the server-controller through.",
                parts.host, parts.port
            ),
        )
    };
    match timeout(STEP, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(unreachable("connection refused"))
        }
        Ok(Err(_)) => Err(unreachable("no route")),
        Err(_) => Err(unreachable("no answer in time")),
    }
}

async fn greet<T>(config: &Config, stream: TcpStream, tls: T) -> Result<(), tokio_postgres::Error>
where
    T: tokio_postgres::tls::TlsConnect<TcpStream>,
{
    let (client, connection) = config.connect_raw(stream, tls).await?;
    // Without a client the connection says goodbye and ends.
    drop(client);
    let _ = connection.await;
    Ok(())
}

fn insecure(parts: &Parts, why: &str) -> String {
    format!(
        "There is no secure connection to {}:{} (sslmode {}): {why}.",
        parts.host,
        parts.port,
        parts.sslmode.as_str()
    )
}

fn explain(parts: &Parts, error: &tokio_postgres::Error) -> Trouble {
    let (user, database) = (&parts.user, &parts.database);
    if let Some(refusal) = error.as_db_error() {
        let said = refusal.message();
        let code = refusal.code();
        return if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        {
            trouble(
                Reason::DatabaseLoginRefused,
                format!(
                    "The database server at {}:{} refuses the login of {user}: {said}. Correct user and password, or the server's rules of access.",
                    parts.host, parts.port
                ),
            )
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            trouble(
                Reason::DatabaseNotFound,
                format!(
                    "The database server at {}:{} has no database {database}: create it, owned by {user}.",
                    parts.host, parts.port
                ),
            )
        } else {
            trouble(
                Reason::DatabaseRefused,
                format!(
                    "The database server at {}:{} does not take the connection (SQLSTATE {}): {said}.",
                    parts.host,
                    parts.port,
                    code.code()
                ),
            )
        };
    }
    if let Some(flaw) = cause::<rustls::Error>(error) {
        return trouble(
            Reason::DatabaseTLSFailed,
            insecure(parts, &tls::explain(flaw)),
        );
    }
    let text = error.to_string();
    if text.contains("TLS") {
        return trouble(
            Reason::DatabaseTLSFailed,
            insecure(
                parts,
                "the server has no TLS, or ends the connection: switch it on there",
            ),
        );
    }
    // Methods of login that a password is of no use for, and connections that break.
    trouble(
        Reason::DatabaseRefused,
        format!(
            "The database server at {}:{} ends the login: {text}.",
            parts.host, parts.port
        ),
    )
}

/// The error of type `E` among the causes of `error`; `io::Error` hides the one that it wraps.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(found) = next {
        if let Some(wanted) = found.downcast_ref::<E>() {
            return Some(wanted);
        }
        if let Some(wanted) = found
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref())
            .and_then(|inner| inner.downcast_ref::<E>())
        {
            return Some(wanted);
        }
        next = found.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(in_cluster: bool) -> Place {
        Place {
            domain: "cluster.local".to_owned(),
            in_cluster,
            lookup: None,
        }
    }

    #[test]
    fn names_of_services_are_completed_and_known_in_the_cluster_only() {
        let name = |host: &str, in_cluster| reachable_name(host, "media", &place(in_cluster));
        let full = Some("db-rw.media.svc.cluster.local".to_owned());
        assert_eq!(name("db-rw", true), full);
        assert_eq!(name("db-rw.media.svc", true), full);
        assert_eq!(name("db-rw", false), None);
        assert_eq!(name("db-rw.media.svc", false), None);
        for elsewhere in ["db.example.org", "10.0.0.1", "2001:db8::1"] {
            assert_eq!(name(elsewhere, false), Some(elsewhere.to_owned()));
        }
    }
}
