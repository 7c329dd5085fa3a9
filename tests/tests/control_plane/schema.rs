//! What the API server takes and refuses, and what it says then.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::cluster::yaml_of;
use cluster_tests::world::none_failed;
use cluster_tests::{Outcome, Pods, World, scenario};
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{settings, violations};

/// What the API server says to a manifest, which it does not store.
async fn refusal(world: &World, manifest: Value) -> Result<Option<String>> {
    let api = world.objects(&ApiResource::erase::<DittoServer>(&()));
    let object: DynamicObject = serde_json::from_value(manifest)?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&parameters, &object).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn all_refused(world: &World, cases: Vec<(Option<String>, Value, &str)>) -> Result<()> {
    let mut failures = Vec::new();
    for (name, spec, message) in cases {
        let name = name.unwrap_or_else(|| "files".to_owned());
        match refusal(world, world.manifest_of(&name, spec.clone())).await? {
            None => failures.push(format!("{name} {spec} is taken")),
            Some(said) if !said.contains(message) => {
                failures.push(format!("{name} {spec} is refused with: {said}"))
            }
            Some(_) => {}
        }
    }
    none_failed(&failures)
}

#[test]
fn a_broken_rule_is_refused_with_what_to_do() -> Outcome {
    scenario("rules", Pods::None, async |world| {
        let cases = violations::all();
        all_refused(
            world,
            cases
                .into_iter()
                .map(|case| (case.name, case.spec, case.message))
                .collect(),
        )
        .await
    })
}

#[test]
fn a_value_out_of_bounds_is_refused_with_its_path() -> Outcome {
    let reference = |name: &str, key: &str| json!({"identity": {"jwt": {"secretRef": {"name": name, "key": key}}}});
    scenario("bounds", Pods::None, async |world| {
        all_refused(
            world,
            vec![
                (
                    None,
                    json!({"storage": {"metadataSize": null}}),
                    "spec.storage.metadataSize",
                ),
                (None, json!({"storage": null}), "spec.storage"),
                (
                    None,
                    json!({"storage": {"metadataSize": "10G"}}),
                    "spec.storage.metadataSize",
                ),
                (
                    None,
                    json!({"storage": {"metadataSize": "0Gi"}}),
                    "spec.storage.metadataSize",
                ),
                (
                    None,
                    json!({"storage": {"storageClassName": ""}}),
                    "spec.storage.storageClassName",
                ),
                (None, json!({"replicas": -1}), "spec.replicas"),
                (None, json!({"image": ""}), "spec.image"),
                (None, json!({"image": "a b"}), "spec.image"),
                (
                    None,
                    json!({"terminationGracePeriodSeconds": 10}),
                    "spec.terminationGracePeriodSeconds",
                ),
                (
                    None,
                    json!({"shutdownTimeout": "soon"}),
                    "spec.shutdownTimeout",
                ),
                (
                    None,
                    json!({"controlPlane": {"port": 0}}),
                    "spec.controlPlane.port",
                ),
                (
                    None,
                    json!({"controlPlane": {"port": 65536}}),
                    "spec.controlPlane.port",
                ),
                (
                    None,
                    json!({"metrics": {"path": "metrics"}}),
                    "spec.metrics.path",
                ),
                (
                    None,
                    json!({"logging": {"level": "TRACE"}}),
                    "spec.logging.level",
                ),
                (
                    None,
                    json!({"logging": {"format": "xml"}}),
                    "spec.logging.format",
                ),
                (
                    None,
                    json!({"service": {"type": "ExternalName"}}),
                    "spec.service.type",
                ),
                (
                    None,
                    json!({"adapterServices": {"type": "None"}}),
                    "spec.adapterServices.type",
                ),
                (
                    None,
                    json!({"adapterDiscovery": {"pollingInterval": ""}}),
                    "spec.adapterDiscovery.pollingInterval",
                ),
                (None, json!({"disruption": "Never"}), "spec.disruption"),
                (
                    None,
                    json!({"identity": {"type": "file"}}),
                    "spec.identity.type",
                ),
                (None, reference("", "k"), "spec.identity.jwt.secretRef.name"),
                (None, reference("s", ""), "spec.identity.jwt.secretRef.key"),
                (
                    None,
                    json!({"identity": {"jwt": {"secretRef": {"name": "s"}}}}),
                    "spec.identity.jwt.secretRef.key",
                ),
                (
                    None,
                    json!({"identity": {"jwt": {"secretRef": {"key": "k"}}}}),
                    "spec.identity.jwt.secretRef.name",
                ),
                (
                    None,
                    json!({"database": {"type": "mysql"}}),
                    "spec.database.type",
                ),
                (
                    None,
                    json!({"percona": {"replicas": 6}}),
                    "spec.percona.replicas",
                ),
                (
                    None,
                    json!({"snapshotPolicies": [{"share": "a"}]}),
                    "spec.snapshotPolicies[0].interval",
                ),
                (
                    None,
                    json!({"snapshotPolicies": [{"share": "a", "interval": "weekly"}]}),
                    "spec.snapshotPolicies[0].interval",
                ),
            ],
        )
        .await
    })
}

