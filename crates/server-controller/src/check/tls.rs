//! TLS as PostgreSQL's modes have it, over rustls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use percona_bridge::Parts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use api_types::v1alpha1::SslMode;

/// Turns a connection to a database server into one with TLS.
#[derive(Clone)]
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A connection with TLS.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl Connector {
    /// For the database server of `parts`.
    ///
    /// # Errors
    /// What is wrong with the CA or with the host, for people.
    pub(super) fn of(parts: &Parts) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let name = ServerName::try_from(parts.host.clone())
            .map_err(|_| format!("{} is no name of a host", parts.host))?;
        // As libpq: with a CA, require looks at whose certificate it is.
        let checks_chain = match parts.sslmode {
            SslMode::VerifyFull | SslMode::VerifyCa => true,
            SslMode::Require => parts.ca.is_some(),
            SslMode::Disable | SslMode::Prefer => false,
        };
        let mut named = Vec::new();
        let inner = match checks_chain {
            false => None,
            true => Some(verifier(parts.ca.as_deref(), &mut named, &provider)?),
        };
        let verifier = Verifier {
            inner,
            named,
            any_name: parts.sslmode != SslMode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Connector {
            config: Arc::new(config),
            name,
        })
    }
}

/// Looks at certificates with the CA that is named, else with those of the system, as the server does. Adds the
/// certificates of the CA to `named`.
fn verifier(
    pem: Option<&[u8]>,
    named: &mut Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            let mut flaw = None;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| "the CA cannot be read".to_owned())?;
                if let Some(found) = out_of_time(&certificate, provider) {
                    flaw = Some(found);
                    continue;
                }
                roots
                    .add(certificate.clone())
                    .map_err(|_| "the CA is no certificate".to_owned())?;
                named.push(certificate);
            }
            if let (true, Some(flaw)) = (roots.is_empty(), flaw) {
                return Err(explain(&flaw));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no CA is named for it, and the system has none: name one".to_owned());
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

/// Why the server would not take `authority` now: rustls trusts an authority for ever, and the server looks at
/// its time too.
fn out_of_time(authority: &CertificateDer<'_>, provider: &Arc<CryptoProvider>) -> Option<Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned()).ok()?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = verifier.build().ok()?;
    let name = ServerName::from(std::net::Ipv4Addr::LOCALHOST);
    // As if it were a server's own: the first thing that is looked at is its time. The rest means nothing.
    let looked_at = verifier.verify_server_cert(authority, &[], &name, &[], UnixTime::now());
    looked_at.err().filter(|error| {
        matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            )
        )
    })
}

/// Looks at certificates as far as the mode asks for it.
#[derive(Debug)]
struct Verifier {
    /// `None` looks at nothing.
    inner: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the CA that is named.
    named: Vec<CertificateDer<'static>>,
    any_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let looked_at =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let looked_at = match looked_at {
            // One that vouches for itself may be marked as an authority, as `openssl req -x509` does. The file
            // server trusts it by name, rustls trusts only what it issues. Its time is in order: that comes first.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.named.contains(end_entity) =>
            {
                ParsedCertificate::try_from(end_entity)
                    .and_then(|certificate| verify_server_name(&certificate, server_name))
                    .map(|()| ServerCertVerified::assertion())
            }
            other => other,
        };
        match looked_at {
            // Names are looked at last: everything else holds.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What is wrong with a certificate, for people: rustls' own words hold the present time.
pub(super) fn explain(error: &Error) -> String {
    use CertificateError as Flaw;
    match error {
        Error::InvalidCertificate(flaw) => match flaw {
            Flaw::Expired | Flaw::ExpiredContext { .. } => {
                "its certificate, or the CA, has expired: renew it".to_owned()
            }
            Flaw::NotValidYet | Flaw::NotValidYetContext { .. } => {
                "its certificate, or the CA, is not valid yet".to_owned()
            }
            Flaw::UnknownIssuer | Flaw::BadSignature => {
                "its certificate is not from the CA that is named: correct the CA".to_owned()
            }
            Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => {
                "its certificate is for another name: use one of its names as host, or sslmode verify-ca".to_owned()
            }
            other => format!("its certificate cannot be used ({other:?})"),
        },
        other => other.to_string(),
    }
}

impl<S> TlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connector = TlsConnector::from(self.config);
            connector.connect(self.name, stream).await.map(Stream)
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
