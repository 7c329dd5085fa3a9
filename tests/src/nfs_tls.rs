//! A client that speaks as much of NFS as tells whether it is served, with TLS (RFC 9289) or without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::certificates::Certificate;

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Flavors of credentials (RFC 5531 and RFC 9289).
const AUTH_NONE: u32 = 0;
const AUTH_TLS: u32 = 7;

/// A call of the procedure NULL of NFS version 3, in one record (RFC 5531).
fn null_call(flavor: u32) -> Vec<u8> {
    let words = [7, 0, 2, 100_003, 3, 0, flavor, 0, AUTH_NONE, 0];
    let body: Vec<u8> = words
        .iter()
        .flat_map(|word: &u32| word.to_be_bytes())
        .collect();
    let length = u32::try_from(body.len()).unwrap_or_default() | 1 << 31;
    [length.to_be_bytes().to_vec(), body].concat()
}

/// Makes the call, and gives its answer.
fn call(connection: &mut (impl Read + Write), flavor: u32) -> Result<Vec<u8>> {
    connection.write_all(&null_call(flavor))?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length) & !(1 << 31))?;
    ensure!(length < 1024, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer)?;
    Ok(answer)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.set_write_timeout(Some(LIMIT))?;
    Ok(connection)
}

/// Asks without TLS.
///
/// # Errors
/// When the server does not answer.
pub async fn plain(address: SocketAddr) -> Result<()> {
    tokio::task::spawn_blocking(move || call(&mut connect(address)?, AUTH_NONE).map(|_| ())).await?
}

/// Asks with TLS, for a server called `name` that `authority`, PEM, vouches for; gives the certificate
/// that it shows, DER.
///
/// # Errors
/// When the server does not answer, has no TLS, or another certificate.
pub async fn secured(address: SocketAddr, name: &str, authority: &str) -> Result<Vec<u8>> {
    secured_as(address, name, authority, None).await
}

/// As [`secured`], as a client with a certificate of its own.
///
/// # Errors
/// Also when the server does not take that.
pub async fn secured_as(
    address: SocketAddr,
    name: &str,
    authority: &str,
    own: Option<&Certificate>,
) -> Result<Vec<u8>> {
    let name = ServerName::try_from(name.to_owned())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        Some(Certificate { pem, key }) => config.with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(pem.as_bytes())?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        )?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"sunrpc".to_vec()];
    let asked = tokio::task::spawn_blocking(move || {
        let mut connection = connect(address)?;
        let answer = call(&mut connection, AUTH_TLS)?;
        ensure!(
            answer.windows(8).any(|part| part == b"STARTTLS"),
            "the server has no TLS"
        );
        let mut session = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = Stream::new(&mut session, &mut connection);
        call(&mut stream, AUTH_NONE)?;
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.context("no certificate was shown")?;
        Ok(shown.to_vec())
    });
    asked.await?
}
