//! TLS and client certificates, with the real server and certificates made here.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_client::{
    BuildError, ByteStream, Client, ClientCertificate, Dial, Error, RetryPolicy, Roots, Stage,
    Target, TlsSettings,
};
use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::dfs::{Dfs, Options, PATIENT, admin_account, folder, shared};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
fn certificate(issuer: &Issuer, name: &str, years: std::ops::Range<i32>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Certificate and key in PEM, signed by itself for localhost; marked as an authority, as `openssl req -x509` does,
/// or not.
fn own(years: std::ops::Range<i32>, authority: bool) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

async fn server(issuer: &Issuer, name: &str, years: std::ops::Range<i32>, clients: bool) -> Dfs {
    let clients = clients.then(|| issuer.pem());
    serve(&certificate(issuer, name, years), clients.as_deref()).await
}

async fn serve((certificate, key): &(String, String), client_ca: Option<&str>) -> Dfs {
    let folder = folder();
    let write = |file: &str, content: &str| {
        let path = folder.join(file);
        fs::write(&path, content).unwrap();
        Path::to_string_lossy(&path).into_owned()
    };
    let mut tls = format!(
        "tls: {{ cert_file: {}, key_file: {}",
        write("tls.crt", certificate),
        write("tls.key", key)
    );
    if let Some(ca) = client_ca {
        tls.push_str(&format!(", client_ca: {}", write("ca.crt", ca)));
    }
    tls.push_str(" }");
    let options = Options {
        control_plane: vec![tls],
        tls: true,
        ..Options::default()
    };
    Dfs::with(options, folder).await
}

fn client(url: &str, tls: TlsSettings) -> Client {
    Client::builder(url)
        .tls(tls)
        .timeouts(PATIENT)
        .retry(RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        })
        .build()
        .unwrap()
        .with_account(admin_account())
}

fn trusting(issuer: &Issuer) -> TlsSettings {
    trusting_pem(issuer.pem())
}

fn trusting_pem(pem: String) -> TlsSettings {
    TlsSettings {
        roots: Roots::Pem(pem.into_bytes()),
        client_certificate: None,
    }
}

