//! Certificates, as an issuer in a cluster would make them.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(name: &str) -> Result<Self> {
        Self::valid_until(name, 4096)
    }

    /// One whose time is over.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn expired(name: &str) -> Result<Self> {
        Self::valid_until(name, 2001)
    }

    /// One that a server with these names shows as its own certificate, as `openssl req -x509` makes it.
    ///
    /// # Errors
    /// When a name is none, or the system gives no random bytes.
    pub fn of_itself(names: &[&str]) -> Result<(Self, Certificate)> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = parameters.self_signed(&key)?.pem();
        let certificate = Certificate {
            pem: pem.clone(),
            key: key.serialize_pem(),
        };
        let issuer = Issuer::new(parameters, key);
        Ok((Authority { pem, issuer }, certificate))
    }

    fn valid_until(name: &str, year: i32) -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, name.to_owned());
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Authority {
            pem,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// A certificate for these DNS names and addresses, for servers and clients.
    ///
    /// # Errors
    /// When a name is none, or the system gives no random bytes.
    pub fn issue(&self, names: &[&str]) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "cluster-tests");
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok(Certificate {
            pem: parameters.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// The values of a Secret with a certificate of this authority, as cert-manager makes it.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn secret(&self, names: &[&str]) -> Result<Value> {
        let Certificate { pem, key } = self.issue(names)?;
        Ok(json!({"tls.crt": pem, "tls.key": key, "ca.crt": self.pem}))
    }
}
