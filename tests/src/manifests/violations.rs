//! For every CEL rule of the schema, specs that break it.

use serde_json::{Value, json};

/// A name or spec that a rule refuses.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Name of the object; a good one when absent.
    pub name: Option<String>,
    /// Fields of the spec.
    pub spec: Value,
    /// Part of the rule's message.
    pub message: &'static str,
}

fn named(name: &str) -> Violation {
    Violation {
        name: Some(name.to_owned()),
        spec: json!({}),
        message: "metadata.name must begin with a letter",
    }
}

fn spec(spec: Value, message: &'static str) -> Violation {
    Violation {
        name: None,
        spec,
        message,
    }
}

fn identity(identity: Value, message: &'static str) -> Violation {
    spec(json!({ "identity": identity }), message)
}

fn ldap(more: Value, message: &'static str) -> Violation {
    let mut ldap = json!({"enabled": true, "url": "ldaps://dc", "baseDN": "dc=x", "bindDN": "cn=y",
        "bindPasswordSecretRef": {"name": "s", "key": "k"}});
    crate::world::merge(&mut ldap, more);
    identity(json!({ "ldap": ldap }), message)
}

/// Changes of the control-plane database: before, after, and what is said against it.
#[must_use]
pub fn changed_databases() -> Vec<(Value, Value, Option<&'static str>)> {
    let kind = Some("the kind of the control-plane database cannot be changed");
    let fixed = Some("databaseName");
    let image = Some("imageName cannot be taken away");
    let shrinks = Some("storageSize cannot shrink");
    let of = |database: Value| json!({ "database": database });
    let secret = json!({"secret": {"name": "s"}});
    let older = json!({"postgresSecretRef": {"name": "s", "key": "k"}});
    vec![
        (json!({}), of(secret.clone()), kind),
        (of(secret.clone()), json!({}), kind),
        (
            of(json!({"percona": {}})),
            of(json!({"cloudnativePG": {}})),
            kind,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"cloudnativePG": {}, "migratedFrom": "secret"})),
            kind,
        ),
        (json!({}), json!({"percona": {"enabled": true}}), kind),
        (
            json!({"percona": {"enabled": true}}),
            json!({"percona": {"enabled": true, "databaseName": "other"}}),
            fixed,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"percona": {"user": "other"}})),
            fixed,
        ),
        (
            of(json!({"cloudnativePG": {"imageName": "postgresql:18"}})),
            of(json!({"cloudnativePG": {}})),
            image,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"cloudnativePG": {}, "migratedFrom": "percona"})),
            None,
        ),
        (
            json!({}),
            of(json!({"percona": {}, "migratedFrom": "sqlite"})),
            None,
        ),
        // The same kind in other words.
        (of(older), of(secret), None),
        (
            json!({"percona": {"enabled": true}}),
            json!({"percona": {"enabled": true}, "database": {"percona": {}, "migratedFrom": "sqlite"}}),
            None,
        ),
        // What such a server really uses only the controller knows.
        (
            json!({"percona": {"enabled": true}}),
            json!({"percona": {"enabled": false}}),
            None,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"percona": {"databaseName": "other"}})),
            fixed,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"percona": {"clusterRef": {"name": "c"}}})),
            fixed,
        ),
        (
            of(json!({"cloudnativePG": {}})),
            of(json!({"cloudnativePG": {"databaseName": "other"}})),
            fixed,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"percona": {"storageSize": "9Gi"}})),
            shrinks,
        ),
        (
            of(json!({"cloudnativePG": {"storageSize": "1Ti"}})),
            of(json!({"cloudnativePG": {"storageSize": "1000Gi"}})),
            shrinks,
        ),
        (
            json!({"percona": {"enabled": true, "storageSize": "20Gi"}}),
            json!({"percona": {"enabled": true}}),
            shrinks,
        ),
        (
            of(json!({"percona": {"storageSize": "1Gi"}})),
            of(json!({"percona": {"storageSize": "2000Mi"}})),
            None,
        ),
        // There is no cluster yet.
        (
            json!({"percona": {"enabled": false, "storageSize": "20Gi"}}),
            json!({"percona": {"enabled": false, "storageSize": "5Gi"}}),
            None,
        ),
        (
            of(json!({"percona": {}})),
            of(json!({"percona": {"replicas": 3}})),
            None,
        ),
    ]
}

