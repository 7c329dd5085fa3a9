//! Declared identity providers as the server takes them. Pure.
//!
//! A section is whole: what is absent in it takes the server's default. What no spec can say stays as
//! the server has it.

use adapter_client::{KerberosConfig, LdapConfig, LdapTls, MachineAccount as LiveMachineAccount};
use api_types::v1alpha1::{Idmap, Kerberos, Ldap, MachineAccount, Text};
use configgen::paths;
use secrecy::SecretString;

/// The configuration that `spec` declares, over what the server has. `password`: to be sent with it;
/// without one the server keeps its own.
pub(super) fn ldap(
    spec: &Ldap,
    live: Option<&LdapConfig>,
    password: Option<SecretString>,
) -> LdapConfig {
    let Ldap {
        enabled,
        url,
        start_tls,
        allow_plaintext,
        base_dn,
        bind_dn,
        // Read by the caller.
        bind_password_secret_ref: _,
        user_attr,
        realm,
        idmap,
        nested_groups,
        insecure_skip_verify,
        ca_cert_file,
    } = spec;
    let live = live.cloned().unwrap_or_default();
    // The defaults are those of server contract 2.8.
    let user_attr = text(user_attr.as_ref());
    LdapConfig {
        enabled: enabled.unwrap_or_default(),
        url: url.clone(),
        start_tls: start_tls.unwrap_or_default(),
        allow_plaintext: allow_plaintext.unwrap_or_default(),
        base_dn: base_dn.0.clone(),
        bind_dn: bind_dn.0.clone(),
        bind_password: password,
        user_attr: if user_attr.is_empty() {
            "sAMAccountName".to_owned()
        } else {
            user_attr
        },
        realm: text(realm.as_ref()),
        idmap: match idmap {
            None | Some(Idmap::Rfc2307) => "rfc2307".to_owned(),
            Some(Idmap::Rid) => "rid".to_owned(),
        },
        nested_groups: nested_groups.unwrap_or_default(),
        timeout: live.timeout,
        max_group_results: live.max_group_results,
        tls: LdapTls {
            ca_cert_file: text(ca_cert_file.as_ref()),
            client_cert_file: live.tls.client_cert_file,
            client_key_file: live.tls.client_key_file,
            insecure_skip_verify: insecure_skip_verify.unwrap_or_default(),
            min_version: live.tls.min_version,
        },
    }
}

/// As [`ldap`]; `password` is that of the machine account.
pub(super) fn kerberos(
    spec: &Kerberos,
    live: Option<&KerberosConfig>,
    password: Option<SecretString>,
) -> KerberosConfig {
    let Kerberos {
        enabled,
        service_principal,
        realm,
        netbios_domain,
        dns_domain,
        keytab_secret_ref: _,
        krb5_conf_secret_ref,
        krb5_conf,
        machine_account,
    } = spec;
    let live = live.cloned().unwrap_or_default();
    let service_principal = text(service_principal.as_ref());
    // Derived as the server does with its configuration file, so that both say the same.
    let realm = or(text(realm.as_ref()), || {
        let realm = service_principal.rsplit_once('@');
        realm.map(|(_, realm)| realm.to_owned()).unwrap_or_default()
    });
    let dns_domain = or(text(dns_domain.as_ref()), || realm.to_lowercase());
    let krb5_secret = krb5_conf_secret_ref.as_ref();
    KerberosConfig {
        enabled: enabled.unwrap_or_default(),
        keytab_path: format!("{}/dittofs.keytab", paths::KEYTAB),
        service_principal,
        realm,
        netbios_domain: text(netbios_domain.as_ref()),
        dns_domain,
        krb5_conf: krb5_secret.map_or_else(
            || text(krb5_conf.as_ref()),
            |_| format!("{}/krb5.conf", paths::KRB5),
        ),
        max_clock_skew: live.max_clock_skew,
        context_ttl: live.context_ttl,
        max_contexts: live.max_contexts,
        machine_account: machine(machine_account.as_ref(), password),
    }
}

fn machine(spec: Option<&MachineAccount>, password: Option<SecretString>) -> LiveMachineAccount {
    let Some(spec) = spec.filter(|spec| spec.enabled == Some(true)) else {
        return LiveMachineAccount::default();
    };
    let MachineAccount {
        enabled: _,
        account_name,
        secret_ref: _,
        keytab_secret_ref,
        dc_address,
    } = spec;
    let keytab = keytab_secret_ref.as_ref();
    LiveMachineAccount {
        enabled: true,
        account_name: text(account_name.as_ref()),
        keytab_path: keytab
            .map(|_| format!("{}/machine.keytab", paths::MACHINE_KEYTAB))
            .unwrap_or_default(),
        dc_addresses: dc_address.iter().map(|address| address.0.clone()).collect(),
        secret: password,
    }
}

