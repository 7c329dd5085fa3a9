//! The configuration file of the server: only what it consumes, without secrets.

use api_types::DittoServerSpec;
use api_types::v1alpha1::{
    ControlPlane, Identity, Idmap, Kerberos, Ldap, LogFormat, LogLevel, Logging, Metrics, Text,
};
use percona_bridge::Source;
use serde::Serialize;

use crate::memory::{self, BlockstoreSection, MetadataSection};
use crate::paths;

/// The configuration could not be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the configuration file cannot be written: {0}")]
pub struct ConfigError(#[from] serde_saphyr::ser::Error);

/// Longest restore over REST; the API's write timeout must lie above it (server contract 3.2).
const RESTORE_TIMEOUT: &str = "30m";
const WRITE_TIMEOUT: &str = "31m";

/// The text of the configuration file; equal specs give equal texts.
///
/// # Errors
/// When the text cannot be written, which no accepted spec brings about.
pub fn config_file(spec: &DittoServerSpec, source: &Source) -> Result<String, ConfigError> {
    let identity = spec.identity.clone().unwrap_or_default();
    let Identity {
        kind: _,
        jwt,
        admin: _,
        ldap,
        kerberos,
    } = identity;
    let memory = memory::limit(spec.resources.as_ref());
    let file = File {
        shutdown_timeout: &spec.shutdown_timeout.0,
        logging: logging(&spec.logging.clone().unwrap_or_default()),
        database: database(source),
        controlplane: controlplane(&spec.control_plane, jwt.unwrap_or_default()),
        metadata: memory.map(memory::metadata),
        blockstore: memory.map(memory::blockstore),
        snapshot: SnapshotSection {
            restore_http_timeout: RESTORE_TIMEOUT,
        },
        metrics: spec
            .metrics
            .as_ref()
            .filter(|metrics| metrics.enabled)
            .map(metrics),
        ldap: ldap
            .filter(|ldap| ldap.enabled == Some(true))
            .map(ldap_section),
        kerberos: kerberos
            .filter(|kerberos| kerberos.enabled == Some(true))
            .map(kerberos_section),
    };
    Ok(serde_saphyr::to_string(&file)?)
}

#[derive(Serialize)]
struct File<'a> {
    shutdown_timeout: &'a str,
    logging: LoggingSection,
    database: DatabaseSection,
    controlplane: ControlPlaneSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataSection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blockstore: Option<BlockstoreSection>,
    snapshot: SnapshotSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<MetricsSection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ldap: Option<LdapSection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kerberos: Option<KerberosSection>,
}

#[derive(Serialize)]
struct LoggingSection {
    level: LogLevel,
    format: LogFormat,
    output: String,
}

fn logging(spec: &Logging) -> LoggingSection {
    let Logging {
        level,
        format,
        output,
    } = spec;
    LoggingSection {
        level: level.unwrap_or_default(),
        format: format.unwrap_or_default(),
        // The server's own default is a file in the container (contract rule 3).
        output: output.clone().unwrap_or_else(|| "stdout".to_owned()),
    }
}

#[derive(Serialize)]
struct DatabaseSection {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlite: Option<SqliteSection>,
}

#[derive(Serialize)]
struct SqliteSection {
    path: String,
}

/// The connection to PostgreSQL comes by environment, from Secrets.
fn database(source: &Source) -> DatabaseSection {
    match source {
        Source::Sqlite { path } => DatabaseSection {
            kind: "sqlite",
            sqlite: Some(SqliteSection { path: path.clone() }),
        },
        Source::Secret(_) | Source::Managed(_) => DatabaseSection {
            kind: "postgres",
            sqlite: None,
        },
    }
}

#[derive(Serialize)]
struct ControlPlaneSection {
    host: &'static str,
    port: u16,
    write_timeout: &'static str,
    jwt: JwtSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsSection>,
}

#[derive(Serialize)]
struct JwtSection {
    access_token_duration: String,
    refresh_token_duration: String,
}

