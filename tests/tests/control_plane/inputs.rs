//! Inputs that are missing or wrong: named, waited for without polling, and never a reason to
//! touch what runs.

use anyhow::{Context, Result, ensure};
use cluster_tests::audit::listed;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn with_tokens() -> Value {
    json!({"identity": {"jwt": {"secretRef": {"name": "tokens", "key": "signing"}}}})
}

async fn set(world: &World, secret: &str, values: Value) -> Result<()> {
    world
        .api::<Secret>()
        .patch(
            secret,
            &Default::default(),
            &Patch::Merge(json!({"stringData": values})),
        )
        .await?;
    Ok(())
}

async fn no_pod(world: &World) -> Result<()> {
    let set = world.find(Child::StatefulSet).await?;
    ensure!(set.is_none(), "the StatefulSet was made without its inputs");
    world
        .condition("Available", "False", "WaitingForInputs")
        .await?;
    Ok(())
}

#[test]
fn a_missing_secret_keeps_the_pod_from_being_made_until_it_comes() -> Outcome {
    scenario("missing", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(with_tokens()).await?;
        let message = world
            .condition("ConfigReady", "False", "SecretMissing")
            .await?;
        ensure!(
            message.contains("tokens") && message.contains("signing"),
            "Secret and key are not named: {message}"
        );
        controller.quiet().await?;
        no_pod(world).await?;

        // It is not polled for: over a while nothing is read at all.
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let reads: Vec<_> = world
            .requests(mark)?
            .into_iter()
            .filter(|entry| entry.verb != "watch")
            .collect();
        ensure!(
            reads.is_empty(),
            "asked for while nothing happened: {}",
            listed(&reads)
        );

        world.secret("tokens", json!({"signing": KEY})).await?;
        let came = tokio::time::Instant::now();
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        ensure!(
            came.elapsed().as_secs() < 60,
            "noticed after {:?}",
            came.elapsed()
        );
        world.settled(&controller).await?;
        let own = world.find(Child::Jwt).await?;
        ensure!(
            own.is_none(),
            "a token Secret was generated although the spec names one"
        );
        Ok(())
    })
}

#[test]
fn a_missing_key_is_named_and_heals() -> Outcome {
    scenario("no-key", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.secret("tokens", json!({"other": KEY})).await?;
        world.serve(with_tokens()).await?;
        let message = world
            .condition("ConfigReady", "False", "SecretKeyMissing")
            .await?;
        ensure!(
            message.contains("tokens") && message.contains("signing"),
            "Secret and key are not named: {message}"
        );
        no_pod(world).await?;
        set(world, "tokens", json!({"signing": KEY})).await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        world.settled(&controller).await
    })
}

#[test]
fn a_value_that_ends_the_server_is_refused_before_it_starts() -> Outcome {
    scenario("short", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        let value = "too-short-to-sign";
        world.secret("tokens", json!({"signing": value})).await?;
        world.serve(with_tokens()).await?;
        let message = world
            .condition("ConfigReady", "False", "SecretInvalid")
            .await?;
        ensure!(
            message.contains("32"),
            "the length asked for is not named: {message}"
        );
        ensure!(!message.contains(value), "the value is shown");
        no_pod(world).await?;
        set(world, "tokens", json!({"signing": KEY})).await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        world.settled(&controller).await
    })
}

#[test]
fn a_missing_connection_to_the_database_is_the_databases_condition() -> Outcome {
    scenario("postgres", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({"database": {"type": "postgres", "postgresSecretRef": {"name": "pg", "key": "x"}}})).await?;
        let message = world
            .condition("DatabaseReady", "False", "SecretMissing")
            .await?;
        ensure!(message.contains("pg"), "the Secret is not named: {message}");
        no_pod(world).await?;
        world
            .secret("pg", json!({"host": "db", "database": "d", "user": "u"}))
            .await?;
        let message = world
            .condition("DatabaseReady", "False", "SecretKeyMissing")
            .await?;
        ensure!(
            message.contains("password"),
            "the key is not named: {message}"
        );
        set(world, "pg", json!({"password": "secret"})).await?;
        world
            .condition("DatabaseReady", "True", "ConnectionComplete")
            .await?;
        world.settled(&controller).await
    })
}