fn text(value: Option<&Text>) -> String {
    value.map(|text| text.0.clone()).unwrap_or_default()
}

fn or(text: String, derived: impl FnOnce() -> String) -> String {
    if text.is_empty() { derived() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::settings::{differing, json as as_json};

    /// What a server answers that was started with this section in its configuration file.
    fn seeded(section: Value) -> KerberosConfig {
        let mut whole = json!({"enabled": true, "keytab_path": "/kerberos/dittofs.keytab",
            "service_principal": "nfs/files.example.org@EXAMPLE.ORG", "realm": "EXAMPLE.ORG",
            "netbios_domain": "", "dns_domain": "example.org", "krb5_conf": "",
            "max_clock_skew": "5m0s", "context_ttl": "8h0m0s", "max_contexts": 10000, "machine_account": {}});
        whole
            .as_object_mut()
            .unwrap()
            .extend(section.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn declared(more: Value) -> Kerberos {
        let mut whole = json!({"enabled": true, "servicePrincipal": "nfs/files.example.org@EXAMPLE.ORG",
            "keytabSecretRef": {"name": "kt", "key": "k"}});
        whole
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn differences(spec: &Kerberos, live: &KerberosConfig) -> Vec<String> {
        differing(&as_json(&kerberos(spec, Some(live), None)), &as_json(live))
    }

    #[test]
    fn a_server_that_was_started_with_the_section_has_it() {
        assert!(differences(&declared(json!({})), &seeded(json!({}))).is_empty());
        let more = json!({"krb5ConfSecretRef": {"name": "c", "key": "k"}, "netbiosDomain": "EX",
            "machineAccount": {"enabled": true, "accountName": "F$", "dcAddress": ["10.0.0.1"],
                "secretRef": {"name": "m", "key": "k"}}});
        let live = seeded(
            json!({"krb5_conf": "/kerberos-krb5/krb5.conf", "netbios_domain": "EX",
            "machine_account": {"enabled": true, "account_name": "F$", "dc_address": ["10.0.0.1"], "secret": "********"}}),
        );
        assert_eq!(differences(&declared(more), &live), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_named_and_what_no_spec_says_stays() {
        let live = seeded(json!({"realm": "OLD.ORG", "context_ttl": "1h0m0s"}));
        assert_eq!(differences(&declared(json!({})), &live), ["realm"]);
        let wanted = kerberos(&declared(json!({})), Some(&live), None);
        assert_eq!(wanted.context_ttl, live.context_ttl);
    }

    #[test]
    fn what_is_absent_in_the_section_of_ldap_takes_the_default() {
        let spec: Ldap = serde_json::from_value(json!({"enabled": true, "url": "ldaps://dc",
            "baseDN": "dc=x", "bindDN": "cn=y", "bindPasswordSecretRef": {"name": "l", "key": "k"}}))
        .unwrap();
        let live = |skip: bool, timeout: &str| -> LdapConfig {
            serde_json::from_value(json!({"enabled": true, "url": "ldaps://dc", "start_tls": false,
                "allow_plaintext": false, "base_dn": "dc=x", "bind_dn": "cn=y", "bind_password": "********",
                "user_attr": "sAMAccountName", "realm": "", "idmap": "rfc2307", "nested_groups": false,
                "timeout": timeout, "max_group_results": 200, "tls": {"ca_cert_file": "", "client_cert_file": "",
                "client_key_file": "", "insecure_skip_verify": skip, "min_version": ""}}))
            .unwrap()
        };
        let differences =
            |live: &LdapConfig| differing(&as_json(&ldap(&spec, Some(live), None)), &as_json(live));
        assert!(differences(&live(false, "10s")).is_empty());
        assert!(
            differences(&live(false, "1m0s")).is_empty(),
            "no spec says it"
        );
        assert_eq!(differences(&live(true, "10s")), ["tls"]);
        let sent = as_json(&ldap(&spec, None, Some(SecretString::from("hunter2"))));
        assert_eq!(sent["bind_password"], "hunter2");
    }
}
