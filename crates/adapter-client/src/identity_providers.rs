//! Where users come from besides the server's own: LDAP and Kerberos. The configuration file
//! only counts at the server's first start; from then on this does.

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    client::Client,
    error::Error,
    route::{Access, Class, Request, Route},
    users::exposed,
    wire::{GoDuration, Milliseconds, filled, list},
};

pub(crate) static LIST: Route = Route::get(
    "identity_providers.list",
    "/api/v1/identity-providers",
    Access::Admin,
);
pub(crate) static CONFIG: Route = Route::get(
    "identity_providers.config",
    "/api/v1/identity-providers/{type}/config",
    Access::Admin,
);
pub(crate) static PUT_CONFIG: Route = Route::put(
    "identity_providers.put_config",
    "/api/v1/identity-providers/{type}/config",
    Access::Admin,
)
.class(Class::Slow);
pub(crate) static TEST: Route = Route::post(
    "identity_providers.test",
    "/api/v1/identity-providers/{type}/test",
    Access::Admin,
)
.class(Class::Slow)
.repeatable();

/// What is known about a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IdentityProvider {
    /// `ldap` or `kerberos`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is used.
    pub enabled: bool,
    /// Whether it has a configuration.
    pub configured: bool,
}

/// The configuration of a provider: [`LdapConfig`] or [`KerberosConfig`].
pub trait ProviderConfig: Serialize + DeserializeOwned + Send + Sync {
    /// The server's word for it.
    const KIND: &'static str;

    /// What must not be seen in an error.
    fn secret(&self) -> Option<&SecretString>;
}

/// When a configuration takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has.
    Live,
    /// At the next start of the server.
    AtRestart,
}

/// Users and groups of a directory. All fields are sent: what is empty takes the server's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LdapConfig {
    /// Whether it is used.
    pub enabled: bool,
    /// `ldap://` or `ldaps://` URL. A plain one needs `start_tls` or `allow_plaintext`.
    pub url: String,
    /// Whether a plain connection is secured.
    pub start_tls: bool,
    /// Whether it may stay plain.
    pub allow_plaintext: bool,
    /// Where to look.
    pub base_dn: String,
    /// The account to look with.
    pub bind_dn: String,
    /// Its password. Never shown: `None` when read; when written `None` keeps the stored one.
    #[serde(
        default,
        serialize_with = "exposed_or_kept",
        deserialize_with = "never_shown",
        skip_serializing_if = "Option::is_none"
    )]
    pub bind_password: Option<SecretString>,
    /// Attribute with a user's name.
    pub user_attr: String,
    /// Kerberos realm of the users.
    pub realm: String,
    /// `rfc2307` or `rid`.
    pub idmap: String,
    /// Whether groups in groups count.
    pub nested_groups: bool,
    /// Time for one question.
    #[serde(deserialize_with = "filled", serialize_with = "or_empty")]
    pub timeout: Option<GoDuration>,
    /// Groups of one user at most.
    pub max_group_results: u32,
    /// Certificates.
    pub tls: LdapTls,
}

/// Certificates for the directory, as files of the file server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LdapTls {
    /// Authority of the directory's certificate.
    pub ca_cert_file: String,
    /// Client certificate.
    pub client_cert_file: String,
    /// Its key.
    pub client_key_file: String,
    /// Trusts every certificate.
    pub insecure_skip_verify: bool,
    /// `1.2` or `1.3`.
    pub min_version: String,
}

/// Kerberos for NFS and SMB. All fields are sent: what is empty takes the server's default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KerberosConfig {
    /// Whether it is used.
    pub enabled: bool,
    /// File with the service's keys.
    pub keytab_path: String,
    /// Principal of the service.
    pub service_principal: String,
    /// Realm; from the principal when empty.
    pub realm: String,
    /// Short name of the Windows domain.
    pub netbios_domain: String,
    /// Its DNS name; from the realm when empty.
    pub dns_domain: String,
    /// File with the settings of Kerberos.
    pub krb5_conf: String,
    /// How far clocks may differ.
    #[serde(deserialize_with = "filled", serialize_with = "or_empty")]
    pub max_clock_skew: Option<GoDuration>,
    /// How long a context lasts.
    #[serde(deserialize_with = "filled", serialize_with = "or_empty")]
    pub context_ttl: Option<GoDuration>,
    /// Contexts at most; 0 is the default.
    pub max_contexts: u32,
    /// The account of this server in the Windows domain.
    pub machine_account: MachineAccount,
}

