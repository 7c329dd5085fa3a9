//! Every way to name a database ends with users that are rows in it.

use anyhow::{Context, Result, ensure};
use api_types::{DittoServer, names};
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::databases::{Case, Managed, Provider, together};
use cluster_tests::rest::password_of;
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, until};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{had, logs_in, make_user, nothing_leaks, serves, sqlite_files, variable};

/// Characters that mean something in URLs, in words of a DSN, in SQL and in shells.
const SPECIAL: &str = "p@ss:/?#[]%41&=+ 'quoted' \\ \"double\" $(HOME) ${x} ü";

/// `text` as a part of a URL.
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    bytes.collect()
}

/// `text` as a value in words of a DSN.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{text}'")
}

async fn is_a_row(postgres: &Postgres, database: &str, user: &str) -> Result<()> {
    let users = postgres.users(database).await?;
    ensure!(
        users.iter().any(|name| name == user),
        "users in {database}: {users:?}"
    );
    Ok(())
}

/// Secrets of people: discrete keys in both spellings, DSNs in both forms, and the field that servers
/// of the Go operator have.
fn secrets(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    async move {
        let postgres = Postgres::start(world).await?;
        let (host, port) = (postgres.address().ip(), postgres.address().port());
        let authority = postgres.authority().pem.clone();
        let role = "o'hara @:/ü";
        for user in ["plain", role] {
            postgres.role(user, SPECIAL).await?;
        }
        let databases = ["keys", "theirs", "a url/ü", "some words"];
        for database in databases {
            postgres.database_of("plain", database).await?;
            let grant = "GRANT ALL ON SCHEMA public TO PUBLIC";
            postgres.run_in(database, grant).await?;
        }
        let (user, password) = (escaped(role), escaped(SPECIAL));
        let url = format!(
            "postgresql://{user}:{password}@{host}:{port}/{}?sslmode=verify-full&connect_timeout=5",
            escaped("a url/ü")
        );
        let words = format!(
            "host={host} port={port} user={} password={} dbname='some words' sslmode=verify-ca",
            quoted(role),
            quoted(SPECIAL)
        );
        let ours = json!({"host": host.to_string(), "port": port.to_string(), "dbname": "keys",
            "username": "plain", "password": SPECIAL, "sslrootcert": authority});
        let theirs = json!({"host": host.to_string(), "port": port.to_string(), "database": "theirs",
            "user": "plain", "password": SPECIAL, "sslmode": "require"});
        world.secret("keys", ours).await?;
        world.secret("theirs", theirs).await?;
        world.secret("url", json!({"dsn": url, "sslrootcert": authority})).await?;
        world.secret("words", json!({"text": words})).await?;
        world.secret("authority", json!({"ca.crt": authority})).await?;
        let by_dsn = |name: &str, key: &str| json!({"secret": {"name": name, "dsnKey": key}});
        let mut of_words = by_dsn("words", "text");
        of_words["secret"]["caSecretRef"] = json!({"name": "authority", "key": "ca.crt"});
        let servers: [(&str, Value, &str, Option<&str>); 4] = [
            ("keys", json!({"secret": {"name": "keys"}}), "keys", Some("verify-full")),
            (
                "theirs",
                json!({"type": "postgres", "postgresSecretRef": {"name": "theirs", "key": "unused"}}),
                "theirs",
                None,
            ),
            ("url", by_dsn("url", "dsn"), "a url/ü", None),
            ("words", of_words, "some words", None),
        ];
        let _controller = Controller::start(world).await?;
        for (name, database, _, _) in &servers {
            let manifest = world.manifest_of(name, json!({ "database": database }));
            world.create_json::<DittoServer>(manifest).await?;
        }
        for (name, _, database, mode) in &servers {
            let reason = if *name == "theirs" {
                "ConnectionComplete"
            } else {
                "DatabaseAnswers"
            };
            world
                .condition_of(name, "DatabaseReady", "True", reason)
                .await?;
            super::running(world, name).await?;
            make_user(world, name, "alice").await.with_context(|| (*name).to_owned())?;
            is_a_row(&postgres, database, "alice").await?;
            if mode.is_some() {
                let found = variable(world, name, "DITTOFS_DATABASE_POSTGRES_SSLMODE").await?;
                ensure!(found.as_deref() == *mode, "{name}: sslmode {found:?}");
            }
        }
        let files = sqlite_files(world).await?;
        ensure!(files.is_empty(), "{files:?}");
        nothing_leaks(world, &["p@ss:/?#[]%41", &escaped("p@ss:/?#[]")]).await
    }
    .boxed_local()
}

