//! The pod of the server.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::names::Volume as Claim;
use api_types::{DittoServerSpec, annotations};
use configgen::paths;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, SleepAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use percona_bridge::Source;

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

/// The pod template for the restart `digest`; `claims` are those that the StatefulSet has.
pub fn pod_template(
    instance: &Instance<'_>,
    source: &Source,
    claims: &[Claim],
    digest: &str,
) -> PodTemplateSpec {
    let spec = instance.spec;
    let mounted = mounted(instance, claims);
    let probes = probes::probes(&spec.control_plane);
    let mut ports = vec![container_port("api", spec.control_plane.port)];
    if let Some(metrics) = spec.metrics.as_ref().filter(|metrics| metrics.enabled) {
        ports.push(container_port("metrics", metrics.port));
    }
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(spec.image.clone()),
        command: Some(vec!["/app/dfs".to_owned()]),
        args: Some(
            ["start", "--foreground", "--config"]
                .into_iter()
                .map(str::to_owned)
                .chain([format!("{}/{}", paths::CONFIG, paths::CONFIG_KEY)])
                .collect(),
        ),
        env: Some(environment(instance, source)),
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
            labels: Some(labels::selected(instance.name, Component::Server)),
            annotations: Some(BTreeMap::from([(
                annotations::RESTART_DIGEST.to_owned(),
                digest.to_owned(),
            )])),
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
            ..PodSpec::default()
        }),
    }
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

    fn rendered(spec: serde_json::Value) -> PodTemplateSpec {
        let server = server(spec);
        let instance = Instance::of(&server).unwrap();
        let source = percona_bridge::source(&server.spec, false).unwrap();
        pod_template(
            &instance,
            &source,
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
            "metrics": {"enabled": true, "bearerTokenSecret": reference},
            "resources": {"limits": {"memory": "1Gi"}},
            "identity": {
                "ldap": {"enabled": true, "url": "ldaps://dc", "baseDN": "b", "bindDN": "c", "bindPasswordSecretRef": reference},
                "kerberos": {"enabled": true, "servicePrincipal": "nfs/x", "keytabSecretRef": reference, "krb5ConfSecretRef": reference,
                    "machineAccount": {"enabled": true, "accountName": "F$", "secretRef": reference, "keytabSecretRef": reference}},
            },
        })));
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
