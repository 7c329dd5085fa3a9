//! No value of a Secret leaves the Secrets: planted words are looked for wherever the controllers write.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cluster_tests::backends::s3::S3;
use cluster_tests::certificates::Authority;
use cluster_tests::kubectl::kubectl;
use cluster_tests::process::Process;
use cluster_tests::scrape::Scrape;
use cluster_tests::world::none_failed;
use cluster_tests::{Outcome, Pods, World, adapters, random, scenario, shares};
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
        }
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
            ensure!(text.len() > 500, "{place} is almost empty: {text}");
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
