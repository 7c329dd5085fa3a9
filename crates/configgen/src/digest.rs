//! The digest of everything whose change needs a restart of the server, and of nothing else.
//!
//! It is made from the spec and the Secrets, not from our rendering of them: a new release of the
//! operator that renders the same spec differently does not change it.

use std::collections::BTreeMap;

use api_types::DittoServerSpec;
use api_types::v1alpha1::{
    ControlPlane, Identity, Jwt, Kerberos, Logging, MachineAccount, Metrics, NfsTls,
};
use hmac::{Hmac, KeyInit, Mac};
use percona_bridge::Source;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::pod_digest::pod_part;

/// The part of a spec that the server process or its pod consumes at start.
///
/// Absent optional fields leave no trace, so that a field added by a later release changes no
/// digest before somebody sets it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RestartSpec(Value);

impl RestartSpec {
    /// The restart part of `spec`. Every field of the spec is named here: a new one does not
    /// compile before it is either taken or left out on purpose.
    pub fn of(spec: &DittoServerSpec, source: &Source) -> Self {
        let DittoServerSpec {
            image,
            // Scaling makes or removes the pod; it does not change it.
            replicas: _,
            // Claims are bound by the StatefulSet; their sizes are no matter of the process.
            storage: _,
            // Enters as the resolved source.
            database: _,
            control_plane,
            identity,
            // Matters of the adapter-controller, but for the files that the pod mounts.
            adapter_discovery: _,
            adapter_services: _,
            adapters,
            // The API Service and the policy are changed in place.
            service: _,
            network_policy: _,
            metrics,
            logging,
            // Enters as the resolved source.
            percona: _,
            // A matter of the share-controller.
            shares: _,
            // Pushed over REST.
            snapshot_policies: _,
            // The budget is an object of its own.
            disruption: _,
            pod,
            resources,
            shutdown_timeout,
            termination_grace_period_seconds,
            // Only reported.
            progress_deadline_seconds: _,
            security_context,
            pod_security_context,
            retired_nfs_port: _,
            retired_smb: _,
            retired_cache: _,
        } = spec;
        let mut value = without_absent(json!({
            "image": image,
            "database": source.restart_part(),
            "controlPlane": control_plane_part(control_plane),
            "identity": identity.as_ref().map(identity_part),
            "metrics": metrics.as_ref().filter(|metrics| metrics.enabled).map(metrics_part),
            "logging": logging.as_ref().map(logging_part),
            "resources": resources,
            "shutdownTimeout": shutdown_timeout,
            "terminationGracePeriodSeconds": termination_grace_period_seconds,
            "securityContext": security_context,
            "podSecurityContext": pod_security_context,
        }));
        let nfs = adapters.as_ref().and_then(|all| all.nfs.as_ref());
        if let Some(tls) = nfs.and_then(|nfs| nfs.tls.as_ref()) {
            // The mode and the authorities of clients are settings of the adapter.
            let NfsTls {
                secret_name,
                mode: _,
                client_ca_key: _,
            } = tls;
            value["nfsCertificate"] = json!(secret_name);
        }
        if let Some(pod) = pod.as_ref().and_then(pod_part) {
            value["pod"] = pod;
        }
        RestartSpec(value)
    }
}

fn control_plane_part(spec: &ControlPlane) -> Value {
    // `tls` only says what stands in front of the pod; the client certificate is for those who call.
    let ControlPlane {
        port,
        tls: _,
        cert_secret_name,
        client_ca_secret_name,
        client_cert_secret_name: _,
    } = spec;
    json!({ "port": port, "cert": cert_secret_name, "clientCA": client_ca_secret_name })
}

fn metrics_part(spec: &Metrics) -> Value {
    let Metrics {
        enabled: _,
        port,
        path,
        bearer_token_secret,
        cert_secret_name,
        // Objects of their own.
        service_monitor: _,
        prometheus_rule: _,
    } = spec;
    let mut value = json!({ "port": port, "path": path, "token": bearer_token_secret });
    // Absent, it leaves the digests of earlier releases as they are.
    if let Some(name) = cert_secret_name {
        value["certificate"] = json!(name);
    }
    value
}

fn logging_part(spec: &Logging) -> Value {
    let Logging {
        level,
        format,
        output,
    } = spec;
    json!({ "level": level, "format": format, "output": output })
}

fn identity_part(spec: &Identity) -> Value {
    // The first administrator and LDAP are read at the first start only (contract 1.3 and 2.8).
    let Identity {
        kind: _,
        jwt,
        admin: _,
        ldap: _,
        kerberos,
    } = spec;
    let jwt = jwt.as_ref().map(|jwt| {
        let Jwt { secret_ref, access_token_duration, refresh_token_duration } = jwt;
        json!({ "secret": secret_ref, "access": access_token_duration, "refresh": refresh_token_duration })
    });
    let kerberos = kerberos
        .as_ref()
        .filter(|kerberos| kerberos.enabled == Some(true))
        .map(kerberos_part);
    json!({ "jwt": jwt, "kerberos": kerberos })
}

fn kerberos_part(spec: &Kerberos) -> Value {
    // The server reads names and realms at its first start only; files and the machine account
    // at each start (contract 2.8).
    let Kerberos {
        enabled: _,
        service_principal: _,
        realm: _,
        netbios_domain: _,
        dns_domain: _,
        keytab_secret_ref,
        krb5_conf_secret_ref,
        krb5_conf,
        machine_account,
    } = spec;
    let machine = machine_account
        .as_ref()
        .filter(|account| account.enabled == Some(true))
        .map(|account| {
            let MachineAccount { enabled: _, account_name, secret_ref, keytab_secret_ref, dc_address } =
                account;
            json!({ "name": account_name, "secret": secret_ref, "keytab": keytab_secret_ref, "dc": dc_address })
        });
    json!({ "keytab": keytab_secret_ref, "krb5Secret": krb5_conf_secret_ref, "krb5": krb5_conf, "machine": machine })
}

