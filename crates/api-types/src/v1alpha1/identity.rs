//! `spec.identity`: tokens, the first administrator, LDAP and Kerberos.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use crate::duration::GoDuration;
use crate::reference::SecretKeyRef;

/// Who may use the server, and how that is proven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Accepted for older manifests; the server keeps identities in its control-plane database.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<IdentityType>,
    /// Tokens of the REST API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// The first administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// LDAP or Active Directory. Pushed to the running server; what is absent in the section takes the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<Ldap>,
    /// Kerberos. Pushed to the running server, which takes it at its next start; the machine account at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos: Option<Kerberos>,
}

/// Value of the retired field `identity.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityType {
    /// The only value that older releases knew.
    Memory,
}

/// Tokens of the REST API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Key that signs the tokens: at least 32 characters. Without it the operator makes one. A new value restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Life of an access token, at least 1 minute.
    #[serde(default = "access_token_duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("must be at least 1m"))]
    pub access_token_duration: GoDuration,
    /// Life of a refresh token, at least 5 minutes.
    #[serde(default = "refresh_token_duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m')").message("must be at least 5m"))]
    pub refresh_token_duration: GoDuration,
}

fn access_token_duration() -> GoDuration {
    "15m".into()
}

fn refresh_token_duration() -> GoDuration {
    "168h".into()
}

impl Default for Jwt {
    fn default() -> Self {
        Jwt {
            secret_ref: None,
            access_token_duration: access_token_duration(),
            refresh_token_duration: refresh_token_duration(),
        }
    }
}

/// The first administrator. Its name is always `admin`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// Accepted for older manifests; only `admin` is allowed, because the server knows no other first account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self == 'admin'").message("the server's first account is always called admin: remove username"))]
    pub username: Option<String>,
    /// Password of the first start: 8 to 72 characters, in clear text. Without it the operator makes one. Read only while the server has no account yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
}

/// LDAP or Active Directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled || has(self.bindPasswordSecretRef)").message("LDAP needs bindPasswordSecretRef while it is enabled"))]
#[x_kube(validation = Rule::new("!self.url.startsWith('ldap://') || (has(self.startTLS) && self.startTLS) || (has(self.allowPlaintext) && self.allowPlaintext)").message("an ldap:// URL needs startTLS: true, or allowPlaintext: true to send passwords in clear text"))]
pub struct Ldap {
    /// Whether LDAP is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// URL of the directory, such as ldaps://dc.example.org:636.
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('ldap://') || self.startsWith('ldaps://')").message("must begin with ldap:// or ldaps://"))]
    pub url: String,
    /// Begin with clear text and change to TLS before the password is sent.
    #[serde(default, rename = "startTLS", skip_serializing_if = "Option::is_none")]
    pub start_tls: Option<bool>,
    /// Allow an ldap:// URL without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plaintext: Option<bool>,
    /// Base of every search.
    #[serde(rename = "baseDN")]
    pub base_dn: Text,
    /// Account that searches.
    #[serde(rename = "bindDN")]
    pub bind_dn: Text,
    /// Password of that account. A new value is pushed to the running server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_password_secret_ref: Option<SecretKeyRef>,
    /// Attribute that holds the login name; the server's default is sAMAccountName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_attr: Option<Text>,
    /// Kerberos realm of the directory's users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Text>,
    /// How numeric ids are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idmap: Option<Idmap>,
    /// Follow groups within groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested_groups: Option<bool>,
    /// Do not check the directory's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// Path in the pod of the CA that signed the directory's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert_file: Option<Text>,
}

/// How the numeric ids of directory users are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Idmap {
    /// From the attributes uidNumber and gidNumber.
    Rfc2307,
    /// From the last part of the Windows security identifier.
    Rid,
}

/// Kerberos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled || (has(self.servicePrincipal) && has(self.keytabSecretRef))").message("Kerberos needs servicePrincipal and keytabSecretRef while it is enabled"))]
#[x_kube(validation = Rule::new("!has(self.krb5Conf) || !has(self.krb5ConfSecretRef)").message("krb5Conf and krb5ConfSecretRef exclude each other"))]
pub struct Kerberos {
    /// Whether Kerberos is used; without it the rest of this section has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Principal of the file service, such as nfs/files.example.org@EXAMPLE.ORG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_principal: Option<Text>,
    /// Realm; derived from the principal when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Text>,
    /// NetBIOS name of the domain: one label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netbios_domain: Option<Text>,
    /// DNS name of the domain; derived from the realm when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<Text>,
    /// Keytab of the service principal. The server takes a renewed keytab without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keytab_secret_ref: Option<SecretKeyRef>,
    /// krb5.conf from a Secret. A new value restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub krb5_conf_secret_ref: Option<SecretKeyRef>,
    /// Path in the pod of an existing krb5.conf.
    #[serde(default, rename = "krb5Conf", skip_serializing_if = "Option::is_none")]
    pub krb5_conf: Option<Text>,
    /// The server's own account in the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_account: Option<MachineAccount>,
}

/// The server's own account in an Active Directory domain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled || (has(self.accountName) && (has(self.secretRef) || has(self.keytabSecretRef)))").message("a machine account needs accountName and one of secretRef and keytabSecretRef while it is enabled"))]
pub struct MachineAccount {
    /// Whether the account is used (and Kerberos is enabled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Name of the account, such as FILES$.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<Text>,
    /// Password of the account. A new value restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Keytab of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keytab_secret_ref: Option<SecretKeyRef>,
    /// Addresses of domain controllers, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub dc_address: Vec<Text>,
}
