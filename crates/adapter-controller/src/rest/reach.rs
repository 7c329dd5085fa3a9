//! A client of a server's REST API, with the certificates that the status names.

use adapter_client::{Client as RestClient, ClientCertificate, Roots, Timeouts, TlsSettings};
use api_types::conditions::Reason;
use secrecy::SecretString;

use super::{Tools, secrets};
use crate::poll::{Target, Trouble};

/// A client of the API of `target`, without an account.
pub(super) async fn client(tools: &Tools, target: &Target) -> Result<RestClient, Trouble> {
    let api = &target.api;
    let secure = api.url.starts_with("https:");
    let tls = if secure {
        Some(tls(tools, target).await?)
    } else {
        None
    };
    let unusable = |error: &dyn std::fmt::Display| {
        Trouble::new(
            Reason::TLSError,
            format!("No connection to {} can be made: {error}.", api.url),
        )
    };
    let transport = tools
        .servers
        .transport(
            &target.namespace,
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

async fn tls(tools: &Tools, target: &Target) -> Result<TlsSettings, Trouble> {
    let mut settings = TlsSettings::default();
    if let Some(reference) = &target.api.ca_secret_ref {
        let ca = secrets::value(tools, target, reference).await?;
        settings.roots = Roots::Pem(ca);
    }
    if let Some(reference) = &target.api.client_cert_secret_ref {
        let name = reference.name.0.as_str();
        let secret = secrets::read(tools, target, name).await?;
        let key = secrets::key(&secret, name, "tls.key")?;
        settings.client_certificate = Some(ClientCertificate {
            chain: secrets::key(&secret, name, "tls.crt")?,
            key: SecretString::from(String::from_utf8_lossy(&key).into_owned()),
        });
    }
    Ok(settings)
}