/// A cluster that the server asks for is made, waited for, and used.
async fn owned(world: &World, provider: Provider, field: &str) -> Result<()> {
    let mut managed = Managed::new(world, provider, &format!("{SERVER}-postgres")).await?;
    let _controller = Controller::start(world).await?;
    let log = PodLog::watch(world);
    world.serve(json!({"database": {field: {}}})).await?;
    managed.serve().await?;
    serves(world, SERVER).await?;
    make_user(world, SERVER, "alice").await?;
    is_a_row(&managed.postgres, "dittofs", "alice").await?;
    let mode = variable(world, SERVER, "DITTOFS_DATABASE_POSTGRES_SSLMODE").await?;
    ensure!(mode.as_deref() == Some("verify-full"), "sslmode {mode:?}");
    let files = sqlite_files(world).await?;
    ensure!(files.is_empty(), "{files:?}");
    had(world, &log, SERVER, 1).await?;
    recorded(world, SERVER, &managed).await?;

    // Deleted and made again, it finds its users by the old passwords.
    let password = password_of(world, SERVER).await?;
    let uid = managed.find().await?.and_then(|object| object.uid());
    let servers = world.api::<DittoServer>();
    servers.delete(SERVER, &DeleteParams::background()).await?;
    until("the server and its pod are gone", async || {
        let server = servers.get_opt(SERVER).await?;
        let pod = world.api::<Pod>().get_opt(&names::pod(SERVER)).await?;
        Ok(if server.is_none() && pod.is_none() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        })
    })
    .await?;
    world.serve(json!({"database": {field: {}}})).await?;
    serves(world, SERVER).await?;
    logs_in(world, SERVER, "alice").await?;
    ensure!(
        password_of(world, SERVER).await? == password,
        "another password"
    );
    let same = managed.find().await?.and_then(|object| object.uid());
    ensure!(same == uid, "another cluster");
    Ok(())
}

/// Waits until the status of the server `server` names the cluster and its Secret.
async fn recorded(world: &World, server: &str, managed: &Managed) -> Result<()> {
    let uid = managed.find().await?.and_then(|object| object.metadata.uid);
    until("the status names the cluster", async || {
        let found = world.api::<DittoServer>().get(server).await?;
        let found = found.status.and_then(|status| status.database);
        let database = found.context("no status.database")?;
        let secret = database.secret_ref.as_ref().map(|name| name.name.0.clone());
        let expected = managed.provider.credentials(&managed.name, "dittofs");
        Ok(if database.cluster_uid == uid && secret == Some(expected) {
            Ok(())
        } else {
            Err(format!("{database:?}"))
        })
    })
    .await
}

/// A cluster that exists already serves two servers, each with a database of its own.
async fn referenced(world: &World, provider: Provider, field: &str) -> Result<()> {
    let mut managed = Managed::new(world, provider, "shared").await?;
    // The other database is made by a person where the cluster's object cannot say it.
    managed
        .by_hand(managed.spec("dittofs", &["dittofs", "other"]))
        .await?;
    let _controller = Controller::start(world).await?;
    let with = |database: &str| json!({"database": {field: {"clusterRef": {"name": "shared"}, "databaseName": database}}});
    for (server, database) in [(SERVER, "dittofs"), ("second", "other")] {
        let manifest = world.manifest_of(server, with(database));
        world.create_json::<DittoServer>(manifest).await?;
    }
    managed.serve().await?;
    if provider == Provider::CloudNative {
        managed.postgres.database_of("dittofs", "other").await?;
    }
    for (server, database, user) in [(SERVER, "dittofs", "alice"), ("second", "other", "bob")] {
        serves(world, server).await?;
        make_user(world, server, user).await?;
        is_a_row(&managed.postgres, database, user).await?;
    }
    let mixed = managed.postgres.users("dittofs").await?;
    ensure!(!mixed.iter().any(|user| user == "bob"), "{mixed:?}");
    let files = sqlite_files(world).await?;
    ensure!(files.is_empty(), "{files:?}");

    // What a person made is not written to, and stays.
    let object = managed.find().await?.context("the cluster is gone")?;
    let managers = object.metadata.managed_fields.unwrap_or_default();
    ensure!(
        managers
            .iter()
            .all(|entry| entry.manager.as_deref() != Some(server_controller::MANAGER)),
        "{managers:?}"
    );
    Ok(())
}

fn percona_owned(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    owned(world, Provider::Percona, "percona").boxed_local()
}

fn cloud_native_owned(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    owned(world, Provider::CloudNative, "cloudnativePG").boxed_local()
}

fn percona_referenced(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    referenced(world, Provider::Percona, "percona").boxed_local()
}

fn cloud_native_referenced(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    referenced(world, Provider::CloudNative, "cloudnativePG").boxed_local()
}

#[test]
fn users_are_rows_in_postgresql_whichever_way_it_is_named() -> Outcome {
    let cases: [(&str, Case); 5] = [
        ("db-secrets", secrets),
        ("db-percona", percona_owned),
        ("db-cnpg", cloud_native_owned),
        ("db-percona-ref", percona_referenced),
        ("db-cnpg-ref", cloud_native_referenced),
    ];
    together(Pods::Run, &cases)
}
