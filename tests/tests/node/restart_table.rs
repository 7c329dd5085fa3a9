//! The table of what restarts a server and what does not, each row tried on a real pod: every kind
//! of Secret value, and every field of the spec that the pod could depend on.

use anyhow::{Context, Result, ensure};
use api_types::DittoServerSpec;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cluster_tests::certificates::Authority;
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::world::{merge, none_failed};
use cluster_tests::{Controller, Outcome, PodLog, Pods, World, scenario, until};
use configgen::{Effect, InputKind};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::Patch;
use serde_json::{Map, Value, json};

/// Servers that start or restart at the same time.
const AT_ONCE: usize = 8;

/// How many pods a change costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Once,
    Never,
}

/// Values of a Secret, by key.
type Values = Vec<(&'static str, Vec<u8>)>;

/// What somebody changes.
enum Change {
    Spec(Value),
    /// The Secret of this name.
    Secret(String, Values),
}

/// One server, what it is made of, and a change of it.
struct Row {
    /// Name of the server.
    name: &'static str,
    secrets: Vec<(String, Values)>,
    spec: Value,
    changes: Vec<Change>,
    cost: Cost,
    /// Whether the real server starts with it: what it needs beside the pod may not be there.
    starts: bool,
}

impl Row {
    /// A server with one Secret of its own name, of which values change to `new`.
    fn secret(name: &'static str, values: Values, new: Values) -> Self {
        Row {
            name,
            secrets: vec![(name.to_owned(), values)],
            spec: json!({}),
            changes: vec![Change::Secret(name.to_owned(), new)],
            cost: Cost::Once,
            starts: true,
        }
    }

    fn with(self, spec: Value) -> Self {
        Row { spec, ..self }
    }

    /// A server of which fields change.
    fn fields(name: &'static str, cost: Cost, changes: impl IntoIterator<Item = Value>) -> Self {
        Row {
            name,
            secrets: Vec::new(),
            spec: json!({}),
            changes: changes
                .into_iter()
                .map(|spec| Change::Spec(json!({ "spec": spec })))
                .collect(),
            cost,
            starts: true,
        }
    }
}

/// The row of a kind of Secret value. A new kind does not compile before it has one.
fn of_input(kind: InputKind) -> Result<Row> {
    let reference = |name: &str| json!({"name": name, "key": "k"});
    let one = |value: &str| vec![("k", value.as_bytes().to_vec())];
    let kerberos = |name: &str, more: Value| {
        let mut kerberos = json!({"enabled": true, "servicePrincipal": "nfs/files.example.org@EXAMPLE.ORG",
            "keytabSecretRef": {"name": name, "key": "keytab"}, "krb5ConfSecretRef": {"name": name, "key": "conf"}});
        merge(&mut kerberos, more);
        json!({"identity": {"kerberos": kerberos}})
    };
    let conf = |realm: &str| format!("[libdefaults]\n default_realm = {realm}\n").into_bytes();
    let with_keytab = |value: &[u8]| {
        vec![
            ("keytab", keytab(1)),
            ("conf", conf("EXAMPLE.ORG")),
            ("k", value.to_vec()),
        ]
    };
    let machine = |more: Value| {
        let mut account =
            json!({"enabled": true, "accountName": "FILES$", "dcAddress": ["127.0.0.1"]});
        merge(&mut account, more);
        json!({ "machineAccount": account })
    };
    let mut row = match kind {
        InputKind::TokenKey => Row::secret("token-key", one(&"a".repeat(32)), one(&"b".repeat(32)))
            .with(json!({"identity": {"jwt": {"secretRef": reference("token-key")}}})),
        InputKind::AdminPassword => {
            Row::secret("admin", one("first-password"), one("second-password")).with(
                json!({"identity": {"admin": {"passwordSecretRef": reference("admin")}}}),
            )
        }
        InputKind::DatabaseConnection => {
            let connection = [
                ("host", "127.0.0.1"),
                ("port", "1"),
                ("database", "dittofs"),
                ("user", "dittofs"),
                ("password", "one"),
            ];
            let values = connection
                .into_iter()
                .map(|(key, value)| (key, value.as_bytes().to_vec()));
            Row {
                // No PostgreSQL is there: the pod ends again and again, and is replaced all the same.
                starts: false,
                ..Row::secret("database", values.collect(), vec![("password", b"two".to_vec())]).with(
                    json!({"database": {"type": "postgres", "postgresSecretRef": reference("database")}}),
                )
            }
        }
        InputKind::ApiCertificate => {
            Row::secret("certificate", certificate()?, certificate()?)
                .with(json!({"controlPlane": {"certSecretName": "certificate"}}))
        }
        InputKind::ClientCa => {
            let authority =
                || anyhow::Ok(vec![("ca.crt", Authority::new("clients")?.pem.into_bytes())]);
            let mut row = Row::secret("client-ca", authority()?, authority()?).with(
                json!({"controlPlane": {"certSecretName": "client-ca-cert", "clientCASecretName": "client-ca"}}),
            );
            row.secrets.push(("client-ca-cert".to_owned(), certificate()?));
            row
        }
        InputKind::MetricsToken => Row::secret("metrics-token", one("one"), one("two")).with(
            json!({"metrics": {"enabled": true, "bearerTokenSecret": reference("metrics-token")}}),
        ),
        InputKind::MetricsCertificate => {
            Row::secret("metrics-certificate", certificate()?, certificate()?)
                .with(json!({"metrics": {"enabled": true, "certSecretName": "metrics-certificate"}}))
        }
        InputKind::NfsCertificate => Row::secret("nfs-certificate", certificate()?, certificate()?)
            .with(json!({"adapters": {"nfs": {"tls": {"secretName": "nfs-certificate"}}}})),
        InputKind::LdapPassword => Row::secret("ldap", one("one"), one("two")).with(
            json!({"identity": {"ldap": {"enabled": true, "url": "ldap://127.0.0.1:1", "allowPlaintext": true,
                "baseDN": "dc=example", "bindDN": "cn=files", "bindPasswordSecretRef": reference("ldap")}}}),
        ),
        InputKind::ServiceKeytab => Row::secret("keytab", with_keytab(b""), vec![("keytab", keytab(2))])
            .with(kerberos("keytab", json!({}))),
        InputKind::Krb5Conf => {
            Row::secret("krb5", with_keytab(b""), vec![("conf", conf("EXAMPLE.NET"))])
                .with(kerberos("krb5", json!({})))
        }
        InputKind::MachinePassword => Row::secret("machine", with_keytab(b"one"), one("two"))
            .with(kerberos("machine", machine(json!({"secretRef": reference("machine")})))),
        InputKind::MachineKeytab => {
            Row::secret("machine-keytab", with_keytab(&keytab(1)), vec![("k", keytab(2))]).with(kerberos(
                "machine-keytab",
                machine(json!({"keytabSecretRef": reference("machine-keytab")})),
            ))
        }
        InputKind::PodVariable => Row::secret("variable", one("one"), one("two")).with(
            json!({"pod": {"env": [{"name": "ANY", "valueFrom": {"secretKeyRef": reference("variable")}}]}}),
        ),
    };
    row.cost = match kind.effect() {
        Effect::Restart => Cost::Once,
        Effect::HotReload | Effect::Pushed | Effect::FirstStart => Cost::Never,
    };
    Ok(row)
}

/// The rows of the fields of a spec. A new field does not compile before somebody decides here.
fn of_fields(spec: DittoServerSpec) -> Vec<Row> {
    let DittoServerSpec {
        image: _,
        // It stops and starts the server.
        replicas: _,
        storage: _,
        database: _,
        control_plane: _,
        identity: _,
        adapter_discovery: _,
        adapter_services: _,
        adapters: _,
        service: _,
        network_policy: _,
        metrics: _,
        logging: _,
        // A part of the database.
        percona: _,
        shares: _,
        snapshot_policies: _,
        disruption: _,
        pod: _,
        resources: _,
        shutdown_timeout: _,
        termination_grace_period_seconds: _,
        progress_deadline_seconds: _,
        security_context: _,
        pod_security_context: _,
        // Refused while set.
        retired_nfs_port: _,
        retired_smb: _,
        retired_cache: _,
    } = spec;
    let once = |name, change| Row::fields(name, Cost::Once, [change]);
    vec![
        Row {
            starts: false,
            ..once(
                "image",
                json!({"image": "localhost/there-is-no-such-image:1"}),
            )
        },
        once(
            "sqlite",
            json!({"database": {"sqlite": {"path": "/data/controlplane/other.db"}}}),
        ),
        once("port", json!({"controlPlane": {"port": 8088}})),
        once(
            "tokens",
            json!({"identity": {"jwt": {"accessTokenDuration": "5m"}}}),
        ),
        once("metrics", json!({"metrics": {"enabled": true}})),
        once("logging", json!({"logging": {"level": "DEBUG"}})),
        once(
            "annotation",
            json!({"pod": {"annotations": {"example.org/restart": "now"}}}),
        ),
        once(
            "resources",
            json!({"resources": {"limits": {"memory": "512Mi"}}}),
        ),
        once("shutdown", json!({"shutdownTimeout": "1s"})),
        once("grace", json!({"terminationGracePeriodSeconds": 40})),
        once(
            "context",
            json!({"securityContext": {"readOnlyRootFilesystem": true, "privileged": false}}),
        ),
        once(
            "pod-context",
            json!({"podSecurityContext": {"supplementalGroups": [4711]}}),
        ),
        // Several fields in one edit are one restart.
        once(
            "together",
            json!({"logging": {"level": "DEBUG"}, "shutdownTimeout": "1s", "metrics": {"enabled": true}}),
        ),
        Row::fields(
            "never",
            Cost::Never,
            [
                json!({"adapterDiscovery": {"pollingInterval": "45s"}}),
                json!({"adapterServices": {"type": "NodePort", "annotations": {"a": "b"}}}),
                json!({"adapters": {"nfs": {"enabled": true, "port": 12050, "settings": {"leaseTime": 60, "udpEnabled": true, "portmapperEnabled": true}}}}),
                json!({"service": {"annotations": {"example.org/a": "b"}}}),
                json!({"service": {"type": "NodePort"}}),
                json!({"networkPolicy": {"apiFrom": [{"podSelector": {}}]}}),
                json!({"networkPolicy": {"enabled": false}}),
                json!({"disruption": "Block"}),
                json!({"progressDeadlineSeconds": 300}),
                json!({"snapshotPolicies": [{"share": "s", "interval": "1h"}]}),
                json!({"shares": {"allowedNamespaces": {"from": "All"}}}),
                json!({"storage": {"retentionPolicy": {"whenDeleted": "Delete"}}}),
                json!({"storage": {"retentionPolicy": {"whenDeleted": "Retain"}}}),
                json!({"identity": {"admin": {"username": "admin"}}}),
                json!({"controlPlane": {"tls": true}}),
                json!({"metrics": {"enabled": false, "port": 9999}}),
            ],
        ),
    ]
}

fn certificate() -> Result<Values> {
    let values = Authority::new("servers")?.secret(&["files.example.org"])?;
    let text = |key: &str| values[key].as_str().unwrap_or_default().as_bytes().to_vec();
    Ok(vec![
        ("tls.crt", text("tls.crt")),
        ("tls.key", text("tls.key")),
    ])
}

/// A keytab with one key of the service, of this version
/// (<https://web.mit.edu/kerberos/krb5-latest/doc/formats/keytab_file_format.html>).
pub(crate) fn keytab(version: u8) -> Vec<u8> {
    let counted = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap_or_default();
        [&length.to_be_bytes(), bytes].concat()
    };
    let entry = [
        &2_u16.to_be_bytes()[..],
        &counted(b"EXAMPLE.ORG"),
        &counted(b"nfs"),
        &counted(b"files.example.org"),
        // Name type KRB5_NT_PRINCIPAL, and the time.
        &1_u32.to_be_bytes(),
        &1_u32.to_be_bytes(),
        &[version],
        // aes256-cts-hmac-sha1-96
        &18_u16.to_be_bytes(),
        &counted(&[version; 32]),
    ]
    .concat();
    let length = u32::try_from(entry.len()).unwrap_or_default();
    [&[5, 2][..], &length.to_be_bytes(), &entry].concat()
}

