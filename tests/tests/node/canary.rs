//! No value of a Secret leaves the Secrets: planted words are looked for wherever the controllers write.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cluster_tests::backends::s3::S3;
use cluster_tests::certificates::Authority;
use cluster_tests::kubectl::kubectl;
use cluster_tests::process::Process;
use cluster_tests::scrape::Scrape;
use cluster_tests::world::{none_failed, run};
use cluster_tests::{Outcome, Pods, SERVER, World, adapters, random, scenario, shares, until};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use rustix::process::Signal;
use serde_json::{Value, json};

/// As much as the controllers themselves can be made to say.
const LEVEL: &str = "info,server_controller=debug,adapter_controller=debug,share_controller=debug,controller_runtime=debug,adapter_client=debug";

/// Every kind that a controller writes, or writes about, but Secrets.
const KINDS: &str = "dittoservers,dittofsshares,configmaps,events,events.events.k8s.io,statefulsets,controllerrevisions,services,networkpolicies,poddisruptionbudgets,pods,persistentvolumeclaims,leases";

/// The parts of Secrets that are public.
const PUBLIC: [&str; 6] = [
    "ca.crt",
    "tls.crt",
    "host",
    "database",
    "user",
    "accessKeyID",
];

/// What may be found nowhere, and what it is.
#[derive(Default)]
struct Hidden(BTreeMap<String, String>);

impl Hidden {
    /// Takes in every value of every Secret of the namespace that is long enough to be told from other text.
    async fn look(&mut self, world: &World) -> Result<()> {
        for secret in world.api::<Secret>().list(&Default::default()).await? {
            let name = secret.metadata.name.unwrap_or_default();
            for (key, value) in secret.data.unwrap_or_default() {
                if PUBLIC.contains(&key.as_str()) {
                    continue;
                }
                let what = format!("{key} of Secret {name}");
                let encoded = BASE64_STANDARD.encode(&value.0);
                // One line of a key tells as much as all of them.
                let text = String::from_utf8_lossy(&value.0);
                let lines = text.lines().filter(|line| !line.starts_with("-----"));
                for form in lines.map(str::to_owned).chain([encoded]) {
                    if form.len() >= 8 {
                        self.0.insert(form, what.clone());
                    }
                }
            }
        }
        // What every token of a server begins with.
        self.0.insert("eyJhbGciOi".to_owned(), "a token".to_owned());
        Ok(())
    }
}

struct Running {
    name: &'static str,
    process: Process,
    metrics: Scrape,
}

fn start(world: &World, name: &'static str) -> Result<Running> {
    let metrics = Scrape::new()?;
    let address = metrics.address();
    let arguments = [
        "--namespace",
        &world.namespace,
        "--http-address",
        &address,
        "--log-level",
        LEVEL,
    ];
    let process = Process::start(name, None, &arguments)?;
    Ok(Running {
        name,
        process,
        metrics,
    })
}

/// The last words of a controller that crashes while it has Secrets in its memory.
async fn aborted(world: &World, name: &'static str) -> Result<(String, String)> {
    let mut running = start(world, name)?;
    let visits = "reconciles_total{result=\"ok\"}";
    running
        .metrics
        .becomes(visits, |now| now > Some(0.0))
        .await?;
    running.process.signal(Signal::ABORT)?;
    let status = running.process.ended().await?;
    ensure!(status.signal() == Some(Signal::ABORT.as_raw()), "{status}");
    Ok((format!("last words of {name}"), running.process.said()))
}

fn word(what: &str) -> Result<String> {
    Ok(format!(
        "canary-{what}-0123456789abcdef-{}",
        random::suffix()?
    ))
}

/// Plants all kinds of Secrets that the specs know, each with a value of its own.
async fn plant(world: &World, s3: &S3) -> Result<()> {
    for (name, key) in [
        ("admin", "password"),
        ("jwt", "key"),
        ("ldap", "password"),
        ("machine", "password"),
        ("keytab", "keytab"),
        ("bearer", "token"),
        ("person", "password"),
    ] {
        let mut value = json!({});
        value[key] = word(name)?.into();
        world.secret(name, value).await?;
    }
    let database = json!({"host": "127.0.0.1", "port": "1", "database": "films", "user": "films",
        "password": word("database")?});
    world.secret("database", database).await?;
    let certificate = Authority::new("one")?.secret(&["files.example.org"])?;
    world.secret("cert", certificate).await?;
    world.secret("s3", s3.secret()).await?;
    Ok(())
}

