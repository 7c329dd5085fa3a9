//! The pod of the server.

use api_types::labels::{self, Component};
use api_types::names::Volume as Claim;
use api_types::v1alpha1::PodSettings;
use api_types::{DittoServerSpec, annotations};
use configgen::paths;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Lifecycle, LifecycleHandler, LocalObjectReference, PodSpec,
    PodTemplateSpec, SleepAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use percona_bridge::Wiring;

use crate::environment::environment;
use crate::volumes::mounted;
use crate::{Instance, probes, security};

/// Name of the server's container.
const CONTAINER: &str = "dittofs";
/// Seconds between the pod's leaving the Services and the request to stop: the time in which
/// kube-proxies learn of it, so that no new client is sent to a closing server.
const PRE_STOP: i64 = 5;
/// Seconds beyond the server's own hard limit for a clean stop.
const STOP_MARGIN: i64 = 10;

/// The pod template for the restart `digest`; `database` is how the pod reaches one elsewhere, `claims` are those that the StatefulSet has.
pub fn pod_template(
    instance: &Instance<'_>,
    database: &Wiring,
    claims: &[Claim],
    digest: &str,
) -> PodTemplateSpec {
    let spec = instance.spec;
    let mounted = mounted(instance, database, claims);
    let settings = spec.pod.clone().unwrap_or_default();
    let PodSettings {
        labels: extra_labels,
        annotations: extra_annotations,
        image_pull_policy,
        image_pull_secrets,
        node_selector,
        tolerations,
        affinity,
        topology_spread_constraints,
        priority_class_name,
        runtime_class_name,
        service_account_name,
        // Rendered with the operator's own.
        env: _,
        volumes: _,
        volume_mounts: _,
        probes,
        dns_policy,
        dns_config,
        host_aliases,
    } = settings;
    let probes = probes::probes(&spec.control_plane, probes.as_ref());
    // What the operator needs wins.
    let mut labels = extra_labels;
    labels.extend(labels::selected(instance.name, Component::Server));
    let mut annotations = extra_annotations;
    annotations.insert(annotations::RESTART_DIGEST.to_owned(), digest.to_owned());
    let mut ports = vec![container_port("api", spec.control_plane.port)];
    if let Some(metrics) = spec.metrics.as_ref().filter(|metrics| metrics.enabled) {
        ports.push(container_port("metrics", metrics.port));
    }
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(spec.image.clone()),
        image_pull_policy: image_pull_policy.map(|policy| policy.as_str().to_owned()),
        command: Some(vec!["/app/dfs".to_owned()]),
        args: Some(
            ["start", "--foreground", "--config"]
                .into_iter()
                .map(str::to_owned)
                .chain([format!("{}/{}", paths::CONFIG, paths::CONFIG_KEY)])
                .collect(),
        ),
        env: Some(environment(instance, database)),
        ports: Some(ports),
        volume_mounts: Some(mounted.mounts),
        startup_probe: Some(probes.startup),
        liveness_probe: Some(probes.liveness),
        readiness_probe: Some(probes.readiness),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: PRE_STOP }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: spec.resources.clone(),
        security_context: Some(security::container(spec.security_context.as_ref())),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container],
            volumes: Some(mounted.volumes),
            security_context: Some(security::pod(spec.pod_security_context.as_ref())),
            termination_grace_period_seconds: Some(grace_period(spec)),
            // The server never talks to the Kubernetes API.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: some(
                image_pull_secrets
                    .into_iter()
                    .map(|secret| LocalObjectReference {
                        name: secret.name.0,
                    })
                    .collect(),
            ),
            node_selector: (!node_selector.is_empty()).then_some(node_selector),
            tolerations: some(tolerations),
            affinity,
            topology_spread_constraints: some(topology_spread_constraints),
            priority_class_name: priority_class_name.map(|name| name.0),
            runtime_class_name: runtime_class_name.map(|name| name.0),
            // Written even when it is the default: Kubernetes keeps a copy of the name in the retired
            // field serviceAccount, which would bring back a name that is no longer asked for.
            service_account_name: Some(
                service_account_name.map_or_else(|| "default".to_owned(), |name| name.0),
            ),
            dns_policy: dns_policy.map(|policy| policy.as_str().to_owned()),
            dns_config,
            host_aliases: some(host_aliases),
            ..PodSpec::default()
        }),
    }
}

