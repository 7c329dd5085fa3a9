//! The server restarts, or loses what it knew.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use api_types::annotations::RECREATE_EMPTY;
use cluster_tests::adapters::Admin;
use cluster_tests::pods::{another_pod, pod_of};
use cluster_tests::request_log::{Answered, answered};
use cluster_tests::shares::{self, SHARE, Stage, condition, make, ready, ready_made};
use cluster_tests::world::merge;
use cluster_tests::{Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::{PASSWORD, ann, gets, id, open};

/// A share with something of every kind that can be lost.
fn rich() -> Value {
    let mut spec = open();
    let more = json!({
        "access": {"users": [ann("read-write")], "nfs": {"squash": "none", "clients": ["10.0.0.0/8"]}},
        "quota": "10Mi",
        "snapshotPolicy": {"interval": "6h", "enabled": false},
    });
    merge(&mut spec, more);
    spec
}

/// What the server has of the share.
async fn state(admin: &Admin) -> Result<Value> {
    let mut share = admin.get("/shares/films").await?;
    let fields = share.as_object_mut().context("no share")?;
    for key in [
        "id",
        "metadata_store_id",
        "local_block_store_id",
        "created_at",
        "updated_at",
        "status",
    ] {
        fields.remove(key);
    }
    let mut policy = admin.get("/shares/films/snapshot-policy").await?;
    let fields = policy.as_object_mut().context("no policy")?;
    for key in ["created_at", "updated_at"] {
        fields.remove(key);
    }
    Ok(json!({
        "share": share,
        "policy": policy,
        "nfs": admin.get("/shares/films/adapters/nfs/config").await?,
        "permissions": admin.get("/shares/films/permissions").await?,
    }))
}

/// Waits until both protocols serve, after the server was away.
async fn back(world: &World) -> Result<Admin> {
    world.condition("Available", "True", "PodServing").await?;
    world
        .condition("Progressing", "False", "RolloutComplete")
        .await?;
    world
        .condition("AdaptersReady", "True", "AdaptersHealthy")
        .await?;
    Admin::of(world).await
}

#[test]
fn a_share_outlives_a_restart_of_the_server_and_costs_no_write() -> Outcome {
    scenario("share-restart", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        let first = ready_made(world, SHARE, rich()).await?;
        let nfs = shares::nfs(&first)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;
        let before = state(&stage.admin).await?;
        let uid = pod_of(world, SERVER).await?.uid();
        let pods = world.api::<Pod>();
        let name = api_types::names::pod(SERVER);
        pods.delete(&name, &DeleteParams::default()).await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        let admin = back(world).await?;
        let again = ready(world, SHARE).await?;
        stage.shares.quiet().await?;
        ensure!(id(&again)? == id(&first)?, "another share");
        let after = state(&admin).await?;
        ensure!(after == before, "{before}\nbecame\n{after}");
        let text = gets("reading", async || nfs.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        // The log begins with the pod.
        let requests = answered(world).await?;
        let writes: Vec<&Answered> = requests
            .iter()
            .filter(|request| request.is_write() && request.is_about_shares())
            .collect();
        ensure!(writes.is_empty(), "written: {writes:?}");
        Ok(())
    })
}

#[test]
fn a_server_that_forgot_everything_gets_its_shares_back_with_their_files() -> Outcome {
    scenario("forgot", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        let first = ready_made(world, SHARE, rich()).await?;
        // Files of nfs-cp can be read by their owner alone.
        let nfs = shares::nfs(&first)?.by(1000);
        gets("writing", async || nfs.write("a", b"a").await).await?;
        let before = state(&stage.admin).await?;
        let uid = pod_of(world, SERVER).await?.uid();

        // Another control-plane database, on the same claims.
        let database = json!({"sqlite": {"path": "/data/controlplane/other.db"}});
        world
            .change(json!({"spec": {"database": database}}))
            .await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        let admin = back(world).await?;
        until("the share is another one, and ready", async || {
            let found = shares::get(world, SHARE).await?;
            let said = shares::conditions(&found);
            Ok(match id(&found) {
                Ok(now) if now != id(&first)? && said.contains("Ready=True") => Ok(()),
                other => Err(format!("{other:?} {said}")),
            })
        })
        .await?;
        let after = state(&admin).await?;
        ensure!(after == before, "{before}\nbecame\n{after}");
        let text = gets("the file is there again", async || nfs.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        let again = ready(world, SHARE).await?;
        let ann = shares::smb(&again)?.by("ann", PASSWORD);
        let text = gets("the account is there again", async || ann.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        Ok(())
    })
}

#[test]
fn an_object_made_anew_notices_that_the_volumes_were_replaced_before() -> Outcome {
    scenario("anew", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let first = ready_made(world, SHARE, open()).await?;
        let nfs = shares::nfs(&first)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;
        shares::delete(world, SHARE).await?;

        // The control plane stays, and with it everything that the server knows; the files go.
        world.change(json!({"spec": {"replicas": 0}})).await?;
        world.condition("Available", "False", "Stopped").await?;
        let claims = world.api::<PersistentVolumeClaim>();
        let gone = ["metadata", "content"].map(|volume| format!("{volume}-{SERVER}-0"));
        for name in &gone {
            claims.delete(name, &DeleteParams::default()).await?;
        }
        until("the claims are gone", async || {
            let mut left = Vec::new();
            for name in &gone {
                left.extend(claims.get_opt(name).await?.map(|_| name.clone()));
            }
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            })
        })
        .await?;
        world.change(json!({"spec": {"replicas": 1}})).await?;
        back(world).await?;

        make(world, SHARE, open()).await?;
        let message = condition(world, SHARE, "Exported", "False", "DataVolumeReplaced").await?;
        ensure!(message.contains(RECREATE_EMPTY), "{message}");
        stage.shares.quiet().await?;
        let annotations = json!({"metadata": {"annotations": {RECREATE_EMPTY: "true"}}});
        shares::change(world, SHARE, annotations).await?;
        ready(world, SHARE).await?;
        Ok(())
    })
}

