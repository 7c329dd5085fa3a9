//! What a managed database goes through, and what the server makes of it.

use anyhow::{Context, Result, ensure};
use cluster_tests::certificates::Authority;
use cluster_tests::databases::{Case, Managed, Phase, Provider, together};
use cluster_tests::pods::pod_of;
use cluster_tests::wait::within;
use cluster_tests::{Child, Controller, Outcome, PodLog, Pods, SERVER, World};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    FIRST_PASSWORD, Own, change_secret, found_again, had, logs_in, make_user, nothing_leaks,
    restarted, running, serves,
};

const WARNING: &str = "Missing image(s): spec.image";

/// Waits for a condition longer than the controller waits for a silent operator.
async fn database(world: &World, status: &str, reason: &str) -> Result<String> {
    let limit = Duration::from_secs(180);
    within(
        limit,
        &format!("DatabaseReady={status} {reason}"),
        async || {
            let server = world.server().await?;
            let status_now = server.status.unwrap_or_default();
            let found = status_now
                .conditions
                .iter()
                .find(|found| found.type_ == "DatabaseReady");
            Ok(match found {
                Some(found) if found.status == status && found.reason == reason => {
                    Ok(found.message.clone())
                }
                other => Err(format!("{other:?}")),
            })
        },
    )
    .await
}

/// Asserts that the server is not started.
async fn not_started(world: &World) -> Result<()> {
    let set = world.find(Child::StatefulSet).await?;
    ensure!(set.is_none(), "the server is started already");
    Ok(())
}

/// An operator that says nothing, in a cluster with a Warning about its object.
async fn silence(world: &World, managed: &Managed) -> Result<()> {
    let object = managed.wanted().await?;
    let resource = managed.provider.resource();
    world
        .create_json::<Event>(json!({
            "metadata": {"name": "of-the-operator"}, "type": "Warning", "reason": "MissingRequiredImage",
            "message": WARNING, "lastTimestamp": "2026-01-01T00:00:00Z", "firstTimestamp": "2026-01-01T00:00:00Z",
            "involvedObject": {"apiVersion": resource.api_version, "kind": resource.kind,
                "name": managed.name, "namespace": world.namespace, "uid": object.metadata.uid},
        }))
        .await?;
    let message = database(world, "False", "DatabaseOperatorNotResponding").await?;
    ensure!(message.contains(WARNING), "{message}");
    not_started(world).await
}

async fn life(world: &World, provider: Provider, field: &str) -> Result<()> {
    let mut managed = Managed::new(world, provider, &format!("{SERVER}-postgres")).await?;
    let controller = Controller::start(world).await?;
    let log = PodLog::watch(world);
    world.serve(json!({"database": {field: {}}})).await?;
    silence(world, &managed).await?;

    // Being made; then ready, but as of an older wish, where the operator says which.
    managed.report(Phase::Initializing).await?;
    database(world, "False", "DatabasePending").await?;
    not_started(world).await?;
    let generation = managed.wanted().await?.metadata.generation;
    if provider == Provider::Percona {
        let older = generation.map(|generation| generation - 1);
        managed.report_of(Phase::Ready, older).await?;
        controller.quiet().await?;
        database(world, "False", "DatabasePending").await?;
        not_started(world).await?;
    }

    // Everything is there but the role: the operators make the Secret first.
    managed.provision().await?;
    let role = "ALTER ROLE dittofs NOLOGIN PASSWORD NULL";
    managed.postgres.run(role).await?;
    // As an operator that knows neither conditions nor observedGeneration.
    managed.report_of(Phase::Ready, None).await?;
    database(world, "False", "DatabaseLoginRefused").await?;
    not_started(world).await?;
    managed.rotate_password("dittofs", "dittofs").await?;
    managed.postgres.run("ALTER ROLE dittofs LOGIN").await?;
    serves(world, SERVER).await?;
    make_user(world, SERVER, "alice").await?;
    managed.holds_user("dittofs", "alice").await?;
    had(world, &log, SERVER, 1).await?;

    // An operator that speaks of a restart, a failure or a pause changes the condition only.
    let told: &[(Phase, &str)] = match provider {
        Provider::Percona => &[
            (Phase::Initializing, "DatabaseNotReady"),
            (Phase::Error, "DatabaseNotReady"),
            (Phase::Paused, "DatabasePaused"),
        ],
        Provider::CloudNative => &[
            (Phase::Initializing, "DatabaseNotReady"),
            (Phase::Error, "DatabaseNotReady"),
        ],
    };
    for (phase, reason) in told {
        managed.report(*phase).await?;
        database(world, "False", reason).await?;
        logs_in(world, SERVER, "alice").await?;
    }
    managed.report(Phase::Ready).await?;
    database(world, "True", "DatabaseAnswers").await?;

    // Paused indeed.
    managed.postgres.stop().await?;
    managed.report(Phase::Paused).await?;
    let message = database(world, "False", paused(provider)).await?;
    ensure!(message.contains(&managed.name), "{message}");
    managed.postgres.resume().await?;
    managed.report(Phase::Ready).await?;
    database(world, "True", "DatabaseAnswers").await?;
    found_again(world, SERVER, "alice").await?;
    controller.quiet().await?;
    had(world, &log, SERVER, 1).await?;

    // Another password: one restart.
    let before = pod_of(world, SERVER).await?.uid();
    let password = managed.rotate_password("dittofs", "dittofs").await?;
    restarted(world, &controller, &log, SERVER, before.as_deref(), 2).await?;
    logs_in(world, SERVER, "alice").await?;

    // Another CA: one restart.
    let before = pod_of(world, SERVER).await?.uid();
    managed.authority_is(Authority::new("another")?).await?;
    restarted(world, &controller, &log, SERVER, before.as_deref(), 3).await?;
    logs_in(world, SERVER, "alice").await?;

    replaced(world, &mut managed, &controller).await?;
    had(world, &log, SERVER, 3).await?;
    logs_in(world, SERVER, "alice").await?;
    nothing_leaks(world, &[&password]).await
}