/// Changes of `spec.storage`, from volumes of 1Gi in the class `expandable`, that break a rule about
/// changes.
#[must_use]
pub fn changes() -> Vec<(Value, &'static str)> {
    let class = "storageClassName cannot be changed";
    let content = "contentSize cannot shrink";
    vec![
        (json!({"storageClassName": "standard"}), class),
        (json!({"storageClassName": null}), class),
        (
            json!({"contentSize": null}),
            "contentSize cannot be added or removed later",
        ),
        (json!({"contentSize": "1023Mi"}), content),
        (
            json!({"metadataSize": "512Mi"}),
            "metadataSize cannot shrink",
        ),
        (
            json!({"controlPlaneSize": "512Mi"}),
            "controlPlaneSize cannot shrink",
        ),
        (
            json!({"metadataSize": "2Gi", "contentSize": "512Mi"}),
            content,
        ),
    ]
}

/// Every rule that needs no earlier object is broken at least once.
#[must_use]
pub fn all() -> Vec<Violation> {
    let reference = json!({"name": "s", "key": "k"});
    let optional = json!({"name": "s", "key": "k", "optional": true});
    vec![
        named(&"a".repeat(51)),
        named("1st"),
        named("a.b"),
        spec(json!({"replicas": 2}), "the server has no clustering"),
        spec(json!({"nfsPort": 2049}), "nfsPort is retired"),
        spec(json!({"smb": {"port": 445}}), "smb is retired"),
        spec(json!({"cache": {"size": "1Gi"}}), "cache is retired"),
        spec(
            json!({"shutdownTimeout": "500ms"}),
            "must be between 1s and 1h",
        ),
        spec(
            json!({"shutdownTimeout": "2h"}),
            "must be between 1s and 1h",
        ),
        spec(
            json!({"metrics": {"serviceMonitor": {"interval": "10s", "scrapeTimeout": "11s"}}}),
            "scrapeTimeout must not be longer than interval",
        ),
        spec(
            json!({"metrics": {"serviceMonitor": {"interval": "0s"}}}),
            "must be at least 1s",
        ),
        spec(
            json!({"metrics": {"serviceMonitor": {"scrapeTimeout": "0s"}}}),
            "must be longer than 0s",
        ),
        spec(
            json!({"database": {"type": "postgres"}}),
            "type postgres needs postgresSecretRef",
        ),
        spec(
            json!({"database": {"type": "sqlite", "postgresSecretRef": reference}}),
            "type sqlite and postgresSecretRef exclude each other",
        ),
        spec(
            json!({"database": {"secret": {"name": "s"}, "percona": {}}}),
            "postgresSecretRef, secret, percona and cloudnativePG exclude each other",
        ),
        spec(
            json!({"database": {"sqlite": {}, "cloudnativePG": {}}}),
            "sqlite excludes secret, percona and cloudnativePG",
        ),
        spec(
            json!({"percona": {"enabled": true}, "database": {"secret": {"name": "s"}}}),
            "percona excludes database.secret and database.cloudnativePG",
        ),
        spec(
            json!({"database": {"percona": {"sslmode": "disable"}}}),
            "sslmode must be require, verify-ca or verify-full",
        ),
        spec(
            json!({"database": {"cloudnativePG": {"sslmode": "prefer"}}}),
            "sslmode must be require, verify-ca or verify-full",
        ),
        spec(
            json!({"database": {"percona": {"user": "postgres"}}}),
            "user must not be postgres, monitor or logicalrepl",
        ),
        spec(
            json!({"database": {"percona": {"clusterRef": {"name": "c"}, "deletionPolicy": "Delete"}}}),
            "backup, resources and deletionPolicy Delete belong to a cluster that the operator makes",
        ),
        spec(
            json!({"database": {"cloudnativePG": {"clusterRef": {"name": "c"}, "deletionPolicy": "Delete"}}}),
            "deletionPolicy Delete belongs to a cluster that the operator makes",
        ),
        spec(
            json!({"database": {"percona": {"backup": {"enabled": true}}}}),
            "backups need bucket, endpoint and credentialsSecretRef",
        ),
        spec(
            json!({"database": {"metadataDatabases": ["films"]}}),
            "metadataDatabases needs secret, percona or cloudnativePG",
        ),
        spec(
            json!({"database": {"percona": {"databaseName": "files"}, "metadataDatabases": ["films", "files"]}}),
            "metadataDatabases must not name the database of the control plane",
        ),
        Violation {
            name: Some("a".repeat(29)),
            spec: json!({"database": {"percona": {}}}),
            message: "at most 28 characters with a PerconaPGCluster of its own",
        },
        Violation {
            name: Some("a".repeat(42)),
            spec: json!({"database": {"cloudnativePG": {}}}),
            message: "at most 41 with a Cluster of CloudNativePG",
        },
        spec(
            json!({"database": {"sqlite": {"path": "/tmp/x.db"}}}),
            "must be a file under /data/controlplane/",
        ),
        spec(
            json!({"database": {"sqlite": {"path": "/data/controlplane/../x.db"}}}),
            "must be a file under /data/controlplane/",
        ),
        spec(
            json!({"percona": {"enabled": true}, "database": {"postgresSecretRef": reference}}),
            "percona and database.postgresSecretRef exclude each other",
        ),
        spec(
            json!({"percona": {"enabled": true, "backup": {"enabled": true}}}),
            "backups need bucket, endpoint and credentialsSecretRef",
        ),
        spec(
            json!({"metrics": {"enabled": true, "port": 8080}}),
            "controlPlane.port and metrics.port must differ",
        ),
        spec(
            json!({"metrics": {"enabled": true}, "controlPlane": {"port": 9090}}),
            "controlPlane.port and metrics.port must differ",
        ),
        spec(
            json!({"controlPlane": {"port": 12049}}),
            "choose another API port",
        ),
        spec(
            json!({"metrics": {"port": 1445}}),
            "choose another metrics port",
        ),
        spec(
            json!({"controlPlane": {"clientCASecretName": "ca"}}),
            "clientCASecretName (mutual TLS) needs certSecretName",
        ),
        spec(
            json!({"adapterDiscovery": {"pollingInterval": "5s"}}),
            "must be at least 10s",
        ),
        spec(
            json!({"logging": {"output": "/var/log/dfs.log"}}),
            "must be stdout, stderr, or a file under",
        ),
        identity(
            json!({"jwt": {"accessTokenDuration": "30s"}}),
            "must be at least 1m",
        ),
        identity(
            json!({"jwt": {"refreshTokenDuration": "1m"}}),
            "must be at least 5m",
        ),
        identity(
            json!({"jwt": {"secretRef": optional}}),
            "optional references are not supported",
        ),
        identity(
            json!({"admin": {"username": "root"}}),
            "the server's first account is always called admin",
        ),
        ldap(
            json!({"bindPasswordSecretRef": null}),
            "LDAP needs bindPasswordSecretRef",
        ),
        ldap(json!({"url": "ldap://dc"}), "an ldap:// URL needs startTLS"),
        ldap(
            json!({"url": "http://directory"}),
            "must begin with ldap:// or ldaps://",
        ),
        identity(
            json!({"kerberos": {"enabled": true, "servicePrincipal": "nfs/x"}}),
            "keytabSecretRef",
        ),
        identity(
            json!({"kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y", "keytabSecretRef": reference,
            "krb5Conf": "/etc/krb5.conf", "krb5ConfSecretRef": reference}}),
            "krb5Conf and krb5ConfSecretRef exclude each other",
        ),
        identity(
            json!({"kerberos": {"enabled": true, "servicePrincipal": "nfs/x@Y", "keytabSecretRef": reference,
            "machineAccount": {"enabled": true}}}),
            "a machine account needs accountName",
        ),
    ]
    .into_iter()
    .chain(optional_references())
    .chain(services())
    .chain(shares())
    .chain(adapters())
    .chain(pods())
    .collect()
}