fn data(values: &Values) -> Value {
    let encoded = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into()));
    Value::Object(encoded.collect::<Map<_, _>>())
}

/// Whether the kubelet says of `pod` that it serves.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Makes the server, changes it, and waits for the restart that it shall cost.
async fn play(world: &World, row: &Row) -> Result<()> {
    for (name, values) in &row.secrets {
        let manifest = json!({"metadata": {"name": name}, "data": data(values)});
        world.create_json::<Secret>(manifest).await?;
    }
    let manifest = world.manifest_of(row.name, row.spec.clone());
    world
        .create_json::<api_types::DittoServer>(manifest)
        .await?;
    // A row of a field starts as any server does.
    let begins = row.starts || row.secrets.is_empty();
    if begins {
        world
            .condition_of(row.name, "Available", "True", "PodServing")
            .await?;
        world
            .condition_of(row.name, "Progressing", "False", "RolloutComplete")
            .await?;
    }
    let before = another_pod(world, row.name, None)
        .await?
        .metadata
        .uid
        .context("a pod without a UID")?;
    for change in &row.changes {
        match change {
            Change::Spec(patch) => {
                world.change_of(row.name, patch.clone()).await?;
                world.observed(row.name).await?;
            }
            Change::Secret(name, values) => {
                let patch = Patch::Merge(json!({"data": data(values)}));
                let secrets = world.api::<Secret>();
                secrets.patch(name, &Default::default(), &patch).await?;
            }
        }
    }
    if row.cost == Cost::Once {
        another_pod(world, row.name, Some(&before)).await?;
        if row.starts {
            until(&format!("{} serves again", row.name), async || {
                let pod = pod_of(world, row.name).await?;
                Ok(if is_ready(&pod) {
                    Ok(())
                } else {
                    Err(format!("{:?}", pod.status))
                })
            })
            .await?;
            world
                .condition_of(row.name, "Progressing", "False", "RolloutComplete")
                .await?;
        }
    }
    Ok(())
}