async fn refused(client: &Client) -> String {
    match client.server().health().await {
        Err(Error::TlsError {
            call: "server.health",
            detail,
        }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_and_no_other() {
    let ours = authority();
    let server = server(&ours, "localhost", 2020..2100, false).await;
    client(&server.url, trusting(&ours))
        .adapters()
        .list()
        .await
        .unwrap();
    let detail = refused(&client(&server.url, trusting(&authority()))).await;
    assert!(
        detail.contains("BadSignature") || detail.contains("UnknownIssuer"),
        "{detail}"
    );
    // The name in the URL is what the certificate must bear.
    let by_address = server.url.replace("localhost", "127.0.0.1");
    let detail = refused(&client(&by_address, trusting(&ours))).await;
    assert!(detail.contains("not valid for name"), "{detail}");
    // Plain HTTP on the TLS port is answered with 400 in plain text.
    let plain = client(&server.url.replace("https", "http"), trusting(&ours));
    let error = plain.server().health().await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { status: 400, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_that_vouches_for_itself_is_trusted_by_name_while_it_is_in_force() {
    for authority in [false, true] {
        let shown = own(2020..2100, authority);
        let server = serve(&shown, None).await;
        let trusting_it = trusting_pem(shown.0.clone());
        let ours = client(&server.url, trusting_it.clone());
        ours.adapters().list().await.unwrap();
        let by_address = server.url.replace("localhost", "127.0.0.1");
        let detail = refused(&client(&by_address, trusting_it)).await;
        assert!(detail.contains("not valid for name"), "{detail}");
        let (other, _) = own(2020..2100, authority);
        let detail = refused(&client(&server.url, trusting_pem(other))).await;
        assert!(!detail.contains("expired"), "{detail}");
        let old = own(2020..2021, authority);
        let server = serve(&old, None).await;
        let detail = refused(&client(&server.url, trusting_pem(old.0))).await;
        assert!(detail.contains("expired"), "{detail}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_named_as_such() {
    let ours = authority();
    let server = server(&ours, "localhost", 2001..2002, false).await;
    let detail = refused(&client(&server.url, trusting(&ours))).await;
    assert!(detail.contains("expired"), "{detail}");
    // It does not tell the time, so that it is the same each time.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let later = refused(&client(&server.url, trusting(&ours))).await;
    assert_eq!(later, detail);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_named_as_such() {
    let ours = authority();
    let server = server(&ours, "localhost", 2098..2099, false).await;
    let detail = refused(&client(&server.url, trusting(&ours))).await;
    assert!(detail.contains("not valid yet"), "{detail}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let ours = authority();
    let server = server(&ours, "localhost", 2020..2100, true).await;
    let detail = refused(&client(&server.url, trusting(&ours))).await;
    assert!(detail.to_lowercase().contains("certificate"), "{detail}");
    let shown = |(chain, key): (String, String)| TlsSettings {
        client_certificate: Some(ClientCertificate {
            chain: chain.into_bytes(),
            key: key.into(),
        }),
        ..trusting(&ours)
    };
    let good = shown(certificate(&ours, "operator", 2020..2100));
    client(&server.url, good).adapters().list().await.unwrap();
    let foreign = shown(certificate(&authority(), "operator", 2020..2100));
    let detail = refused(&client(&server.url, foreign)).await;
    assert!(!detail.is_empty());
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_error_and_nobody_is_not() {
    let ours = authority();
    let plain = shared().await.url.replace("http", "https");
    let detail = refused(&client(&plain, trusting(&ours))).await;
    assert!(!detail.is_empty());
    let nobody = client(
        &format!("https://127.0.0.1:{}", crate::dfs::free_port()),
        trusting(&ours),
    );
    assert!(matches!(
        nobody.server().health().await,
        Err(Error::Unreachable {
            stage: Stage::Connect,
            ..
        })
    ));
}

/// A listener that accepts and says nothing: a stuck server, no fault of TLS.
#[tokio::test]
async fn a_handshake_that_hangs_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let client = Client::builder(url)
        .tls(trusting(&authority()))
        .timeouts(adapter_client::Timeouts {
            connect: Duration::from_millis(300),
            ..Default::default()
        })
        .build()
        .unwrap();
    let error = client.server().health().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                stage: Stage::Connect,
                ..
            }
        ),
        "{error}"
    );
}

/// Leads to another address than the one in the URL, as a port-forward does.
#[derive(Debug)]
struct Tunnel {
    address: String,
    asked: Mutex<Vec<Target>>,
}

#[async_trait]
impl Dial for Tunnel {
    async fn dial(&self, target: &Target) -> io::Result<Box<dyn ByteStream>> {
        self.asked.lock().unwrap().push(target.clone());
        Ok(Box::new(
            tokio::net::TcpStream::connect(&self.address).await?,
        ))
    }
}

/// The server's certificate bears the name of its Service, and the way to it is
/// a tunnel: name and `Host` stay those of the URL.
#[tokio::test]
async fn another_way_to_the_server_keeps_the_names_of_the_url() {
    let ours = authority();
    let server = server(&ours, "dfs-api.storage.svc", 2020..2100, false).await;
    let tunnel = Arc::new(Tunnel {
        address: server.address(),
        asked: Mutex::default(),
    });
    let client = Client::builder("https://dfs-api.storage.svc:8080")
        .tls(trusting(&ours))
        .dial(tunnel.clone())
        .timeouts(PATIENT)
        .build()
        .unwrap()
        .with_account(admin_account());
    for _ in 0..3 {
        client.adapters().list().await.unwrap();
    }
    let target = Target {
        host: "dfs-api.storage.svc".into(),
        port: 8080,
    };
    assert_eq!(
        *tunnel.asked.lock().unwrap(),
        [target],
        "one connection for all calls"
    );
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let build = |tls| {
        Client::builder("https://localhost:1")
            .tls(tls)
            .build()
            .unwrap_err()
    };
    let ours = authority();
    let bad_roots = TlsSettings {
        roots: Roots::Pem(b"nothing".to_vec()),
        ..Default::default()
    };
    assert_eq!(
        build(bad_roots),
        BuildError::Tls("certificate authority: no certificate in the PEM".into())
    );
    let (chain, _) = certificate(&ours, "operator", 2020..2100);
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let bad_key = TlsSettings {
        client_certificate: Some(ClientCertificate {
            chain: chain.into_bytes(),
            key: key.into(),
        }),
        ..trusting(&ours)
    };
    assert!(!format!("{bad_key:?}").contains("c2VjcmV0"));
    let error = build(bad_key).to_string();
    assert!(!error.contains("c2VjcmV0"), "{error}");
}
