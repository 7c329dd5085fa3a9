//! Specs with a value that the schema does not take.

use serde_json::{Value, json};

/// Specs with one value out of bounds, each with the path that the refusal names.
#[must_use]
pub fn all() -> Vec<(Value, &'static str)> {
    let reference = |name: &str, key: &str| json!({"identity": {"jwt": {"secretRef": {"name": name, "key": key}}}});
    vec![
        (
            json!({"storage": {"metadataSize": null}}),
            "spec.storage.metadataSize",
        ),
        (json!({"storage": null}), "spec.storage"),
        (
            json!({"storage": {"metadataSize": "10G"}}),
            "spec.storage.metadataSize",
        ),
        (
            json!({"storage": {"metadataSize": "0Gi"}}),
            "spec.storage.metadataSize",
        ),
        (
            json!({"storage": {"storageClassName": ""}}),
            "spec.storage.storageClassName",
        ),
        (json!({"replicas": -1}), "spec.replicas"),
        (json!({"image": ""}), "spec.image"),
        (json!({"image": "a b"}), "spec.image"),
        (
            json!({"terminationGracePeriodSeconds": 10}),
            "spec.terminationGracePeriodSeconds",
        ),
        (json!({"shutdownTimeout": "soon"}), "spec.shutdownTimeout"),
        (
            json!({"controlPlane": {"port": 0}}),
            "spec.controlPlane.port",
        ),
        (
            json!({"controlPlane": {"port": 65536}}),
            "spec.controlPlane.port",
        ),
        (json!({"metrics": {"path": "metrics"}}), "spec.metrics.path"),
        (json!({"logging": {"level": "TRACE"}}), "spec.logging.level"),
        (json!({"logging": {"format": "xml"}}), "spec.logging.format"),
        (
            json!({"service": {"type": "ExternalName"}}),
            "spec.service.type",
        ),
        (
            json!({"adapterServices": {"type": "None"}}),
            "spec.adapterServices.type",
        ),
        (
            json!({"adapterDiscovery": {"pollingInterval": ""}}),
            "spec.adapterDiscovery.pollingInterval",
        ),
        (json!({"disruption": "Never"}), "spec.disruption"),
        (json!({"identity": {"type": "file"}}), "spec.identity.type"),
        (reference("", "k"), "spec.identity.jwt.secretRef.name"),
        (reference("s", ""), "spec.identity.jwt.secretRef.key"),
        (
            json!({"identity": {"jwt": {"secretRef": {"name": "s"}}}}),
            "spec.identity.jwt.secretRef.key",
        ),
        (
            json!({"identity": {"jwt": {"secretRef": {"key": "k"}}}}),
            "spec.identity.jwt.secretRef.name",
        ),
        (json!({"database": {"type": "mysql"}}), "spec.database.type"),
        (json!({"percona": {"replicas": 6}}), "spec.percona.replicas"),
        (
            json!({"database": {"percona": {"user": "with_underscore"}}}),
            "spec.database.percona.user",
        ),
        (
            json!({"database": {"percona": {"user": "Upper"}}}),
            "spec.database.percona.user",
        ),
        (
            json!({"database": {"percona": {"databaseName": "a".repeat(64)}}}),
            "spec.database.percona.databaseName",
        ),
        (
            json!({"database": {"percona": {"postgresVersion": 14}}}),
            "spec.database.percona.postgresVersion",
        ),
        (
            json!({"database": {"cloudnativePG": {"instances": 6}}}),
            "spec.database.cloudnativePG.instances",
        ),
        (
            json!({"database": {"secret": {"name": "s", "sslmode": "sometimes"}}}),
            "spec.database.secret.sslmode",
        ),
        (
            json!({"database": {"secret": {"name": "s"}, "metadataDatabases": ["Films"]}}),
            "spec.database.metadataDatabases[0]",
        ),
        (
            json!({"snapshotPolicies": [{"share": "a"}]}),
            "spec.snapshotPolicies[0].interval",
        ),
        (
            json!({"snapshotPolicies": [{"share": "a", "interval": "weekly"}]}),
            "spec.snapshotPolicies[0].interval",
        ),
        (
            json!({"shares": {"allowedNamespaces": {"from": "None"}}}),
            "spec.shares.allowedNamespaces.from",
        ),
        (
            json!({"shares": {"allowedNamespaces": {"from": "Selector",
                "selector": {"matchExpressions": vec![json!({"key": "a", "operator": "Exists"}); 65]}}}}),
            "spec.shares.allowedNamespaces.selector.matchExpressions",
        ),
    ]
}