/// `value` without nulls, empty lists and empty objects, at any depth.
fn without_absent(value: Value) -> Value {
    let absent = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, without_absent(value)))
            .filter(|(_, value)| !absent(value))
            // Sorted, whatever order the JSON library keeps.
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        Value::Array(items) => items.into_iter().map(without_absent).collect(),
        other => other,
    }
}

/// The digest of `spec` and of the Secret values that are read at start, as 64 hexadecimal digits.
///
/// `secrets` are keyed by `<Secret>/<key>`; `key` is the secret that signs the server's tokens, so
/// that the digest, which everybody may read, tells nothing about the values.
pub fn restart_digest(
    spec: &RestartSpec,
    secrets: &BTreeMap<String, Vec<u8>>,
    key: &[u8],
) -> String {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    // The length before each part keeps two different inputs from reading the same.
    let mut part = |bytes: &[u8]| {
        mac.update(&(bytes.len() as u64).to_be_bytes());
        mac.update(bytes);
    };
    part(spec.0.to_string().as_bytes());
    for (name, value) in secrets {
        part(name.as_bytes());
        part(value);
    }
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(spec: Value) -> RestartSpec {
        let mut whole = json!({"storage": {"metadataSize": "1Gi"}});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let spec: DittoServerSpec = serde_json::from_value(whole).unwrap();
        RestartSpec::of(
            &spec,
            &percona_bridge::source("files", &spec, false).unwrap(),
        )
    }

    #[test]
    fn what_the_process_does_not_read_at_start_never_restarts_it() {
        let plain = part(json!({}));
        for spec in [
            json!({"replicas": 0}),
            json!({"adapterDiscovery": {"pollingInterval": "60s"}}),
            json!({"adapters": {"nfs": {"port": 2049, "settings": {"udpEnabled": true}}}}),
            json!({"adapterServices": {"type": "LoadBalancer", "annotations": {"a": "b"}}}),
            json!({"service": {"type": "NodePort", "annotations": {"a": "b"}}}),
            json!({"snapshotPolicies": [{"share": "s", "interval": "1h"}]}),
            json!({"shares": {"allowedNamespaces": {"from": "All"}}}),
            json!({"disruption": "Block"}),
            json!({"metrics": {"enabled": false, "port": 9999}}),
            json!({"identity": {"admin": {"passwordSecretRef": {"name": "a", "key": "b"}}}}),
            json!({"storage": {"metadataSize": "2Gi"}}),
            json!({"controlPlane": {"tls": true}}),
            json!({"controlPlane": {"clientCertSecretName": "client"}}),
            json!({"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
            json!({"networkPolicy": {"enabled": false}}),
            json!({"networkPolicy": {"apiFrom": [{"podSelector": {}}]}}),
            json!({"pod": {}}),
            json!({"pod": {"labels": {}, "tolerations": []}}),
        ] {
            assert_eq!(part(spec.clone()), plain, "{spec}");
        }
    }

    #[test]
    fn what_the_process_reads_at_start_restarts_it() {
        let plain = part(json!({}));
        for spec in [
            json!({"image": "other:1"}),
            json!({"controlPlane": {"port": 9999}}),
            json!({"adapters": {"nfs": {"tls": {"secretName": "cert"}}}}),
            json!({"database": {"sqlite": {"path": "/data/controlplane/other.db"}}}),
            json!({"database": {"postgresSecretRef": {"name": "pg", "key": "k"}}}),
            json!({"logging": {"level": "DEBUG"}}),
            json!({"metrics": {"enabled": true}}),
            json!({"metrics": {"enabled": true, "certSecretName": "cert"}}),
            json!({"resources": {"limits": {"memory": "1Gi"}}}),
            json!({"shutdownTimeout": "10s"}),
            json!({"pod": {"priorityClassName": "high"}}),
            json!({"terminationGracePeriodSeconds": 60}),
            json!({"identity": {"jwt": {"accessTokenDuration": "5m"}}}),
            json!({"identity": {"kerberos": {"enabled": true, "krb5Conf": "/etc/krb5.conf"}}}),
        ] {
            assert_ne!(part(spec.clone()), plain, "{spec}");
        }
    }

    #[test]
    fn the_digest_follows_the_secrets_and_hides_them() {
        let spec = part(json!({}));
        let one = BTreeMap::from([("s/k".to_owned(), b"one".to_vec())]);
        let two = BTreeMap::from([("s/k".to_owned(), b"two".to_vec())]);
        let digest = restart_digest(&spec, &one, b"key");
        assert_eq!(digest.len(), 64);
        assert_eq!(digest, restart_digest(&spec, &one, b"key"));
        assert_ne!(digest, restart_digest(&spec, &two, b"key"));
        assert_ne!(digest, restart_digest(&spec, &one, b"other key"));
    }

    #[test]
    fn the_digest_of_a_released_spec_stays_as_it_is() {
        // A change here restarts every file server when the operator is upgraded.
        assert_eq!(
            restart_digest(&part(json!({})), &BTreeMap::new(), b"key"),
            restart_digest(
                &part(json!({"resources": {}, "logging": {}})),
                &BTreeMap::new(),
                b"key"
            ),
        );
        insta::assert_snapshot!(restart_digest(&part(json!({})), &BTreeMap::new(), b"key"));
    }
}
