//! A client of a server's REST API, with the certificates that the status names.

use adapter_client::{Client as RestClient, ClientCertificate, Roots, Timeouts, TlsSettings};
use api_types::conditions::Reason;
use secrecy::SecretString;

use super::{Sessions, Site, Trouble, secrets};

/// A client of the API of `site`, without an account.
pub(super) async fn client(sessions: &Sessions, site: &Site<'_>) -> Result<RestClient, Trouble> {
    let api = site.api;
    let secure = api.url.starts_with("https:");
    let tls = if secure {
        Some(tls(sessions, site).await?)
    } else {
        None
    };
    let unusable = |error: &dyn std::fmt::Display| {
        Trouble::new(
            Reason::TLSError,
            format!("No connection to {} can be made: {error}.", api.url),
        )
    };
    let transport = sessions
        .servers
        .transport(
            site.instance.namespace,
            &api.pod_name,
            tls.as_ref(),
            Timeouts::default().connect,
        )
        .map_err(|error| unusable(&error))?;
    RestClient::builder(api.url.as_str())
        .transport(transport)
        .build()
        .map_err(|error| unusable(&error))
}

async fn tls(sessions: &Sessions, site: &Site<'_>) -> Result<TlsSettings, Trouble> {
    let mut settings = TlsSettings::default();
    if let Some(reference) = &site.api.ca_secret_ref {
        let ca = secrets::value(sessions, site, reference).await?;
        settings.roots = Roots::Pem(ca);
    }
    if let Some(reference) = &site.api.client_cert_secret_ref {
        let name = reference.name.0.as_str();
        let secret = secrets::read(sessions, site, name).await?;
        let key = secrets::key(&secret, name, "tls.key")?;
        settings.client_certificate = Some(ClientCertificate {
            chain: secrets::key(&secret, name, "tls.crt")?,
            key: SecretString::from(String::from_utf8_lossy(&key).into_owned()),
        });
    }
    Ok(settings)
}