/// Manifests as people wrote them for the Go operator, every field of it among them.
#[test]
fn manifests_of_the_predecessor_are_taken() -> Outcome {
    let reference = json!({"name": "s", "key": "k"});
    scenario("older", Pods::None, async |world| {
        let mut failures = Vec::new();
        for spec in [
            json!({"storage": {"metadataSize": "10Gi"}}),
            json!({"image": "marmos91c/dittofs:latest", "replicas": 1, "storage": {
                "metadataSize": "10Gi", "contentSize": "500Gi", "controlPlaneSize": "1Gi", "storageClassName": "standard"}}),
            json!({"storage": {"metadataSize": "512Mi", "contentSize": "1Ti"}, "replicas": 0,
                "database": {"type": "sqlite", "sqlite": {"path": "/data/controlplane/controlplane.db"}},
                "controlPlane": {"port": 8080, "tls": false},
                "identity": {"type": "memory", "jwt": {"secretRef": reference, "accessTokenDuration": "15m", "refreshTokenDuration": "168h"},
                    "admin": {"username": "admin", "passwordSecretRef": reference}},
                "adapterDiscovery": {"pollingInterval": "30s"},
                "adapterServices": {"type": "LoadBalancer", "annotations": {"a": "b"}},
                "service": {"type": "ClusterIP", "annotations": {"a": "b"}},
                "metrics": {"enabled": true, "port": 9090, "path": "/metrics", "bearerTokenSecret": reference,
                    "serviceMonitor": {"enabled": true, "interval": "30s", "labels": {"release": "prometheus"}}},
                "logging": {"level": "INFO", "format": "json", "output": "stdout"},
                "snapshotPolicies": [
                    {"share": "/export", "interval": "@daily", "keepLast": 7, "ttl": "168h", "namePrefix": "auto", "enabled": true},
                    {"share": "/export", "interval": "6h", "keepLast": 0}],
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
                "terminationGracePeriodSeconds": 105,
                "securityContext": {"runAsUser": 1000}, "podSecurityContext": {"fsGroup": 1000}}),
            json!({"storage": {"metadataSize": "10Gi"},
                "database": {"type": "postgres", "postgresSecretRef": reference},
                "controlPlane": {"port": 8443, "tls": true, "certSecretName": "cert", "clientCASecretName": "ca"},
                "identity": {
                    "ldap": {"enabled": true, "url": "ldaps://dc.example.org:636", "startTLS": false, "allowPlaintext": false,
                        "nestedGroups": true, "insecureSkipVerify": false, "baseDN": "dc=example,dc=org", "bindDN": "cn=svc",
                        "bindPasswordSecretRef": reference, "userAttr": "uid", "realm": "EXAMPLE.ORG", "idmap": "rfc2307", "caCertFile": "/ca.pem"},
                    "kerberos": {"enabled": true, "servicePrincipal": "nfs/files@EXAMPLE.ORG", "realm": "EXAMPLE.ORG",
                        "netbiosDomain": "EXAMPLE", "dnsDomain": "example.org", "keytabSecretRef": reference,
                        "krb5ConfSecretRef": reference,
                        "machineAccount": {"enabled": true, "accountName": "FILES$", "secretRef": reference,
                            "keytabSecretRef": reference, "dcAddress": ["10.0.0.1"]}}}}),
            json!({"storage": {"metadataSize": "10Gi"}, "identity": {"kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y",
                "keytabSecretRef": reference, "krb5Conf": "/etc/krb5.conf"}}}),
            json!({"storage": {"metadataSize": "10Gi"}, "percona": {"enabled": true, "deleteWithServer": false, "replicas": 3,
                "storageSize": "10Gi", "storageClassName": "standard", "databaseName": "dittofs",
                "backup": {"enabled": true, "credentialsSecretRef": {"name": "s3"}, "bucket": "b", "endpoint": "s3.example.org",
                    "region": "eu-west-1", "fullSchedule": "0 2 * * *", "incrSchedule": "0 * * * *", "retentionDays": 7}}}),
        ] {
            let mut manifest = world.manifest(json!({}));
            manifest["spec"] = spec.clone();
            if let Some(said) = refusal(world, manifest).await? {
                failures.push(format!("{spec} is refused: {said}"));
            }
        }
        none_failed(&failures)
    })
}