/// What the row cost in the end.
async fn counted(world: &World, pods: &PodLog, row: &Row) -> Result<()> {
    let expected = match row.cost {
        Cost::Once => 2,
        Cost::Never => 1,
    };
    let count = pods.count(row.name);
    ensure!(count == expected, "{count} pods instead of {expected}");
    if row.starts {
        let restarts = container_of(&pod_of(world, row.name).await?)?.restart_count;
        ensure!(
            restarts == 0,
            "the container was restarted {restarts} times"
        );
    }
    Ok(())
}

#[test]
fn every_input_restarts_the_server_exactly_once_or_never() -> Outcome {
    scenario("table", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        let spec = serde_json::from_value(world.manifest(json!({}))["spec"].clone())?;
        let mut rows = of_fields(spec);
        for kind in InputKind::ALL {
            rows.push(of_input(kind)?);
        }
        let failures: Vec<String> = futures::stream::iter(&rows)
            .map(async |row| (row.name, play(world, row).await))
            .buffer_unordered(AT_ONCE)
            .filter_map(async |(name, played)| {
                played.err().map(|error| format!("{name}: {error:#}"))
            })
            .collect()
            .await;
        none_failed(&failures)?;
        controller.quiet().await?;
        let mut failures = Vec::new();
        for row in &rows {
            if let Err(error) = counted(world, &pods, row).await {
                failures.push(format!("{}: {error:#}", row.name));
            }
        }
        none_failed(&failures)
    })
}
