//! The objects of the Go operator, as it wrote them. Pure.
//!
//! Everything that it wrote is here, what was wrong with it included: addresses of adapters with
//! ports of both protocols, environment variables that nobody reads, tokens in a Secret.

use api_types::names;
use serde_json::{Value, json};

use super::{Features, PASSWORD};
use crate::SERVER;
use crate::world::IMAGE;

/// Key that signs tokens: 43 characters, as generated.
const JWT: &str = "cHJlZGVjZXNzb3ItcHJlZGVjZXNzb3ItcHJlZGVjZXM";

/// The selector, and the labels of everything that carries any.
pub(super) fn selector() -> Value {
    json!({"app": "dittofs-server", "instance": SERVER})
}

fn owner(uid: &str) -> Value {
    json!([{
        "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoServer", "name": SERVER, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }])
}

fn labelled(more: Value) -> Value {
    let mut labels = selector();
    crate::world::merge(&mut labels, more);
    labels
}

/// An object that it made, and whether it writes it again with every pass.
pub(super) struct Object {
    pub kind: &'static str,
    pub again: bool,
    pub manifest: Value,
}

fn object(kind: &'static str, name: String, uid: &str, rest: Value) -> Object {
    let mut manifest = rest;
    manifest["metadata"]["name"] = name.into();
    manifest["metadata"]["ownerReferences"] = owner(uid);
    Object {
        kind,
        again: kind != "Secret" && kind != "PerconaPGCluster",
        manifest,
    }
}

/// Every object of the server with this UID, in the order in which it made them.
pub(super) fn all(uid: &str, features: Features) -> Vec<Object> {
    let mut objects = secrets(uid, features);
    if features.percona {
        objects.push(database(uid));
    }
    objects.push(object(
        "ConfigMap",
        names::config(SERVER),
        uid,
        json!({"data": {"config.yaml": config(features)}}),
    ));
    objects.extend(services(uid, features));
    objects.extend(policies(uid, features));
    objects.push(stateful_set(uid, features));
    objects
}

fn secrets(uid: &str, features: Features) -> Vec<Object> {
    let admin = if features.early {
        names::early_admin_secret(SERVER)
    } else {
        names::admin_secret(SERVER)
    };
    let mut secrets = vec![
        object(
            "Secret",
            names::jwt_secret(SERVER),
            uid,
            json!({"stringData": {"jwt-secret": JWT}}),
        ),
        object(
            "Secret",
            admin,
            uid,
            json!({"stringData": {"username": "admin", "password": PASSWORD}}),
        ),
        object(
            "Secret",
            names::predecessor_account_secret(SERVER),
            uid,
            json!({"type": "Opaque", "stringData": {
                "username": "k8s-operator", "password": "predecessor-account",
                "access-token": "eyJhbGciOiJIUzI1NiJ9.access", "refresh-token": "eyJhbGciOiJIUzI1NiJ9.refresh",
                "server-url": "http://files-api:8080",
            }}),
        ),
    ];
    if features.percona {
        // The database operator's own.
        secrets.push(Object {
            kind: "Secret",
            again: false,
            manifest: json!({
                "metadata": {"name": format!("{}-pguser-dittofs", names::managed_database(SERVER))},
                "stringData": {
                    "host": "files-postgres-primary", "port": "5432", "user": "dittofs", "password": "pg",
                    "dbname": "dittofs", "uri": "postgresql://dittofs:pg@files-postgres-primary:5432/dittofs",
                },
            }),
        });
    }
    secrets
}

fn database(uid: &str) -> Object {
    object(
        "PerconaPGCluster",
        names::managed_database(SERVER),
        uid,
        json!({"spec": {
            "crVersion": "2.8.0",
            "postgresVersion": 16,
            "instances": [{"name": "instance1", "replicas": 1, "dataVolumeClaimSpec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
            }}],
            "users": [{"name": "dittofs", "databases": ["dittofs"]}],
            "proxy": {"pgBouncer": {"replicas": 1}},
            "backups": {"pgbackrest": {"repos": [{"name": "repo1", "volume": {"volumeClaimSpec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
            }}}]}},
        }}),
    )
}

