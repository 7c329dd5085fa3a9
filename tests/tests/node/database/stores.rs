//! Metadata stores of shares in databases of their own, beside that of the control plane.

use anyhow::{Result, ensure};
use api_types::v1alpha1::PushedSecret;
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::clients::Nfs;
use cluster_tests::databases::{Case, Managed, Provider, together};
use cluster_tests::pods::{another_pod, pod_of};
use cluster_tests::shares::{self, SHARE, Stage, ready};
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::{change_secret, had, nothing_leaks};

/// Waits until the status says of the database `name` that it can be used.
async fn usable(world: &World, name: &str) -> Result<()> {
    until(&format!("the database {name} can be used"), async || {
        let status = world.server().await?.status.unwrap_or_default();
        let found = status.database.and_then(|database| database.metadata);
        let found = found.into_iter().flatten().find(|found| found.name == name);
        Ok(match found {
            Some(found) if found.ready => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

/// Waits until a file could be written: a share can be mounted a moment after it is ready.
async fn written(nfs: &Nfs) -> Result<()> {
    until("a file is written", async || {
        let written = nfs.write("file", b"contents").await?;
        Ok(written.map_err(|refusal| format!("{refusal:?}")))
    })
    .await
}

async fn kept_apart(world: &World, provider: Provider, field: &str) -> Result<()> {
    let mut managed = Managed::new(world, provider, &format!("{SERVER}-postgres")).await?;
    let log = PodLog::watch(world);
    let servers = Controller::start(world).await?;
    let mut spec = cluster_tests::adapters::fast();
    spec["database"] = json!({field: {}, "metadataDatabases": ["films", "songs"]});
    world.serve(spec).await?;
    managed.serve().await?;
    usable(world, "films").await?;
    usable(world, "songs").await?;
    let adapters = Controller::adapters(world).await?;
    let shares_controller = Controller::shares(world).await?;
    world
        .condition("AdaptersReady", "True", "AdaptersHealthy")
        .await?;
    let stage = Stage {
        servers,
        adapters,
        shares: shares_controller,
        admin: cluster_tests::adapters::Admin::of(world).await?,
    };
    let store = json!({"type": "postgres", "postgres": {"database": "films"}});
    let share = json!({"metadataStore": store, "access": {"defaultPermission": "read-write"}});
    shares::make(world, SHARE, share).await?;
    let share = ready(world, SHARE).await?;
    let nfs = shares::nfs(&share)?.by(65534);
    written(&nfs).await?;
    let live = stage.admin.get("/store/metadata/films").await?;
    ensure!(live["type"] == "postgres", "{live}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let files = managed.postgres.run_in("films", tables).await?;
    ensure!(files != "0", "no tables in the share's database");
    let unused = managed.postgres.run_in("songs", tables).await?;
    ensure!(unused == "0", "{unused} tables in another's database");
    managed.holds_user("dittofs", "admin").await?;
    stage.servers.quiet().await?;
    ensure!(log.count(SERVER) <= 2, "{} pods", log.count(SERVER));
    had(world, &log, SERVER, log.count(SERVER)).await
}

fn percona(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    kept_apart(world, Provider::Percona, "percona").boxed_local()
}

fn cloud_native(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    kept_apart(world, Provider::CloudNative, "cloudnativePG").boxed_local()
}

#[test]
fn shares_keep_their_files_in_databases_of_their_own() -> Outcome {
    let cases: [(&str, Case); 2] = [
        ("db-stores-percona", percona),
        ("db-stores-cnpg", cloud_native),
    ];
    together(Pods::Run, &cases)
}

/// The version of its Secret with which the server has the store of [`SHARE`].
async fn pushed(world: &World) -> Result<Option<PushedSecret>> {
    let status = shares::get(world, SHARE).await?.status.unwrap_or_default();
    let mut pushed = status.pushed.into_iter().flatten();
    Ok(pushed.find(|secret| secret.what == "database"))
}

#[test]
fn a_new_password_of_a_share_is_tried_sent_and_taken_at_the_next_start() -> Outcome {
    scenario("db-share-password", Pods::Run, async |world| {
        let postgres = Postgres::start(world).await?;
        postgres.role("files", "hidden-password-1").await?;
        postgres.database_of("files", "films").await?;
        let address = postgres.address();
        let values = json!({"host": address.ip().to_string(), "port": address.port().to_string(),
            "database": "films", "user": "files", "password": "hidden-password-1"});
        world.secret("pg", values).await?;
        let stage = Stage::set(world, json!({})).await?;
        let log = PodLog::watch(world);
        let store = json!({"type": "postgres", "postgres": {"secretRef": {"name": "pg"}}});
        let share = json!({"metadataStore": store, "access": {"defaultPermission": "read-write"}});
        let share = shares::ready_made(world, SHARE, share).await?;
        let nfs = shares::nfs(&share)?.by(65534);
        written(&nfs).await?;
        let new_connections =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'films'";
        let healthy = async |wanted: bool| {
            let what = format!("the store is healthy: {wanted}");
            let path = "/store/metadata/films/health";
            shares::answers(&stage.admin, path, &what, |health| {
                health["healthy"] == wanted
            })
            .await
        };

        // A label makes another version of the Secret, for which nothing is due.
        let version =
            change_secret(world, json!({"metadata": {"labels": {"team": "films"}}})).await?;
        until("the new version is noted", async || {
            let known = pushed(world).await?.map(|secret| secret.resource_version);
            Ok(if known == version {
                Ok(())
            } else {
                Err(format!("{known:?}"))
            })
        })
        .await?;
        shares::condition(world, SHARE, "StoresReady", "True", "StoresInPlace").await?;

        // In the Secret only: the server keeps what it has, and would start again with it.
        let known = pushed(world).await?;
        change_secret(
            world,
            json!({"stringData": {"password": "hidden-password-2"}}),
        )
        .await?;
        let message =
            shares::condition(world, SHARE, "StoresReady", "False", "StoreRefused").await?;
        ensure!(message.contains("keeps the old ones"), "{message}");
        ensure!(pushed(world).await? == known, "it was sent all the same");
        postgres.run(new_connections).await?;
        healthy(true).await?;

        // In PostgreSQL, too: the server has it, and says that it takes it at its next start.
        postgres.role("files", "hidden-password-2").await?;
        let message =
            shares::condition(world, SHARE, "StoresReady", "False", "ServerRestartNeeded").await?;
        ensure!(message.contains("kubectl delete pod"), "{message}");
        ensure!(pushed(world).await? != known, "it was not sent");
        let read = nfs.read("file").await?;
        ensure!(
            read.is_ok_and(|read| read == b"contents"),
            "its files are away"
        );
        had(world, &log, SERVER, 1).await?;

        // Which is so: it makes no new connections.
        postgres.run(new_connections).await?;
        healthy(false).await?;

        let before = pod_of(world, SERVER).await?.uid();
        let pod = api_types::names::pod(SERVER);
        world
            .api::<Pod>()
            .delete(&pod, &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, before.as_deref()).await?;
        shares::condition(world, SHARE, "StoresReady", "True", "StoresInPlace").await?;
        let share = ready(world, SHARE).await?;
        let awaited = share.status.and_then(|status| status.awaiting_restart);
        ensure!(awaited.is_none(), "{awaited:?}");
        healthy(true).await?;
        until("the file is there", async || {
            Ok(match nfs.read("file").await? {
                Ok(read) if read == b"contents" => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await?;
        had(world, &log, SERVER, 2).await?;
        nothing_leaks(world, &["hidden-password-1", "hidden-password-2"]).await
    })
}
