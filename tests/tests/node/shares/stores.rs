//! Where the names and the contents of files are kept.

use anyhow::{Context, Result, ensure};
use api_types::DittoFSShare;
use cluster_tests::backends::postgres::Postgres;
use cluster_tests::backends::s3::S3;
use cluster_tests::pods::{another_pod, pod_of};
use cluster_tests::shares::{self, SHARE, Stage, condition, make, ready, ready_made};
use cluster_tests::world::merge;
use cluster_tests::{Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{ANONYMOUS, gets, nothing_leaks, open};

/// The contents of the files of these tests: more than one block.
fn contents() -> Vec<u8> {
    (0..3_000_000_u64)
        .map(|byte| (byte * byte % 251) as u8)
        .collect()
}

fn stored_in(store: Value) -> Value {
    let mut spec = open();
    merge(&mut spec, store);
    spec
}

async fn write(share: &DittoFSShare) -> Result<()> {
    let nfs = shares::nfs(share)?.by(ANONYMOUS);
    gets("writing", async || nfs.write("file", &contents()).await).await
}

async fn read(share: &DittoFSShare) -> Result<()> {
    let smb = shares::smb(share)?;
    let found = gets("reading", async || smb.read("file").await).await?;
    ensure!(found == contents(), "{} other bytes", found.len());
    Ok(())
}

/// Another pod of the server, which serves.
async fn restart(world: &World) -> Result<()> {
    let uid = pod_of(world, SERVER).await?.uid();
    let pods = world.api::<Pod>();
    pods.delete(&api_types::names::pod(SERVER), &DeleteParams::default())
        .await?;
    another_pod(world, SERVER, uid.as_deref()).await?;
    world.condition("Available", "True", "PodServing").await?;
    world
        .condition("AdaptersReady", "True", "AdaptersHealthy")
        .await?;
    Ok(())
}

#[test]
fn every_kind_of_metadata_store_serves_and_outlives_a_restart_as_it_promises() -> Outcome {
    scenario("stores", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        let old = json!({"name": "old", "type": "badger", "config": "{\"path\":\"/data/store/metadata/by-hand\"}"});
        admin.post("/store/metadata", old).await?;
        let kinds = [
            ("badger", json!({"metadataStore": {"type": "badger"}})),
            (
                "placed",
                json!({"metadataStore": {"path": "/data/store/metadata/old/films"},
                "blockStore": {"local": {"path": "/data/store/block/fast"}}}),
            ),
            ("sqlite", json!({"metadataStore": {"type": "sqlite"}})),
            (
                "existing",
                json!({"metadataStore": {"type": "existing", "existing": {"name": "old"}}}),
            ),
            (
                "memory",
                json!({"metadataStore": {"type": "memory"}, "blockStore": {"local": {"type": "memory"}}}),
            ),
        ];
        for (name, spec) in &kinds {
            make(world, name, stored_in(spec.clone())).await?;
        }
        for (name, _) in &kinds {
            let found = ready(world, name).await?;
            write(&found).await.context(*name)?;
            read(&found).await.context(*name)?;
            let stores = found.status.and_then(|status| status.stores);
            let metadata = stores
                .and_then(|stores| stores.metadata)
                .context("no store")?;
            let expected = if *name == "existing" { "old" } else { name };
            ensure!(metadata.name == expected, "{metadata:?} of {name}");
        }
        restart(world).await?;
        for (name, _) in &kinds {
            let found = ready(world, name).await?;
            if *name == "memory" {
                let names = gets("an empty share", async || shares::smb(&found)?.list().await);
                let names = names.await?;
                ensure!(names.is_empty(), "memory remembers {names:?}");
            } else {
                read(&found).await.context(*name)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_share_has_its_metadata_in_postgresql() -> Outcome {
    scenario("postgres", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let postgres = Postgres::start(world).await?;
        let values = postgres.database("films").await?;
        let password = values["password"]
            .as_str()
            .context("no password")?
            .to_owned();
        let store = json!({"type": "postgres", "postgres": {"secretRef": {"name": "pg"}}});
        make(world, SHARE, stored_in(json!({ "metadataStore": store }))).await?;
        let message = shares::fails(world, SHARE, "StoresReady");
        let message = message.await?;
        ensure!(message.contains("pg"), "{message}");

        // The Secret wakes it.
        world.secret("pg", values).await?;
        let found = ready(world, SHARE).await?;
        write(&found).await?;
        read(&found).await?;
        let live = stage.admin.get("/store/metadata/films").await?;
        ensure!(live["type"] == "postgres", "{live}");
        ensure!(live["config"]["sslmode"] == "require", "{live}");
        nothing_leaks(world, &[&password]).await
    })
}

#[test]
fn a_share_in_a_bucket_waits_for_it_and_outlives_its_outages() -> Outcome {
    scenario("s3", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let mut s3 = S3::new(world)?;
        world.secret("s3", s3.secret()).await?;
        let remote =
            json!({"blockStore": {"remote": s3.remote("s3")}, "retention": {"policy": "lru"}});

        // Down when the share is made: said, and put right when it comes back.
        make(world, SHARE, stored_in(remote)).await?;
        let message = shares::fails(world, SHARE, "StoresReady");
        let message = message.await?;
        ensure!(message.contains("remote block store"), "{message}");
        s3.start().await?;
        shares::holds(world, SHARE, "StoresReady").await?;
        let found = ready(world, SHARE).await?;
        write(&found).await?;
        drain(&stage.admin).await?;
        ensure!(s3.objects()? > 0, "nothing in the bucket");

        // Down while it serves: the local tier goes on, and the status says what is missing.
        s3.stop().await?;
        let message = shares::fails(world, SHARE, "StoresReady");
        message.await?;
        let nfs = shares::nfs(&found)?.by(ANONYMOUS);
        gets("writing while the bucket is away", async || {
            nfs.write("later", b"x").await
        })
        .await?;
        let before = s3.objects()?;
        s3.start().await?;
        shares::holds(world, SHARE, "StoresReady").await?;
        ready(world, SHARE).await?;
        drain(&stage.admin).await?;
        ensure!(s3.objects()? > before, "nothing was sent afterwards");
        read(&found).await?;
        nothing_leaks(world, &["hidden-secret-key"]).await
    })
}

/// Sends everything to the bucket.
async fn drain(admin: &cluster_tests::adapters::Admin) -> Result<()> {
    until("everything is sent", async || {
        let drained = admin.post("/system/drain-uploads", json!({})).await;
        Ok(drained.map(|_| ()).map_err(|error| format!("{error:#}")))
    })
    .await
}

#[test]
fn stores_that_need_a_volume_or_a_secret_say_what_is_missing() -> Outcome {
    scenario("store-trouble", Pods::Run, async |world| {
        let without = json!({"storage": {"contentSize": null}});
        let stage = Stage::set(world, without).await?;
        make(world, SHARE, open()).await?;
        condition(world, SHARE, "StoresReady", "False", "NoContentVolume").await?;
        let missing = json!({"metadataStore": {"type": "existing", "existing": {"name": "there-is-none"}},
            "blockStore": {"local": {"type": "memory"}}});
        make(world, "music", stored_in(missing)).await?;
        let message = shares::fails(world, "music", "StoresReady");
        let message = message.await?;
        ensure!(message.contains("there-is-none"), "{message}");
        let shares = stage.admin.get("/shares").await?;
        ensure!(shares.as_array().is_none_or(Vec::is_empty), "{shares}");

        // What can be had without a volume is served.
        let memory = json!({"metadataStore": {"type": "memory"}, "blockStore": {"local": {"type": "memory"}}});
        let found = ready_made(world, "games", stored_in(memory)).await?;
        write(&found).await?;
        read(&found).await
    })
}
