//! A connection is tried before the server starts with it, and what fails is named.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::backends::address;
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::certificates::Authority;
use cluster_tests::databases::Silent;
use cluster_tests::ports::Closed;
use cluster_tests::world::{merge, none_failed, somebody};
use cluster_tests::{Child, Controller, Outcome, Pods, World, scenario, until};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{ListParams, Patch};
use serde_json::{Value, json};

const PASSWORD: &str = "hidden-right-password";
const WRONG: &str = "hidden-wrong-password";

/// A server whose database cannot be used.
struct Case {
    name: &'static str,
    /// What the Secret has otherwise than the right one; null is a key that is missing.
    values: Value,
    /// Further fields of `spec.database.secret`.
    fields: Value,
    reason: &'static str,
    /// In the message.
    words: Vec<String>,
}

fn case(name: &'static str, values: Value, reason: &'static str, words: &[&str]) -> Case {
    Case {
        name,
        values,
        fields: json!({}),
        reason,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    }
}

async fn not_started(world: &World, server: &str) -> Result<()> {
    let set = Child::StatefulSet;
    let found = world
        .objects(&set.resource())
        .get_opt(&set.name(server))
        .await?;
    ensure!(found.is_none(), "{server} is started");
    Ok(())
}

async fn started(world: &World, server: &str) -> Result<()> {
    world
        .condition_of(server, "DatabaseReady", "True", "DatabaseAnswers")
        .await?;
    let set = Child::StatefulSet;
    until(&format!("{server} is started"), async || {
        let found = world
            .objects(&set.resource())
            .get_opt(&set.name(server))
            .await?;
        Ok(found.map(|_| ()).ok_or("it is not".to_owned()))
    })
    .await
}

fn cases(silent: &Silent, closed: &Closed, expired: &Postgres) -> Result<Vec<Case>> {
    let closed = closed.address()?.port();
    let silent = silent.address()?;
    let mut all = vec![
        case(
            "wrong-password",
            json!({"password": WRONG}),
            "DatabaseLoginRefused",
            &["files"],
        ),
        case(
            "no-role",
            json!({"user": "nobody"}),
            "DatabaseLoginRefused",
            &["nobody"],
        ),
        case(
            "no-database",
            json!({"database": "nothing"}),
            "DatabaseNotFound",
            &["nothing"],
        ),
        case(
            "no-such-host",
            json!({"host": "nowhere.invalid"}),
            "DatabaseHostUnknown",
            &["nowhere.invalid"],
        ),
        case(
            "closed-port",
            json!({"port": closed.to_string()}),
            "DatabaseUnreachable",
            &[&closed.to_string()],
        ),
        case(
            "silent-host",
            json!({"host": silent.ip().to_string(), "port": silent.port().to_string()}),
            "DatabaseUnreachable",
            &[&silent.port().to_string()],
        ),
        case(
            "other-authority",
            json!({"sslrootcert": Authority::new("other")?.pem}),
            "DatabaseTLSFailed",
            &[],
        ),
        case(
            "expired-authority",
            json!({"port": expired.address().port().to_string(),
            "sslrootcert": expired.authority().pem}),
            "DatabaseTLSFailed",
            &[],
        ),
        case(
            "no-tls",
            json!({"sslmode": "disable"}),
            "DatabaseLoginRefused",
            &[],
        ),
        case(
            "bad-port",
            json!({"port": "many"}),
            "SecretInvalid",
            &["port"],
        ),
        case(
            "bad-mode",
            json!({"sslmode": "sometimes"}),
            "SecretInvalid",
            &["sslmode"],
        ),
        case(
            "bad-authority",
            json!({"sslrootcert": "none"}),
            "SecretInvalid",
            &["sslrootcert"],
        ),
    ];
    for key in ["host", "database", "user", "password"] {
        let name: &'static str = match key {
            "host" => "without-host",
            "database" => "without-database",
            "user" => "without-user",
            _ => "without-password",
        };
        let values = json!({key: null});
        all.push(case(name, values, "SecretKeyMissing", &[key, name]));
    }
    for (name, text, reason) in [
        (
            "dsn-scheme",
            format!("mysql://files:{PASSWORD}@h/files"),
            "DSNInvalid",
        ),
        ("dsn-nothing", "nothing".to_owned(), "DSNInvalid"),
        (
            "dsn-hosts",
            format!("postgresql://files:{PASSWORD}@a,b/files"),
            "DSNInvalid",
        ),
        (
            "dsn-quote",
            format!("host=h user='files password={PASSWORD}"),
            "DSNInvalid",
        ),
        (
            "dsn-no-user",
            "postgresql://h/files".to_owned(),
            "DSNInvalid",
        ),
    ] {
        let mut one = case(name, json!({"dsn": text}), reason, &[name, "dsn"]);
        one.fields = json!({"dsnKey": "dsn"});
        all.push(one);
    }
    Ok(all)
}

