//! Handshakes with certificates that vouch for themselves.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use secrecy::SecretString;
use tokio_rustls::TlsAcceptor;

use super::*;

const HOST: &str = "db.example.org";

/// A certificate and its key, signed by itself, in force in these years; an authority, as `openssl req -x509`
/// makes it, or none.
fn own(years: std::ops::Range<i32>, authority: bool) -> (String, KeyPair) {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key)
}

/// What a client with `ca` says to a server at `host` that shows `shown`.
async fn handshake(
    shown: &(String, KeyPair),
    ca: &str,
    host: &str,
    sslmode: SslMode,
) -> Result<(), String> {
    let parts = Parts {
        host: host.to_owned(),
        port: 5432,
        database: "files".to_owned(),
        user: "u".to_owned(),
        password: SecretString::from("p"),
        sslmode,
        ca: Some(ca.as_bytes().to_vec()),
    };
    let connector = Connector::of(&parts)?;
    let chain = CertificateDer::pem_slice_iter(shown.0.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(shown.1.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (connected, _) = tokio::join!(connector.connect(near), acceptor.accept(far));
    connected.map(|_| ()).map_err(|error| {
        let inner = error.get_ref().unwrap();
        explain(inner.downcast_ref::<Error>().unwrap())
    })
}

#[tokio::test]
async fn a_certificate_that_is_named_as_its_own_ca_is_taken() {
    for authority in [false, true] {
        let shown = own(2020..2100, authority);
        let ca = &shown.0;
        let full = handshake(&shown, ca, HOST, SslMode::VerifyFull).await;
        assert_eq!(full, Ok(()), "authority: {authority}");
        let elsewhere = handshake(&shown, ca, "other.example.org", SslMode::VerifyFull).await;
        assert!(elsewhere.unwrap_err().contains("another name"));
        let any_name = handshake(&shown, ca, "other.example.org", SslMode::VerifyCa).await;
        assert_eq!(any_name, Ok(()));
    }
}

#[tokio::test]
async fn one_that_is_out_of_its_time_or_somebody_elses_is_not() {
    for authority in [false, true] {
        let old = own(2020..2021, authority);
        let refused = handshake(&old, &old.0, HOST, SslMode::VerifyFull).await;
        assert!(refused.unwrap_err().contains("expired"));
        let (shown, other) = (own(2020..2100, authority), own(2020..2100, authority));
        let refused = handshake(&shown, &other.0, HOST, SslMode::VerifyFull).await;
        let refused = refused.unwrap_err();
        assert!(!refused.contains("expired"), "{refused}");
        // Both named: the one that is old does not count.
        let both = format!("{}{}", old.0, shown.0);
        let taken = handshake(&shown, &both, HOST, SslMode::VerifyFull).await;
        assert_eq!(taken, Ok(()), "authority: {authority}");
    }
}