#[test]
fn defaults_are_those_of_the_predecessor_but_for_the_image() -> Outcome {
    scenario("defaults", Pods::None, async |world| {
        let mut manifest = world.manifest(json!({}));
        manifest["spec"] =
            json!({"storage": {"metadataSize": "10Gi"}, "metrics": {}, "identity": {"jwt": {}}});
        let server: DynamicObject = {
            let object = serde_json::from_value(manifest)?;
            world
                .objects(&ApiResource::erase::<DittoServer>(&()))
                .create(&PostParams::default(), &object)
                .await?
        };
        for (pointer, value) in [
            ("/spec/replicas", json!(1)),
            ("/spec/storage/controlPlaneSize", json!("1Gi")),
            ("/spec/controlPlane/port", json!(8080)),
            ("/spec/adapterDiscovery/pollingInterval", json!("30s")),
            ("/spec/service/type", json!("ClusterIP")),
            ("/spec/metrics/port", json!(9090)),
            ("/spec/metrics/path", json!("/metrics")),
            ("/spec/identity/jwt/accessTokenDuration", json!("15m")),
            ("/spec/identity/jwt/refreshTokenDuration", json!("168h")),
        ] {
            let found = server.data.pointer(pointer);
            ensure!(
                found == Some(&value),
                "{pointer} is {found:?} instead of {value}"
            );
        }
        let image = server.data["spec"]["image"].as_str().context("no image")?;
        ensure!(
            !image.ends_with(":latest") && image.contains(':'),
            "{image} is no pinned release"
        );
        Ok(())
    })
}

/// A rule that nobody has seen refuse anything may refuse nothing.
#[test]
fn every_rule_of_the_schema_is_tried() -> Outcome {
    fn messages(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for rule in fields
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    found.extend(rule["message"].as_str().map(str::to_owned));
                    if rule["message"].is_null() {
                        found.push(format!("no message: {}", rule["rule"]));
                    }
                }
                fields.values().for_each(|value| messages(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    yaml_of("deploy/crds/dittoservers.yaml")?
        .iter()
        .for_each(|document| messages(document, &mut found));
    let changes = violations::changes().into_iter().map(|case| case.1);
    let rows = settings::rows()?;
    let tried: Vec<&str> = violations::all()
        .into_iter()
        .map(|case| case.message)
        .chain(changes)
        .chain(rows.iter().filter_map(|row| row.message.as_deref()))
        .collect();
    let untried: Vec<String> = found
        .into_iter()
        .filter(|message| !tried.iter().any(|tried| message.contains(tried)))
        .collect();
    Ok(none_failed(&untried)?)
}