fn paused(provider: Provider) -> &'static str {
    match provider {
        Provider::Percona => "DatabasePaused",
        // Hibernation is an annotation, which nobody set here.
        Provider::CloudNative => "DatabaseNotReady",
    }
}

/// Somebody deletes the cluster and it comes back under the same name: nobody knows what is in it.
async fn replaced(world: &World, managed: &mut Managed, controller: &Controller) -> Result<()> {
    let objects = world.objects(&managed.provider.resource());
    let old = managed.find().await?.context("no cluster")?;
    objects
        .delete(&managed.name, &DeleteParams::background())
        .await?;
    if managed.provider == Provider::CloudNative {
        // Its volumes went with it: an empty one is no replacement until a person says so.
        let message = database(world, "False", "DatabaseClusterMissing").await?;
        ensure!(message.contains(&managed.name), "{message}");
        controller.quiet().await?;
        ensure!(managed.find().await?.is_none(), "it was made again");
        let emptied = json!({"metadata": {"annotations": {"dittofs.io/accept-database": "empty"}}});
        world.change(emptied).await?;
    }
    managed.made_again(old.uid()).await?;
    managed.report(Phase::Ready).await?;
    let new = managed.find().await?.context("no cluster")?;
    ensure!(new.uid() != old.uid(), "the same cluster");
    let message = database(world, "False", "DatabaseReplaced").await?;
    let uid = new.uid().context("no UID")?;
    ensure!(message.contains(&uid), "{message}");
    controller.quiet().await?;

    // A person looks, and says that it is the right one.
    let accepted: Value = json!({"metadata": {"annotations": {"dittofs.io/accept-database": uid}}});
    world.change(accepted).await?;
    managed.serve().await?;
    database(world, "True", "DatabaseAnswers").await?;
    Ok(())
}

fn percona(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    life(world, Provider::Percona, "percona").boxed_local()
}

fn cloud_native(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    life(world, Provider::CloudNative, "cloudnativePG").boxed_local()
}

/// A Secret of a person, of which everything goes wrong while the server runs.
fn own(world: &World) -> LocalBoxFuture<'_, Result<()>> {
    async move {
        let Own {
            mut postgres,
            values,
            controller,
            log,
        } = Own::start(world).await?;
        let patch = async |values: Value| change_secret(world, values).await;

        // A key goes, and comes back: the running pod is kept.
        patch(json!({"data": {"user": null}})).await?;
        let message = database(world, "False", "SecretKeyMissing").await?;
        ensure!(
            message.contains("pg") && message.contains("user"),
            "{message}"
        );
        patch(json!({"stringData": {"user": "files"}})).await?;
        database(world, "True", "DatabaseAnswers").await?;

        // The Secret goes.
        let secrets = world.api::<Secret>();
        secrets.delete("pg", &DeleteParams::default()).await?;
        database(world, "False", "SecretMissing").await?;
        world.secret("pg", values).await?;
        database(world, "True", "DatabaseAnswers").await?;

        // A password that is wrong does not replace the one with which the server runs.
        patch(json!({"stringData": {"password": "hidden-wrong-one"}})).await?;
        database(world, "False", "DatabaseLoginRefused").await?;
        controller.quiet().await?;
        had(world, &log, SERVER, 1).await?;
        let before = pod_of(world, SERVER).await?.uid();
        postgres.role("files", "hidden-password-2").await?;
        patch(json!({"stringData": {"password": "hidden-password-2"}})).await?;
        restarted(world, &controller, &log, SERVER, before.as_deref(), 2).await?;

        // The database stops and comes back: nothing is restarted.
        postgres.stop().await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        postgres.resume().await?;
        found_again(world, SERVER, "alice").await?;
        running(world, SERVER).await?;
        had(world, &log, SERVER, 2).await?;
        nothing_leaks(
            world,
            &[FIRST_PASSWORD, "hidden-password-2", "hidden-wrong-one"],
        )
        .await
    }
    .boxed_local()
}

#[test]
fn a_running_server_is_restarted_by_new_credentials_only() -> Outcome {
    let cases: [(&str, Case); 3] = [
        ("db-life-percona", percona),
        ("db-life-cnpg", cloud_native),
        ("db-life-secret", own),
    ];
    together(Pods::Run, &cases)
}