#[derive(Serialize)]
struct TlsSection {
    cert_file: String,
    key_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca: Option<String>,
}

fn controlplane(spec: &ControlPlane, jwt: api_types::v1alpha1::Jwt) -> ControlPlaneSection {
    let ControlPlane {
        port,
        tls: _,
        cert_secret_name,
        client_ca_secret_name,
        client_cert_secret_name: _,
    } = spec;
    ControlPlaneSection {
        // The server's own default is loopback, where no Service reaches it (contract rule 2).
        host: "0.0.0.0",
        port: *port,
        write_timeout: WRITE_TIMEOUT,
        jwt: JwtSection {
            access_token_duration: jwt.access_token_duration.0,
            refresh_token_duration: jwt.refresh_token_duration.0,
        },
        tls: cert_secret_name.as_ref().map(|_| TlsSection {
            cert_file: format!("{}/tls.crt", paths::TLS),
            key_file: format!("{}/tls.key", paths::TLS),
            client_ca: client_ca_secret_name
                .as_ref()
                .map(|_| format!("{}/ca.crt", paths::CLIENT_CA)),
        }),
    }
}

#[derive(Serialize)]
struct SnapshotSection {
    restore_http_timeout: &'static str,
}

#[derive(Serialize)]
struct MetricsSection {
    enabled: bool,
    host: &'static str,
    port: u16,
    path: String,
    auth: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsSection>,
}

fn metrics(spec: &Metrics) -> MetricsSection {
    let Metrics {
        enabled,
        port,
        path,
        bearer_token_secret,
        cert_secret_name,
        service_monitor: _,
        prometheus_rule: _,
    } = spec;
    MetricsSection {
        enabled: *enabled,
        host: "0.0.0.0",
        port: *port,
        path: path.clone(),
        auth: if bearer_token_secret.is_some() {
            "token"
        } else {
            "none"
        },
        token_file: bearer_token_secret
            .as_ref()
            .map(|_| format!("{}/token", paths::METRICS_TOKEN)),
        tls: cert_secret_name.as_ref().map(|_| TlsSection {
            cert_file: format!("{}/tls.crt", paths::METRICS_TLS),
            key_file: format!("{}/tls.key", paths::METRICS_TLS),
            client_ca: None,
        }),
    }
}

#[derive(Serialize)]
struct LdapSection {
    enabled: bool,
    url: String,
    start_tls: bool,
    allow_plaintext: bool,
    base_dn: String,
    bind_dn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_attr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idmap: Option<Idmap>,
    nested_groups: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<LdapTlsSection>,
}

#[derive(Serialize)]
struct LdapTlsSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_cert_file: Option<String>,
    insecure_skip_verify: bool,
}

fn text(value: Option<Text>) -> Option<String> {
    value.map(|text| text.0)
}

fn ldap_section(spec: Ldap) -> LdapSection {
    let Ldap {
        enabled: _,
        url,
        start_tls,
        allow_plaintext,
        base_dn,
        bind_dn,
        bind_password_secret_ref: _,
        user_attr,
        realm,
        idmap,
        nested_groups,
        insecure_skip_verify,
        ca_cert_file,
    } = spec;
    LdapSection {
        enabled: true,
        url,
        start_tls: start_tls.unwrap_or_default(),
        allow_plaintext: allow_plaintext.unwrap_or_default(),
        base_dn: base_dn.0,
        bind_dn: bind_dn.0,
        user_attr: text(user_attr),
        realm: text(realm),
        idmap,
        nested_groups: nested_groups.unwrap_or_default(),
        tls: (ca_cert_file.is_some() || insecure_skip_verify == Some(true)).then(|| {
            LdapTlsSection {
                ca_cert_file: text(ca_cert_file),
                insecure_skip_verify: insecure_skip_verify.unwrap_or_default(),
            }
        }),
    }
}