/// Asserts that no password is where people without a right to Secrets can read it.
async fn nothing_leaks(world: &World) -> Result<()> {
    let all = ListParams::default();
    for text in [
        serde_json::to_string(&world.api::<DittoServer>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<Event>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<ConfigMap>().list(&all).await?.items)?,
    ] {
        for secret in [PASSWORD, WRONG] {
            ensure!(!text.contains(secret), "{secret} can be read");
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_with_a_connection_is_named_before_a_server_starts() -> Outcome {
    scenario("db-trials", Pods::None, async |world| {
        let postgres = Postgres::start(world).await?;
        let mut expired = Postgres::start(world).await?;
        expired
            .certify_badly(Authority::expired("old")?, &[])
            .await?;
        for server in [&postgres, &expired] {
            server.role("files", PASSWORD).await?;
            server.database_of("files", "files").await?;
        }
        let silent = Silent::open(world)?;
        let closed = Closed::at(address(world)?)?;
        let right = json!({"host": postgres.address().ip().to_string(), "port": postgres.address().port().to_string(),
            "database": "files", "user": "files", "password": PASSWORD, "sslrootcert": postgres.authority().pem});
        let controller = Controller::start(world).await?;
        let cases = cases(&silent, &closed, &expired)?;
        for case in &cases {
            let mut values = right.clone();
            merge(&mut values, case.values.clone());
            world.secret(case.name, values).await?;
            let mut secret = json!({"name": case.name});
            merge(&mut secret, case.fields.clone());
            let spec = json!({"database": {"secret": secret}});
            let manifest = world.manifest_of(case.name, spec);
            world.create_json::<DittoServer>(manifest).await?;
        }
        let mut failures = Vec::new();
        for case in &cases {
            let outcome = async {
                let message = world
                    .condition_of(case.name, "DatabaseReady", "False", case.reason)
                    .await?;
                for word in &case.words {
                    ensure!(message.contains(word), "{word:?} is not in: {message}");
                }
                not_started(world, case.name).await
            };
            if let Err(error) = outcome.await {
                failures.push(format!("{}: {error:#}", case.name));
            }
        }
        none_failed(&failures)?;
        ensure!(
            controller.failures() == 0,
            "{} visits failed",
            controller.failures()
        );
        nothing_leaks(world).await?;

        // Each heals by what a person changes, without anything else.
        for name in [
            "wrong-password",
            "without-user",
            "other-authority",
            "silent-host",
            "dsn-nothing",
        ] {
            let mut values = right.clone();
            if name == "dsn-nothing" {
                let text = |key: &str| right[key].as_str().unwrap_or_default().to_owned();
                let dsn = format!(
                    "postgresql://files:{PASSWORD}@{}:{}/files",
                    text("host"),
                    text("port")
                );
                values = json!({ "dsn": dsn });
            }
            let secrets = world.api::<Secret>();
            let patch = Patch::Merge(json!({ "stringData": values }));
            secrets.patch(name, &somebody(), &patch).await?;
        }
        for name in [
            "wrong-password",
            "without-user",
            "other-authority",
            "silent-host",
            "dsn-nothing",
        ] {
            started(world, name).await.context(name)?;
        }
        nothing_leaks(world).await
    })
}

/// The trial is off where a person says so: then the server alone finds out.
#[test]
fn a_connection_is_not_tried_where_only_the_pod_can_reach_the_database() -> Outcome {
    scenario("db-untried", Pods::None, async |world| {
        let _controller = Controller::start(world).await?;
        let values =
            json!({"host": "nowhere.invalid", "database": "d", "user": "u", "password": WRONG});
        world.secret("pg", values).await?;
        let mut manifest = world.manifest(json!({"database": {"secret": {"name": "pg"}}}));
        manifest["metadata"]["annotations"] = json!({"dittofs.io/skip-database-check": "true"});
        world.create_json::<DittoServer>(manifest).await?;
        let set = Child::StatefulSet;
        until("the server is started", async || {
            let found = world.find(set).await?;
            Ok(found.map(|_| ()).ok_or("it is not".to_owned()))
        })
        .await
    })
}
