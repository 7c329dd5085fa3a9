//! Manifests as people wrote them for the Go operator, every field of it among them.

use serde_json::{Value, json};

/// Whole specs; each is taken.
#[must_use]
pub fn all() -> Vec<Value> {
    let reference = json!({"name": "s", "key": "k"});

    vec![
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
    ]
}