/// A server that cannot work: what is wrong with its Secrets is told in words.
fn broken(world: &World) -> Value {
    let reference = |name: &str, key: &str| json!({"name": name, "key": key});
    world.manifest_of(
        "broken",
        json!({
            "database": {"type": "postgres", "postgresSecretRef": reference("database", "password")},
            "metrics": {"enabled": true, "bearerTokenSecret": reference("bearer", "token")},
            "identity": {
                "jwt": {"secretRef": reference("person", "password")},
                "kerberos": {
                    "enabled": true, "servicePrincipal": "nfs/files.example.org@EXAMPLE.ORG",
                    "keytabSecretRef": reference("keytab", "keytab"),
                    "machineAccount": {"enabled": true, "accountName": "FILES$",
                        "secretRef": reference("machine", "password")},
                },
            },
        }),
    )
}

#[test]
fn planted_secrets_are_in_no_log_event_status_object_metric_or_last_words() -> Outcome {
    scenario("canary", Pods::Run, async |world| {
        let mut s3 = S3::new(world)?;
        s3.start().await?;
        plant(world, &s3).await?;
        let mut hidden = Hidden::default();
        hidden.look(world).await?;
        let controllers = [
            start(world, "server-controller")?,
            start(world, "adapter-controller")?,
            start(world, "share-controller")?,
        ];

        let ldap = json!({"enabled": true, "url": "ldaps://127.0.0.1:1", "baseDN": "dc=example",
            "bindDN": "cn=files", "bindPasswordSecretRef": {"name": "ldap", "key": "password"}});
        let mut spec = adapters::fast();
        cluster_tests::world::merge(
            &mut spec,
            json!({
                "identity": {
                    "admin": {"passwordSecretRef": {"name": "admin", "key": "password"}},
                    "jwt": {"secretRef": {"name": "jwt", "key": "key"}},
                    "ldap": ldap,
                },
                "adapters": {"nfs": {"tls": {"secretName": "cert"}}},
            }),
        );
        world.serve(spec).await?;
        world
            .create_json::<api_types::DittoServer>(broken(world))
            .await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        world.observed("broken").await?;
        let films = json!({
            "blockStore": {"remote": s3.remote("s3")},
            "access": {"users": [{"name": "person", "permission": "read",
                "passwordSecretRef": {"name": "person", "key": "password"}}]},
        });
        shares::ready_made(world, "films", films).await?;
        hidden.look(world).await?;

        // New values, some of them refused, and a store that does not answer.
        let secrets = world.api::<Secret>();
        for (name, key) in [
            ("ldap", "password"),
            ("person", "password"),
            ("s3", "secretAccessKey"),
        ] {
            let mut value = json!({});
            value[key] = word("rotated")?.into();
            let patch = Patch::Merge(json!({ "stringData": value }));
            secrets.patch(name, &Default::default(), &patch).await?;
        }
        s3.stop().await?;
        let refused = json!({"spec": {"identity": {"ldap": {"url": "ldaps://"}}}});
        world.change(refused).await?;
        let looked = "polls_total{result=\"ok\"}";
        for running in &controllers[1..] {
            let before = running.metrics.value(looked).await?;
            running.metrics.becomes(looked, |now| now > before).await?;
        }
        hidden.look(world).await?;
        ensure!(hidden.0.len() >= 24, "{} values", hidden.0.len());

        let mut places = Vec::new();
        for mut running in controllers {
            places.push((
                format!("metrics of {}", running.name),
                running.metrics.text().await?,
            ));
            running.process.signal(Signal::TERM)?;
            running.process.ended().await?;
            let said = running.process.said();
            speaks_of_visits(running.name, &said)?;
            places.push((format!("log of {}", running.name), said));
            places.push(aborted(world, running.name).await?);
        }
        let pod = api_types::names::pod(SERVER);
        let log = [
            "logs",
            "-n",
            &world.namespace,
            &pod,
            "--all-containers",
            "--tail=-1",
        ];
        places.push((
            "log of the file server".to_owned(),
            kubectl(&log, "").await?,
        ));
        let objects = [
            "get",
            KINDS,
            "-n",
            &world.namespace,
            "-o",
            "json",
            "--show-managed-fields",
        ];
        places.push(("an object".to_owned(), kubectl(&objects, "").await?));
        let mut failures = Vec::new();
        for (place, text) in &places {
            ensure!(text.len() > 200, "{place} is almost empty: {text}");
            for (value, what) in &hidden.0 {
                if text.contains(value) {
                    failures.push(format!("{what}: in {place}"));
                }
            }
        }
        none_failed(&failures)
    })
}