/// The account of this server in a Windows domain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineAccount {
    /// Whether it is used.
    pub enabled: bool,
    /// Its name.
    pub account_name: String,
    /// File with its keys.
    pub keytab_path: String,
    /// Addresses of domain controllers.
    #[serde(rename = "dc_address", deserialize_with = "list")]
    pub dc_addresses: Vec<String>,
    /// Its password. Never shown: `None` when read; when written `None` keeps the stored one.
    #[serde(
        serialize_with = "exposed_or_kept",
        deserialize_with = "never_shown",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret: Option<SecretString>,
}

impl ProviderConfig for LdapConfig {
    const KIND: &'static str = "ldap";

    fn secret(&self) -> Option<&SecretString> {
        self.bind_password.as_ref()
    }
}

impl ProviderConfig for KerberosConfig {
    const KIND: &'static str = "kerberos";

    fn secret(&self) -> Option<&SecretString> {
        self.machine_account.secret.as_ref()
    }
}

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProviderTest {
    /// Whether it worked.
    pub ok: bool,
    /// Where it failed.
    #[serde(default)]
    pub stage: String,
    /// Why, in the server's words.
    #[serde(default)]
    pub message: String,
    /// How long it took.
    #[serde(default, rename = "latency_ms")]
    pub latency: Milliseconds,
}

fn exposed_or_kept<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => exposed(secret, serializer),
        None => serializer.serialize_none(),
    }
}

/// The server shows stars.
fn never_shown<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer)?;
    Ok(None)
}

fn or_empty<S: Serializer>(
    duration: &Option<GoDuration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => duration.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

fn hidden<C: ProviderConfig>(request: Request, config: &C) -> Request {
    let request = request.json(config);
    match config.secret() {
        Some(secret) => request.secret(secret),
        None => request,
    }
}

/// Calls for identity providers, for role admin (server contract 3.15). See [`Client::identity_providers`].
#[derive(Clone, Copy, Debug)]
pub struct IdentityProviders<'a>(&'a Client);

impl Client {
    /// LDAP and Kerberos.
    #[must_use]
    pub fn identity_providers(&self) -> IdentityProviders<'_> {
        IdentityProviders(self)
    }
}

impl IdentityProviders<'_> {
    /// The providers there can be.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<IdentityProvider>, Error> {
        self.0.call_list(LIST.at(&[])).await
    }

    /// A provider's configuration: `config::<LdapConfig>()`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has none.
    pub async fn config<C: ProviderConfig>(&self) -> Result<C, Error> {
        self.0.call(CONFIG.at(&[C::KIND])).await
    }

    /// Replaces a provider's configuration; gives it as stored, and when it takes effect.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that cannot work.
    pub async fn put_config<C: ProviderConfig>(&self, config: &C) -> Result<(C, Applied), Error> {
        let request = hidden(PUT_CONFIG.at(&[C::KIND]), config);
        let (stored, headers) = self.0.call_with_headers(request).await?;
        let later = headers
            .get("x-dittofs-apply")
            .is_some_and(|value| value == "restart-required");
        Ok((
            stored,
            if later {
                Applied::AtRestart
            } else {
                Applied::Live
            },
        ))
    }

    /// Tries a configuration without storing it.
    ///
    /// # Errors
    /// See [`Error`]; that it does not work is no error.
    pub async fn test<C: ProviderConfig>(&self, config: &C) -> Result<ProviderTest, Error> {
        self.0.call(hidden(TEST.at(&[C::KIND]), config)).await
    }
}