#[test]
fn a_share_whose_volumes_were_replaced_stays_away_until_a_person_says_otherwise() -> Outcome {
    scenario("replaced", Pods::Run, async |world| {
        let go = json!({"storage": {"retentionPolicy": {"whenDeleted": "Delete"}}});
        let stage = Stage::set(world, go.clone()).await?;
        let first = ready_made(world, SHARE, open()).await?;
        let nfs = shares::nfs(&first)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;

        let servers = world.api::<DittoServer>();
        servers.delete(SERVER, &DeleteParams::foreground()).await?;
        until("the server and its claims are gone", async || {
            let server = servers.get_opt(SERVER).await?.is_some();
            let claims = world.api::<PersistentVolumeClaim>();
            let claims = claims.list(&ListParams::default()).await?.items.len();
            Ok(if !server && claims == 0 {
                Ok(())
            } else {
                Err(format!("{server}, {claims} claims"))
            })
        })
        .await?;
        let waits = shares::fails(world, SHARE, "ServerReady");
        waits.await?;

        let mut spec = cluster_tests::adapters::fast();
        merge(&mut spec, go);
        world.serve(spec).await?;
        let admin = back(world).await?;
        let message = condition(world, SHARE, "Exported", "False", "DataVolumeReplaced").await?;
        ensure!(message.contains(RECREATE_EMPTY), "{message}");
        stage.shares.quiet().await?;
        let live = admin.get("/shares").await?;
        ensure!(
            live.as_array().is_none_or(Vec::is_empty),
            "an empty share: {live}"
        );

        let annotations = json!({ RECREATE_EMPTY: "true" });
        shares::change(
            world,
            SHARE,
            json!({"metadata": {"annotations": annotations}}),
        )
        .await?;
        let again = ready(world, SHARE).await?;
        let nfs = shares::nfs(&again)?;
        let entries = gets("it is served", async || nfs.list().await).await?;
        ensure!(entries.is_empty(), "{entries:?}");
        Ok(())
    })
}