/// Percona has no effect on it.
fn config(features: Features) -> String {
    let mut config = json!({
        "logging": {"level": "INFO", "format": "json", "output": "stdout"},
        "shutdown_timeout": "30s",
        "database": {"type": "sqlite", "sqlite": {"path": "/data/controlplane/controlplane.db"}},
        "controlplane": {
            "host": "0.0.0.0", "port": 8080,
            "jwt": {"access_token_duration": "15m", "refresh_token_duration": "168h"},
        },
        "admin": {"username": "admin"},
    });
    if features.metrics {
        config["metrics"] = json!({"enabled": true, "host": "0.0.0.0", "port": 9090, "path": "/metrics", "auth": "none"});
    }
    // JSON is YAML.
    config.to_string()
}

fn service(name: String, uid: &str, metadata: Value, spec: Value) -> Object {
    let mut spec = spec;
    spec["selector"] = selector();
    object(
        "Service",
        name,
        uid,
        json!({"metadata": metadata, "spec": spec}),
    )
}

fn port(name: &str, port: u16, target: u16, protocol: &str) -> Value {
    json!({"name": name, "port": port, "targetPort": target, "protocol": protocol})
}

fn services(uid: &str, features: Features) -> Vec<Object> {
    let api = port("api", 8080, 8080, "TCP");
    let adapter = |kind: &str| {
        json!({"labels": labelled(json!({
            "dittofs.io/adapter-service": "true", "dittofs.io/adapter-type": kind,
        })), "annotations": {"dittofs.io/managed-annotations": ""}})
    };
    let mut services = vec![
        service(
            names::headless_service(SERVER),
            uid,
            json!({"labels": selector()}),
            json!({"clusterIP": "None", "ports": [api]}),
        ),
        service(
            names::api_service(SERVER),
            uid,
            json!({"labels": selector(), "annotations": {"example.org/of-the-predecessor": "a"}}),
            json!({"type": "ClusterIP", "ports": [api]}),
        ),
        service(
            "files-adapter-nfs".to_owned(),
            uid,
            adapter("nfs"),
            json!({"type": "ClusterIP", "ports": [
                port("adapter-nfs", 12049, 12049, "TCP"), port("mdns", 5353, 5353, "UDP"),
                port("portmap", 111, 10111, "TCP"), port("portmap-udp", 111, 10111, "UDP"),
                port("adapter-nfs-udp", 12049, 12049, "UDP"),
            ]}),
        ),
        service(
            "files-adapter-smb".to_owned(),
            uid,
            adapter("smb"),
            json!({"type": "ClusterIP", "ports": [
                port("adapter-smb", 1445, 1445, "TCP"), port("mdns", 5353, 5353, "UDP"),
                port("wsd", 3702, 3702, "UDP"), port("wsd-meta", 5357, 5357, "TCP"),
            ]}),
        ),
    ];
    if features.metrics {
        services.push(service(
            names::metrics_service(SERVER),
            uid,
            json!({
                "labels": labelled(json!({"dittofs.io/metrics-service": "true"})),
                "annotations": {
                    "prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/metrics",
                },
            }),
            json!({"type": "ClusterIP", "ports": [port("metrics", 9090, 9090, "TCP")]}),
        ));
    }
    services
}

fn policies(uid: &str, features: Features) -> Vec<Object> {
    let policy = |name: String, labels: Value, ports: Value| {
        object(
            "NetworkPolicy",
            name,
            uid,
            json!({"metadata": {"labels": labelled(labels)}, "spec": {
                "podSelector": {"matchLabels": selector()},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": ports}],
            }}),
        )
    };
    let adapter = |kind: &str| json!({"dittofs.io/adapter-networkpolicy": "true", "dittofs.io/adapter-type": kind});
    let mut baseline = vec![json!({"port": 8080, "protocol": "TCP"})];
    if features.metrics {
        baseline.push(json!({"port": 9090, "protocol": "TCP"}));
    }
    vec![
        policy(
            names::baseline_policy(SERVER),
            json!({"dittofs.io/baseline-networkpolicy": "true"}),
            baseline.into(),
        ),
        policy(
            "files-adapter-nfs".to_owned(),
            adapter("nfs"),
            json!([
                {"port": 12049, "protocol": "TCP"}, {"port": 10111, "protocol": "TCP"},
                {"port": 10111, "protocol": "UDP"}, {"port": 12049, "protocol": "UDP"},
            ]),
        ),
        policy(
            "files-adapter-smb".to_owned(),
            adapter("smb"),
            json!([{"port": 1445, "protocol": "TCP"}]),
        ),
    ]
}