/// An optional reference wherever the spec has a reference.
fn optional_references() -> impl Iterator<Item = Violation> {
    let optional = json!({"name": "s", "key": "k", "optional": true});
    let kerberos = |more: Value| {
        let mut kerberos = json!({"servicePrincipal": "nfs/x@Y"});
        crate::world::merge(&mut kerberos, more);
        json!({"identity": {"kerberos": kerberos}})
    };
    [
        json!({"database": {"type": "postgres", "postgresSecretRef": optional}}),
        json!({"database": {"secret": {"name": "s", "caSecretRef": optional}}}),
        json!({"metrics": {"bearerTokenSecret": optional}}),
        json!({"identity": {"admin": {"passwordSecretRef": optional}}}),
        json!({"identity": {"ldap": {"url": "ldaps://dc", "baseDN": "dc=x", "bindDN": "cn=y", "bindPasswordSecretRef": optional}}}),
        kerberos(json!({"keytabSecretRef": optional})),
        kerberos(json!({"krb5ConfSecretRef": optional})),
        kerberos(json!({"machineAccount": {"secretRef": optional}})),
        kerberos(json!({"machineAccount": {"keytabSecretRef": optional}})),
    ]
    .into_iter()
    .map(|case| spec(case, "optional references are not supported"))
}

/// The settings of Services, which the API's and the adapters' share, and the peers of policies.
fn services() -> impl Iterator<Item = Violation> {
    let of_both = ["service", "adapterServices"]
        .into_iter()
        .flat_map(|field| {
            let case = |settings: Value, message| spec(json!({ field: settings }), message);
            [
                case(
                    json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
                    "loadBalancerSourceRanges and loadBalancerClass need type LoadBalancer",
                ),
                case(
                    json!({"externalTrafficPolicy": "Local"}),
                    "externalTrafficPolicy needs type NodePort or LoadBalancer",
                ),
                case(
                    json!({"ipFamilies": ["IPv4", "IPv6"]}),
                    "two ipFamilies need ipFamilyPolicy",
                ),
            ]
        });
    let policies = ["apiFrom", "metricsFrom", "adaptersFrom"].map(|field| {
        spec(
            json!({"networkPolicy": { field: [{}] }}),
            "each peer needs either ipBlock",
        )
    });
    let port = spec(
        json!({"service": {"nodePort": 30080}}),
        "nodePort needs type NodePort or LoadBalancer",
    );
    of_both.chain(policies).chain([port])
}

