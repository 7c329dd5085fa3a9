//! What befalls a database and what people get wrong while the server runs, and what names are at their longest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::certificates::Authority;
use cluster_tests::databases::{
    Case, Definition, Managed, Provider, Silent, exclusively, together,
};
use cluster_tests::pods::{another_pod, pod_of};
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    FIRST_PASSWORD, Own, change_secret, had, logs_in, make_user, nothing_leaks, restarted, serves,
};

/// Longer than the kubelet looks on at a server that does not live.
const FROZEN: Duration = Duration::from_secs(45);

/// Asserts that the database is as said, and that the server runs on in the same pod.
async fn only_said(
    world: &World,
    controller: &Controller,
    log: &PodLog,
    server: &str,
    reason: &str,
    pods: usize,
) -> Result<String> {
    let message = world
        .condition_of(server, "DatabaseReady", "False", reason)
        .await?;
    controller.quiet().await?;
    had(world, log, server, pods).await?;
    logs_in(world, server, "alice").await?;
    Ok(message)
}

/// A database of a person.
fn own(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    async move {
        let Own {
            mut postgres,
            values: _,
            controller,
            log,
        } = Own::start(world).await?;
        let address = postgres.address();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let patch = async |values: Value| change_secret(world, json!({"stringData": values})).await;
        let answers = async || {
            world
                .condition("DatabaseReady", "True", "DatabaseAnswers")
                .await
        };

        // Frozen, just when the password is changed: the server lives on, and takes the new one afterwards.
        let before = pod_of(world, SERVER).await?.uid();
        postgres.role("files", "hidden-password-2").await?;
        postgres.freeze()?;
        patch(json!({"password": "hidden-password-2"})).await?;
        let message = world
            .condition("DatabaseReady", "False", "DatabaseUnreachable")
            .await?;
        ensure!(message.contains(&port), "{message}");
        tokio::time::sleep(FROZEN).await;
        had(world, &log, SERVER, 1).await?;
        postgres.thaw()?;
        restarted(world, &controller, &log, SERVER, before.as_deref(), 2).await?;
        logs_in(world, SERVER, "alice").await?;

        // A host that swallows everything, and one that nobody knows.
        let silent = Silent::open(world)?;
        let away = silent.address()?;
        patch(json!({"host": away.ip().to_string(), "port": away.port().to_string()})).await?;
        only_said(world, &controller, &log, SERVER, "DatabaseUnreachable", 2).await?;
        patch(json!({"host": "nowhere.invalid"})).await?;
        only_said(world, &controller, &log, SERVER, "DatabaseHostUnknown", 2).await?;
        patch(json!({"host": host, "port": port})).await?;
        answers().await?;
        controller.quiet().await?;
        had(world, &log, SERVER, 2).await?;

        // A CA whose time is over.
        let expired = Authority::expired("old")?;
        patch(json!({"sslrootcert": expired.pem})).await?;
        let message = only_said(world, &controller, &log, SERVER, "DatabaseTLSFailed", 2).await?;
        ensure!(message.contains("expired"), "{message}");
        let good = postgres.authority().pem.clone();
        patch(json!({"sslrootcert": good})).await?;
        answers().await?;
        controller.quiet().await?;
        had(world, &log, SERVER, 2).await?;

        // Another CA that is good: one restart.
        let before = pod_of(world, SERVER).await?.uid();
        postgres.certify(Authority::new("another")?, &[]).await?;
        let good = postgres.authority().pem.clone();
        patch(json!({"sslrootcert": good})).await?;
        restarted(world, &controller, &log, SERVER, before.as_deref(), 3).await?;
        logs_in(world, SERVER, "alice").await?;
        nothing_leaks(world, &[FIRST_PASSWORD, "hidden-password-2"]).await
    }
    .boxed_local()
}

/// A managed database whose names are as long as they may be, and whose CA runs out.
async fn longest(world: &World, provider: Provider) -> Result<()> {
    let database = "d".repeat(63);
    let (length, spec, user) = match provider {
        Provider::Percona => {
            let user = "u".repeat(63);
            let spec = json!({"percona": {"databaseName": database, "user": user}});
            (28, spec, user)
        }
        Provider::CloudNative => {
            let spec = json!({"cloudnativePG": {"databaseName": database}});
            (41, spec, "dittofs".to_owned())
        }
    };
    let name = "n".repeat(length);
    let mut managed = Managed::new(world, provider, &format!("{name}-postgres")).await?;
    let controller = Controller::start(world).await?;
    let log = PodLog::watch(world);
    let manifest = world.manifest_of(&name, json!({ "database": spec }));
    world.create_json::<DittoServer>(manifest).await?;
    managed.serve().await?;
    serves(world, &name).await?;
    make_user(world, &name, "alice").await?;
    managed.holds_user(&database, "alice").await?;

    let before = pod_of(world, &name).await?.uid();
    managed.authority_expires().await?;
    only_said(world, &controller, &log, &name, "DatabaseTLSFailed", 1).await?;
    managed.authority_is(Authority::new("another")?).await?;
    another_pod(world, &name, before.as_deref()).await?;
    serves(world, &name).await?;
    let password = managed.rotate_password(&user, &database).await?;
    let second = pod_of(world, &name).await?.uid();
    restarted(world, &controller, &log, &name, second.as_deref(), 3).await?;
    logs_in(world, &name, "alice").await?;
    nothing_leaks(world, &[&password]).await
}

fn percona(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    longest(world, Provider::Percona).boxed_local()
}

fn cloud_native(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    longest(world, Provider::CloudNative).boxed_local()
}

#[test]
fn a_server_outlives_a_database_that_hangs_and_secrets_that_are_wrong() -> Outcome {
    let cases: [(&str, Case); 3] = [
        ("db-hard-secret", own),
        ("db-hard-percona", percona),
        ("db-hard-cnpg", cloud_native),
    ];
    together(Pods::Run, &cases)
}

#[test]
fn a_server_outlives_the_operator_of_its_database() -> Outcome {
    exclusively("db-without", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let log = PodLog::watch(world);
        let definition = Definition(Provider::Percona);
        definition.install(&world.admin).await?;
        let cluster = format!("{SERVER}-postgres");
        let mut managed = Managed::new(world, Provider::Percona, &cluster).await?;
        world.serve(json!({"database": {"percona": {}}})).await?;
        managed.serve().await?;
        serves(world, SERVER).await?;
        make_user(world, SERVER, "alice").await?;

        definition.remove(&world.admin).await?;
        let missing = "DatabaseOperatorMissing";
        let message = only_said(world, &controller, &log, SERVER, missing, 1).await?;
        ensure!(message.contains(definition.name()), "{message}");
        world.condition("Ready", "False", missing).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;

        // It is back, with a cluster of which nobody knows what is in it.
        definition.install(&world.admin).await?;
        managed.made_again(None).await?;
        managed.serve().await?;
        let new = managed.find().await?.and_then(|cluster| cluster.uid());
        let message = only_said(world, &controller, &log, SERVER, "DatabaseReplaced", 1).await?;
        let new = new.context("no UID")?;
        ensure!(message.contains(&new), "{message}");
        Ok(())
    })
}