/// A list, unless it is empty.
fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// Seconds that the pod gets for a clean stop. The server's own limit is three times its shutdown
/// timeout and 5 seconds (server contract 1.5).
fn grace_period(spec: &DittoServerSpec) -> i64 {
    spec.termination_grace_period_seconds.unwrap_or_else(|| {
        let timeout = spec
            .shutdown_timeout
            .parse()
            .map_or(30, |timeout| timeout.as_millis().div_ceil(1000));
        PRE_STOP + 3 * i64::try_from(timeout).unwrap_or(i64::from(u16::MAX)) + STOP_MARGIN
    })
}

fn container_port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::server;
    use api_types::v1alpha1::reserved;

    fn rendered(spec: serde_json::Value) -> PodTemplateSpec {
        let server = server(spec);
        let instance = Instance::of(&server).unwrap();
        let source = percona_bridge::source("files", &server.spec, false).unwrap();
        // Every Secret has every key that is asked for.
        let read = |_: &str, key: &str| match key {
            "port" => percona_bridge::Lookup::Value(b"5432"),
            "ca.crt" => percona_bridge::Lookup::Value(b"-----BEGIN CERTIFICATE-----"),
            "sslrootcert" | "sslmode" => percona_bridge::Lookup::NoKey,
            _ => percona_bridge::Lookup::Value(b"value"),
        };
        let database = percona_bridge::connection("files", &source, read).unwrap();
        let database = database.map(|connection| connection.wiring);
        pod_template(
            &instance,
            &database.unwrap_or_default(),
            &crate::volumes_of(&server.spec),
            "digest",
        )
    }

    #[test]
    fn the_pod_of_a_plain_server() {
        insta::assert_yaml_snapshot!(rendered(serde_json::json!({})));
    }

    #[test]
    fn the_pod_of_a_server_that_uses_everything() {
        let reference = serde_json::json!({"name": "secret", "key": "key"});
        insta::assert_yaml_snapshot!(rendered(serde_json::json!({
            "database": {"postgresSecretRef": {"name": "pg", "key": "unused"}},
            "controlPlane": {"port": 8443, "certSecretName": "cert", "clientCASecretName": "ca"},
            "metrics": {"enabled": true, "bearerTokenSecret": reference, "certSecretName": "metrics-cert"},
            "resources": {"limits": {"memory": "1Gi"}},
            "identity": {
                "ldap": {"enabled": true, "url": "ldaps://dc", "baseDN": "b", "bindDN": "c", "bindPasswordSecretRef": reference},
                "kerberos": {"enabled": true, "servicePrincipal": "nfs/x", "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                    "machineAccount": {"enabled": true, "accountName": "F$", "secretRef": reference, "keytabSecretRef": reference}},
            },
        })));
    }

    #[test]
    fn the_pod_of_a_server_with_a_managed_database_has_the_ca_and_no_key() {
        let template = rendered(serde_json::json!({"database": {"percona": {}}}));
        let spec = template.spec.unwrap();
        let environment = spec.containers[0].env.clone().unwrap();
        let database: Vec<_> = environment
            .iter()
            .filter(|variable| variable.name.starts_with("DITTOFS_DATABASE_"))
            .collect();
        insta::assert_yaml_snapshot!(database);
        let volumes = spec.volumes.unwrap();
        let volume = volumes
            .iter()
            .find(|volume| volume.name == "database-ca")
            .unwrap();
        let secret = volume.secret.clone().unwrap();
        assert_eq!(
            secret.secret_name.as_deref(),
            Some("files-postgres-cluster-cert")
        );
        let keys: Vec<String> = secret
            .items
            .unwrap()
            .into_iter()
            .map(|item| item.key)
            .collect();
        assert_eq!(keys, ["ca.crt"]);
    }

    #[test]
    fn the_pod_of_a_server_with_every_pod_setting() {
        insta::assert_yaml_snapshot!(rendered(serde_json::json!({"pod": {
            "labels": {"team": "storage"},
            "annotations": {"example.org/team": "storage"},
            "imagePullPolicy": "Always",
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "dittofs-server"}}}]}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "dittofs-server"}}}],
            "priorityClassName": "high",
            "runtimeClassName": "gvisor",
            "serviceAccountName": "files",
            "env": [
                {"name": "TZ", "value": "UTC"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "GOMEMLIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            ],
            "volumes": [
                {"name": "trust", "configMap": {"name": "trust"}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "s3"}}]}},
            ],
            "volumeMounts": [{"name": "trust", "mountPath": "/etc/ssl/certs", "readOnly": true},
                {"name": "token", "mountPath": "/var/run/s3"}],
            "probes": {"startup": {"budgetSeconds": 600, "periodSeconds": 5}, "liveness": {"failureThreshold": 12}},
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["10.0.0.1"]},
            "hostAliases": [{"ip": "10.0.0.2", "hostnames": ["dc.example.org"]}],
        }})));
    }

    #[test]
    fn what_the_operator_needs_wins_over_what_the_spec_adds() {
        // The schema refuses these; a stored object of another schema may hold them all the same.
        let pod = rendered(serde_json::json!({"pod": {
            "labels": {"app": "other", "instance": "other"},
            "annotations": {"dittofs.io/restart-digest": "other"},
            "env": [{"name": "DITTOFS_CONTROLPLANE_SECRET", "value": "known"}],
        }}));
        let metadata = pod.metadata.unwrap();
        let labels = metadata.labels.unwrap();
        assert_eq!(labels["app"], "dittofs-server");
        assert_eq!(labels["instance"], "files");
        assert_eq!(
            metadata.annotations.unwrap()[annotations::RESTART_DIGEST],
            "digest"
        );
        let container = pod.spec.unwrap().containers.remove(0);
        let secrets: Vec<_> = container
            .env
            .unwrap()
            .into_iter()
            .filter(|variable| variable.name == "DITTOFS_CONTROLPLANE_SECRET")
            .collect();
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets[0].value, None);
    }

    #[test]
    fn every_volume_and_folder_of_the_operator_is_reserved() {
        let reference = serde_json::json!({"name": "secret", "key": "key"});
        let pod = rendered(serde_json::json!({
            "controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"},
            "metrics": {"enabled": true, "bearerTokenSecret": reference},
            "identity": {"kerberos": {"enabled": true, "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                "machineAccount": {"enabled": true, "accountName": "F$", "keytabSecretRef": reference}}},
        }))
        .spec
        .unwrap();
        for volume in pod.volumes.unwrap() {
            assert!(
                reserved::VOLUMES.contains(&volume.name.as_str()),
                "{}",
                volume.name
            );
        }
        for mount in pod.containers[0].volume_mounts.as_ref().unwrap() {
            assert!(reserved::VOLUMES.contains(&mount.name.as_str()));
            assert!(
                reserved::FOLDERS.iter().any(|folder| {
                    format!("{}/", mount.mount_path).starts_with(&format!("{folder}/"))
                }),
                "{}",
                mount.mount_path
            );
        }
    }

    #[test]
    fn the_grace_period_covers_the_servers_own_limit() {
        let seconds = |spec| {
            rendered(spec)
                .spec
                .unwrap()
                .termination_grace_period_seconds
        };
        assert_eq!(seconds(serde_json::json!({})), Some(105));
        assert_eq!(
            seconds(serde_json::json!({"shutdownTimeout": "10s"})),
            Some(45)
        );
        assert_eq!(
            seconds(serde_json::json!({"shutdownTimeout": "1500ms"})),
            Some(21)
        );
        assert_eq!(
            seconds(serde_json::json!({"terminationGracePeriodSeconds": 60})),
            Some(60)
        );
    }
}