/// Who may have shares on the server.
fn shares() -> impl Iterator<Item = Violation> {
    let either = "from Selector needs selector, and no other has one";
    let operators = "the operators of matchExpressions are In and NotIn with values";
    let expression = |expression: Value| json!({"from": "Selector", "selector": {"matchExpressions": [expression]}});
    [
        (json!({"from": "Selector"}), either),
        (json!({"selector": {"matchLabels": {"a": "b"}}}), either),
        (json!({"from": "All", "selector": {}}), either),
        (
            expression(json!({"key": "a", "operator": "in", "values": ["b"]})),
            operators,
        ),
        (expression(json!({"key": "a", "operator": "In"})), operators),
        (
            expression(json!({"key": "a", "operator": "NotIn", "values": []})),
            operators,
        ),
        (
            expression(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            operators,
        ),
    ]
    .into_iter()
    .map(|(allowed, message)| spec(json!({"shares": {"allowedNamespaces": allowed}}), message))
}

/// The protocol adapters, how they are asked about, and what is different for the Service of one.
fn adapters() -> impl Iterator<Item = Violation> {
    let different = |more: Value| {
        let mut one = json!({"adapter": "nfs"});
        crate::world::merge(&mut one, more);
        json!({"adapterServices": {"overrides": [one]}})
    };
    [
        (
            json!({"adapterDiscovery": {"pendingInterval": "500ms"}}),
            "must be between 1s and 1m",
        ),
        (
            json!({"adapters": {"nfs": {"port": 2049}, "smb": {"port": 2049}}}),
            "nfs.port and smb.port must differ",
        ),
        (
            json!({"adapters": {"smb": {"port": 8080}}}),
            "must differ from controlPlane.port and metrics.port",
        ),
        (
            json!({"adapters": {"nfs": {"settings": {"minVersion": "4.0", "maxVersion": "3"}}}}),
            "minVersion must not be above maxVersion",
        ),
        (
            json!({"adapters": {"smb": {"settings": {"minDialect": "SMB3.0", "maxDialect": "SMB2.1"}}}}),
            "minDialect must not be above maxDialect",
        ),
        (
            different(json!({"loadBalancerIP": "10.0.0.1"})),
            "loadBalancerIP of an override need type LoadBalancer",
        ),
        (
            different(json!({"nodePort": 30049})),
            "nodePort and externalTrafficPolicy of an override need type NodePort or LoadBalancer",
        ),
        (
            different(json!({"ipFamilies": ["IPv4", "IPv6"]})),
            "two ipFamilies need ipFamilyPolicy",
        ),
    ]
    .into_iter()
    .map(|(case, message)| spec(case, message))
}

/// The settings of the pod.
fn pods() -> impl Iterator<Item = Violation> {
    let mount = |path: &str| json!({"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": path}]});
    let variable = |name: &str| json!({"env": [{"name": name, "value": "x"}]});
    let nameless = json!({"secretKeyRef": {"name": "", "key": "k"}});
    [
        (
            json!({"dnsPolicy": "None"}),
            "dnsPolicy None needs dnsConfig.nameservers",
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
            "must name one of pod.volumes",
        ),
        (
            json!({"annotations": {"/x": "x"}}),
            "each key must be a name",
        ),
        (
            json!({"annotations": {"dittofs.io/x": "x"}}),
            "annotations of dittofs.io are the operator's",
        ),
        (json!({"labels": {"a b": "x"}}), "each key must be a name"),
        (json!({"labels": {"app": "x"}}), "are the operator's"),
        (
            variable("AWS_CA_BUNDLE"),
            "AWS_CA_BUNDLE makes every S3 store",
        ),
        (
            variable("KRB5_CONFIG"),
            "this variable is set by the operator",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": nameless}]}),
            "secretKeyRef.name must be the name of a Secret",
        ),
        (mount("relative"), "mountPath must be an absolute path"),
        (mount("/config"), "one of the server's own folders"),
        (
            json!({"volumes": [{"name": "metadata", "emptyDir": {}}]}),
            "a volume of this name is the operator's own",
        ),
        (json!({"volumes": [{"name": "v"}]}), "exactly one source"),
    ]
    .into_iter()
    .map(|(pod, message)| spec(json!({ "pod": pod }), message))
}