#[derive(Serialize)]
struct KerberosSection {
    enabled: bool,
    keytab_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netbios_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    krb5_conf: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine_account: Option<MachineAccountSection>,
}

#[derive(Serialize)]
struct MachineAccountSection {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keytab_path: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dc_address: Vec<String>,
}

fn kerberos_section(spec: Kerberos) -> KerberosSection {
    let Kerberos {
        enabled: _,
        service_principal,
        realm,
        netbios_domain,
        dns_domain,
        keytab_secret_ref: _,
        krb5_conf_secret_ref,
        krb5_conf,
        machine_account,
    } = spec;
    KerberosSection {
        enabled: true,
        keytab_path: format!("{}/dittofs.keytab", paths::KEYTAB),
        service_principal: text(service_principal),
        realm: text(realm),
        netbios_domain: text(netbios_domain),
        dns_domain: text(dns_domain),
        krb5_conf: krb5_conf_secret_ref
            .map(|_| format!("{}/krb5.conf", paths::KRB5))
            .or(text(krb5_conf)),
        machine_account: machine_account
            .filter(|account| account.enabled == Some(true))
            .map(|account| MachineAccountSection {
                enabled: true,
                account_name: text(account.account_name),
                keytab_path: account
                    .keytab_secret_ref
                    .map(|_| format!("{}/machine.keytab", paths::MACHINE_KEYTAB)),
                dc_address: account.dc_address.into_iter().map(|text| text.0).collect(),
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(spec: serde_json::Value) -> String {
        let spec: DittoServerSpec = serde_json::from_value(spec).unwrap();
        config_file(
            &spec,
            &percona_bridge::source("files", &spec, false).unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn a_minimal_server_listens_on_all_interfaces_and_logs_to_stdout() {
        insta::assert_snapshot!(rendered(
            serde_json::json!({"storage": {"metadataSize": "1Gi"}})
        ));
    }

    #[test]
    fn every_section_is_written_as_the_server_reads_it() {
        insta::assert_snapshot!(rendered(full_spec()));
    }

    #[test]
    fn text_of_the_spec_cannot_break_out_of_its_value() {
        let spec = serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "identity": {"ldap": {"enabled": true, "url": "ldaps://x", "baseDN": "a: b #c", "bindDN": "'\"{[*&!",
                "bindPasswordSecretRef": {"name": "n", "key": "k"}}},
        });
        let read: serde_json::Value = serde_saphyr::from_str(&rendered(spec)).unwrap();
        assert_eq!(read["ldap"]["base_dn"], "a: b #c");
        assert_eq!(read["ldap"]["bind_dn"], "'\"{[*&!");
    }

    fn full_spec() -> serde_json::Value {
        let reference = serde_json::json!({"name": "secret", "key": "key"});
        serde_json::json!({
            "storage": {"metadataSize": "1Gi"},
            "database": {"type": "postgres", "postgresSecretRef": reference},
            "controlPlane": {"port": 8443, "certSecretName": "cert", "clientCASecretName": "ca"},
            "logging": {"level": "DEBUG", "format": "text", "output": "stderr"},
            "metrics": {"enabled": true, "port": 9191, "path": "/m", "bearerTokenSecret": reference, "certSecretName": "metrics-cert"},
            "shutdownTimeout": "15s",
            "resources": {"limits": {"memory": "2Gi"}},
            "identity": {
                "jwt": {"accessTokenDuration": "5m", "refreshTokenDuration": "1h"},
                "ldap": {"enabled": true, "url": "ldaps://dc", "baseDN": "dc=x", "bindDN": "cn=y",
                    "bindPasswordSecretRef": reference, "idmap": "rid", "nestedGroups": true,
                    "caCertFile": "/etc/ca.pem"},
                "kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y", "realm": "Y",
                    "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                    "machineAccount": {"enabled": true, "accountName": "F$", "keytabSecretRef": reference,
                        "dcAddress": ["10.0.0.1"]}},
            },
        })
    }
}
