//! Whom to trust, and what to show.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use secrecy::{ExposeSecret, SecretString};

use crate::client::BuildError;

/// TLS for `https` URLs. TLS 1.2 and 1.3; the server's name is always checked.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Who vouches for the server.
    pub roots: Roots,
    /// What to show to a server that asks for a client certificate (`controlplane.tls.client_ca`).
    pub client_certificate: Option<ClientCertificate>,
}

/// Who vouches for the server.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// The certificate authorities of the operating system.
    #[default]
    System,
    /// These authorities alone: one or more certificates in PEM. One of them may be the server's own.
    Pem(Vec<u8>),
}

/// A client certificate with its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those between it and the authority, in PEM.
    pub chain: Vec<u8>,
    /// The key in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: SecretString,
}

impl TlsSettings {
    /// The configuration of the TLS library: provider ring, HTTP/1.1 only.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, BuildError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.roots.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let chain = certificates(&certificate.chain, "client certificate")?;
                // The error could quote the key.
                let key = PrivateKeyDer::from_pem_slice(certificate.key.expose_secret().as_bytes())
                    .map_err(|_| BuildError::Tls("no private key in the PEM".into()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| BuildError::Tls(format!("client certificate: {error}")))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Roots {
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, BuildError> {
        let mut store = RootCertStore::empty();
        let mut named = Vec::new();
        match self {
            Roots::System => {
                // Single files that cannot be read do not matter while others can.
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    return Err(BuildError::Tls(
                        "this system has no certificate authorities; name one".into(),
                    ));
                }
            }
            Roots::Pem(pem) => {
                for certificate in certificates(pem, "certificate authority")? {
                    store.add(certificate.clone()).map_err(|error| {
                        BuildError::Tls(format!("certificate authority: {error}"))
                    })?;
                    named.push(certificate);
                }
            }
        }
        let issued =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
                .build()
                .map_err(|error| BuildError::Tls(error.to_string()))?;
        Ok(Verifier { issued, named })
    }
}

/// Trusts what an authority has issued, and a certificate that is named itself.
#[derive(Debug)]
struct Verifier {
    issued: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let issued = self.issued.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match issued {
            // One that vouches for itself may be marked as an authority, as `openssl req -x509` does: programs in
            // Go and C trust it by name, rustls trusts only what it issues. Its time is in order: that comes first.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.named.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| BuildError::Tls(format!("{what}: {error}")))?;
    if found.is_empty() {
        return Err(BuildError::Tls(format!(
            "{what}: no certificate in the PEM"
        )));
    }
    Ok(found)
}

/// What is wrong with a secure connection, in words that stay the same while nothing changes: for a
/// certificate out of its time the library tells the present time and the seconds since.
pub(crate) fn describe(error: &rustls::Error) -> String {
    use rustls::CertificateError as Flaw;
    match error {
        rustls::Error::InvalidCertificate(Flaw::Expired | Flaw::ExpiredContext { .. }) => {
            "the server's certificate has expired".to_owned()
        }
        rustls::Error::InvalidCertificate(Flaw::NotValidYet | Flaw::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_certificate_out_of_its_time_is_described_alike_at_all_times() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let said = |flaw| describe(&rustls::Error::InvalidCertificate(flaw));
        let expired = |now| {
            said(rustls::CertificateError::ExpiredContext {
                time: at(now),
                not_after: at(1),
            })
        };
        assert_eq!(expired(100), expired(101));
        assert!(expired(100).contains("expired"));
        let early = |now| {
            said(rustls::CertificateError::NotValidYetContext {
                time: at(now),
                not_before: at(1000),
            })
        };
        assert_eq!(early(100), early(101));
        assert!(early(100).contains("not valid yet"));
    }
}