#[test]
fn a_secret_deleted_under_a_server_leaves_its_stateful_set_as_it_is() -> Outcome {
    scenario("deleted", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.secret("tokens", json!({"signing": KEY})).await?;
        world.serve(with_tokens()).await?;
        world.settled(&controller).await?;
        let before = world.child(Child::StatefulSet).await?;
        let config = world.child(Child::Config).await?.resource_version();
        let mark = world.cluster.audit.mark()?;

        world
            .api::<Secret>()
            .delete("tokens", &DeleteParams::default())
            .await?;
        world
            .condition("ConfigReady", "False", "SecretMissing")
            .await?;
        controller.quiet().await?;
        let after = world.child(Child::StatefulSet).await?;
        ensure!(
            after.metadata.generation == before.metadata.generation && after.uid() == before.uid(),
            "it was changed"
        );
        ensure!(
            world.child(Child::Config).await?.resource_version() == config,
            "the ConfigMap was changed"
        );
        let written: Vec<_> = world
            .writes(mark)?
            .into_iter()
            .filter(|entry| {
                !entry.resource.starts_with("dittoservers") && entry.resource != "events"
            })
            .collect();
        ensure!(written.is_empty(), "written: {}", listed(&written));

        // Even with another change of the spec that would restart it.
        world
            .change(json!({"spec": {"logging": {"level": "DEBUG"}}}))
            .await?;
        world.observed(SERVER).await?;
        controller.quiet().await?;
        let after = world.child(Child::StatefulSet).await?;
        ensure!(
            after.metadata.generation == before.metadata.generation,
            "it was changed without its inputs"
        );

        world.secret("tokens", json!({"signing": KEY})).await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        until("the change is rolled out", async || {
            let now = world.child(Child::StatefulSet).await?.metadata.generation;
            Ok(if now != before.metadata.generation {
                Ok(())
            } else {
                Err(format!("generation {now:?}"))
            })
        })
        .await
    })
}

#[test]
fn a_generated_token_key_is_made_again_and_rolled_out_once() -> Outcome {
    scenario("jwt-gone", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let before = world
            .child(Child::StatefulSet)
            .await?
            .metadata
            .generation
            .context("no generation")?;
        let mark = world.cluster.audit.mark()?;
        world
            .api::<Secret>()
            .delete(&Child::Jwt.name(SERVER), &DeleteParams::default())
            .await?;
        until("it is rolled out", async || {
            let now = world.child(Child::StatefulSet).await?.metadata.generation;
            Ok(if now == Some(before + 1) {
                Ok(())
            } else {
                Err(format!("generation {now:?}"))
            })
        })
        .await?;
        controller.quiet().await?;
        ensure!(
            world.child(Child::StatefulSet).await?.metadata.generation == Some(before + 1),
            "rolled out more than once"
        );
        let made: Vec<_> = world
            .writes(mark)?
            .into_iter()
            .filter(|entry| entry.is_creation())
            .collect();
        ensure!(
            made.len() == 1 && made[0].name == Child::Jwt.name(SERVER),
            "made: {}",
            listed(&made)
        );
        Ok(())
    })
}

fn claim() -> Value {
    json!({"metadata": {"name": format!("controlplane-{SERVER}-0")}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}},
    }})
}

#[test]
fn no_password_is_made_for_data_that_knows_another() -> Outcome {
    scenario("burned-in", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.create_json::<PersistentVolumeClaim>(claim()).await?;
        world.serve(json!({})).await?;
        let message = world
            .condition("ConfigReady", "False", "AdminSecretMissing")
            .await?;
        ensure!(
            message.contains(&Child::Admin.name(SERVER)) && message.contains("password"),
            "no remedy: {message}"
        );
        controller.quiet().await?;
        no_pod(world).await?;
        for child in Child::GENERATED {
            ensure!(
                child == Child::Jwt || world.find(child).await?.is_none(),
                "{} was made",
                child.called(SERVER)
            );
        }
        // As the message says: by hand, with the present password and nothing else.
        world
            .secret(
                &Child::Admin.name(SERVER),
                json!({"password": "the-old-one"}),
            )
            .await?;
        world
            .condition("ConfigReady", "True", "InputsComplete")
            .await?;
        world.settled(&controller).await?;
        Ok(())
    })
}

#[test]
fn a_deleted_admin_secret_is_not_made_again_and_touches_nothing() -> Outcome {
    scenario("admin-gone", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let before = world.child(Child::StatefulSet).await?.metadata.generation;
        world
            .api::<Secret>()
            .delete(&Child::Admin.name(SERVER), &DeleteParams::default())
            .await?;
        world
            .condition("ConfigReady", "False", "AdminSecretMissing")
            .await?;
        controller.quiet().await?;
        ensure!(
            world.find(Child::Admin).await?.is_none(),
            "another password was made"
        );
        ensure!(
            world.child(Child::StatefulSet).await?.metadata.generation == before,
            "the StatefulSet was changed"
        );
        Ok(())
    })
}