/// Lines about an object say in which visit, or in which look at a server, they were written.
fn speaks_of_visits(name: &str, log: &str) -> Result<()> {
    let mut visits = 0;
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            anyhow::bail!("{name} says what is no log line: {line}");
        };
        let span = &line["span"];
        if span.is_null() {
            continue;
        }
        let spans = line["spans"].as_array().context("no spans")?;
        let has_id = spans.iter().any(|span| span["id"].is_string());
        ensure!(has_id && span["object"].is_string(), "{name}: {line}");
        visits += 1;
    }
    ensure!(visits > 0, "{name} says nothing of its visits");
    Ok(())
}

/// The words that are looked for are found where they are.
#[test]
fn values_of_secrets_are_found_in_both_forms() -> Outcome {
    scenario("canaries", Pods::None, async |world| {
        world
            .secret(
                "one",
                json!({"key": "a-hidden-word", "user": "a-public-word"}),
            )
            .await?;
        let mut hidden = Hidden::default();
        hidden.look(world).await?;
        for (text, found) in [
            ("a-hidden-word", true),
            (BASE64_STANDARD.encode("a-hidden-word").as_str(), true),
            ("a-public-word", false),
        ] {
            let is = hidden.0.keys().any(|value| text.contains(value));
            ensure!(is == found, "{text}");
        }
        Ok(())
    })
}

/// Whoever starts a controller with a kubeconfig that cannot be used is told why, and not what is in it.
#[test]
fn a_kubeconfig_that_cannot_be_used_is_not_quoted() -> Outcome {
    Ok(run(async || {
        let mut failures = Vec::new();
        for (flaw, config) in unusable()? {
            for name in [
                "server-controller",
                "adapter-controller",
                "share-controller",
            ] {
                let file = std::env::temp_dir().join(format!("dittofs-{}", random::suffix()?));
                std::fs::write(&file, &config.text)?;
                let path = file.to_string_lossy().into_owned();
                let arguments = ["--kubeconfig", &path, "--http-address", "none"];
                let process = Process::start(name, None, &arguments);
                let said = complaint(process?).await;
                std::fs::remove_file(&file)?;
                let said = said?;
                for form in [
                    config.hidden.clone(),
                    BASE64_STANDARD.encode(&config.hidden),
                ] {
                    if said.contains(&form) {
                        failures.push(format!("{name}, {flaw}: {said}"));
                    }
                }
            }
        }
        none_failed(&failures)
    })?)
}

/// What a controller says that does not come to work; one that goes on trying is ended.
async fn complaint(mut process: Process) -> Result<String> {
    let fault = until("it says what is wrong", async || {
        let said = process.said();
        let is_told = ["ERROR", "WARN", "rror"]
            .iter()
            .any(|word| said.contains(word));
        Ok(if is_told { Ok(()) } else { Err(said) })
    });
    fault.await?;
    // It may have ended by itself.
    let _ = process.signal(Signal::TERM);
    process.ended().await?;
    Ok(process.said())
}

/// A kubeconfig, and the word in it that nobody may read anywhere else.
struct Unusable {
    text: String,
    hidden: String,
}

/// What is wrong, and a kubeconfig that has it.
fn unusable() -> Result<Vec<(&'static str, Unusable)>> {
    let with = |user: Value| {
        // Nothing listens there. JSON is YAML.
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
        });
        text.to_string()
    };
    let mut made = Vec::new();
    let hidden = word("token")?;
    let text = with(json!({"token": hidden}));
    made.push(("nothing answers", Unusable { text, hidden }));
    let hidden = word("key")?;
    let key = BASE64_STANDARD.encode(&hidden);
    let text = with(json!({"client-certificate-data": key, "client-key-data": key}));
    made.push(("no key", Unusable { text, hidden }));
    let hidden = word("kind")?;
    let text = with(json!({"token": {"value": hidden}}));
    made.push(("another type", Unusable { text, hidden }));
    let hidden = word("yaml")?;
    let text = format!("users:\n- name: u\n  user: {{token: {hidden}\n  - [");
    made.push(("no YAML", Unusable { text, hidden }));
    Ok(made)
}