fn stateful_set(uid: &str, features: Features) -> Object {
    object(
        "StatefulSet",
        SERVER.to_owned(),
        uid,
        json!({"spec": {
            "replicas": 1,
            "serviceName": names::headless_service(SERVER),
            "selector": {"matchLabels": selector()},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": {
                "metadata": {
                    "labels": selector(),
                    "annotations": {"dittofs.io/config-hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
                },
                "spec": pod(features),
            },
            "volumeClaimTemplates": [claim("metadata"), claim("content"), claim("controlplane")],
        }}),
    )
}

fn claim(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}},
    }})
}

fn pod(features: Features) -> Value {
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 36,
        "securityContext": {"fsGroup": 65532},
        "containers": [container(features)],
        "volumes": [{"name": "config", "configMap": {"name": names::config(SERVER)}}],
    });
    if features.percona {
        let secret = format!("{}-pguser-dittofs", names::managed_database(SERVER));
        let variables = [
            ("PGHOST", "host"),
            ("PGPORT", "port"),
            ("PGUSER", "user"),
            ("PGPASSWORD", "password"),
            ("PGDATABASE", "dbname"),
        ];
        let variables = variables.map(|(variable, key)| {
            json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
        });
        pod["initContainers"] = json!([{
            "name": "wait-for-postgres", "image": "postgres:16-alpine", "env": variables,
            "command": ["sh", "-c", "until pg_isready -t 5; do sleep 2; done"],
        }]);
    }
    pod
}

fn container(features: Features) -> Value {
    let from_secret = |variable: &str, name: String, key: &str, optional: Option<bool>| {
        let mut reference = json!({"name": name, "key": key});
        if let Some(optional) = optional {
            reference["optional"] = optional.into();
        }
        json!({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    };
    let mut variables = vec![
        from_secret(
            "DITTOFS_CONTROLPLANE_SECRET",
            names::jwt_secret(SERVER),
            "jwt-secret",
            None,
        ),
        from_secret(
            "DITTOFS_ADMIN_INITIAL_PASSWORD",
            if features.early {
                names::early_admin_secret(SERVER)
            } else {
                names::admin_secret(SERVER)
            },
            "password",
            Some(true),
        ),
    ];
    if features.percona {
        variables.push(from_secret(
            "DATABASE_URL",
            format!("{}-pguser-dittofs", names::managed_database(SERVER)),
            "uri",
            None,
        ));
    }
    let port = |name: &str, port: u16, protocol: &str| json!({"name": name, "containerPort": port, "protocol": protocol});
    let mut ports = vec![port("api", 8080, "TCP")];
    if features.metrics {
        ports.push(port("metrics", 9090, "TCP"));
    }
    ports.extend([
        port("adapter-nfs", 12049, "TCP"),
        port("adapter-nfs-pm", 10111, "TCP"),
        port("adapter-pm-udp", 10111, "UDP"),
        port("adapter-mdns", 5353, "UDP"),
        port("adapter-smb", 1445, "TCP"),
        port("adapter-wsd", 3702, "UDP"),
        port("adapter-wsdmeta", 5357, "TCP"),
    ]);
    let probe = |path: &str, initial: u8, period: u8, failures: u8| {
        json!({
            "httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": initial,
            "periodSeconds": period, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": failures,
        })
    };
    json!({
        "name": "dittofs",
        "image": IMAGE,
        "command": ["/app/dfs"],
        "args": ["start", "--foreground", "--config", "/config/config.yaml"],
        "env": variables,
        "ports": ports,
        "livenessProbe": probe("/health", 15, 10, 3),
        "readinessProbe": probe("/health/ready", 10, 5, 3),
        "startupProbe": probe("/health", 0, 5, 30),
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 5"]}}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "controlplane", "mountPath": "/data/controlplane"},
            {"name": "metadata", "mountPath": "/data/store/metadata"},
            {"name": "content", "mountPath": "/data/store/block"},
            {"name": "config", "mountPath": "/config"},
        ],
    })
}
