//! The annotation that stops all writes, and finalizers that older releases left.

use anyhow::{Result, ensure};
use api_types::DittoServer;
use cluster_tests::audit::listed;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, scenario, until};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

#[test]
fn a_paused_server_is_left_alone_but_for_its_status() -> Outcome {
    scenario("paused", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let annotations =
            |value| json!({"metadata": {"annotations": {"dittofs.io/paused": value}}});
        world.change(annotations(Some("true"))).await?;
        let message = world.condition("Progressing", "False", "Paused").await?;
        ensure!(
            message.contains("dittofs.io/paused"),
            "it does not say what to do: {message}"
        );
        controller.quiet().await?;

        let mark = world.cluster.audit.mark()?;
        world
            .change(json!({"spec": {"disruption": "Block", "logging": {"level": "DEBUG"}}}))
            .await?;
        world
            .meddle(Child::Policy, &json!({"spec": {"ingress": [{}]}}))
            .await?;
        world
            .objects(&Child::Api.resource())
            .delete(&Child::Api.name(SERVER), &DeleteParams::default())
            .await?;
        world.condition("Progressing", "False", "Paused").await?;
        controller.quiet().await?;
        let written: Vec<_> = world
            .writes(mark)?
            .into_iter()
            .filter(|entry| entry.resource != "dittoservers/status")
            .collect();
        ensure!(
            written.is_empty(),
            "written although paused: {}",
            listed(&written)
        );

        world.change(annotations(None)).await?;
        until("everything is put right", async || {
            let budget = world.child(Child::Budget).await?;
            let policy = world.child(Child::Policy).await?;
            let api = world.find(Child::Api).await?.is_some();
            let blocked = budget.data.pointer("/spec/minAvailable").is_some();
            let closed = policy.data.pointer("/spec/ingress/0/ports").is_some();
            Ok(if api && blocked && closed {
                Ok(())
            } else {
                Err(format!("Service {api}, budget {blocked}, policy {closed}"))
            })
        })
        .await?;
        world.settled(&controller).await
    })
}

#[test]
fn a_paused_server_can_be_deleted() -> Outcome {
    scenario("paused-del", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        let mut manifest = world.manifest(json!({}));
        manifest["metadata"]["annotations"] = json!({"dittofs.io/paused": "true"});
        manifest["metadata"]["finalizers"] = json!(["dittofs.dittofs.com/finalizer"]);
        world.create_json::<DittoServer>(manifest).await?;
        world.condition("Progressing", "False", "Paused").await?;
        controller.quiet().await?;
        ensure!(
            !world.server().await?.finalizers().is_empty(),
            "a paused server was written to"
        );
        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::default())
            .await?;
        until("it is gone", async || {
            let server = world.api::<DittoServer>().get_opt(SERVER).await?;
            Ok(match server {
                None => Ok(()),
                Some(server) => Err(format!("finalizers {:?}", server.finalizers())),
            })
        })
        .await
    })
}

#[test]
fn an_inherited_finalizer_is_removed_and_others_stay() -> Outcome {
    scenario("finalizer", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        let mut manifest = world.manifest(json!({}));
        manifest["metadata"]["finalizers"] =
            json!(["example.org/theirs", "dittofs.dittofs.com/finalizer"]);
        world.create_json::<DittoServer>(manifest).await?;
        until("ours is removed", async || {
            let server = world.server().await?;
            Ok(if server.finalizers() == ["example.org/theirs"] {
                Ok(())
            } else {
                Err(format!("{:?}", server.finalizers()))
            })
        })
        .await?;
        world.settled(&controller).await?;
        world
            .change(json!({"metadata": {"finalizers": null}}))
            .await?;
        Ok(())
    })
}

#[test]
fn an_inherited_finalizer_does_not_hold_a_deletion() -> Outcome {
    scenario("finalizer2", Pods::None, async |world| {
        let mut manifest = world.manifest(json!({}));
        manifest["metadata"]["finalizers"] = json!(["dittofs.dittofs.com/finalizer"]);
        world.create_json::<DittoServer>(manifest).await?;
        world
            .api::<DittoServer>()
            .delete(SERVER, &DeleteParams::default())
            .await?;
        let controller = Controller::start(world).await?;
        let gone = async || -> Result<Result<(), String>> {
            Ok(match world.api::<DittoServer>().get_opt(SERVER).await? {
                None => Ok(()),
                Some(server) => Err(format!("finalizers {:?}", server.finalizers())),
            })
        };
        until("it is gone", gone).await?;
        controller.quiet().await?;
        for child in Child::APPLIED.into_iter().chain(Child::GENERATED) {
            ensure!(
                world.find(child).await?.is_none(),
                "{} was made for a server that is going",
                child.called(SERVER)
            );
        }
        Ok(())
    })
}
