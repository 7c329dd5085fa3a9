//! Shares and stores that somebody else made are not touched, unless a person says so.

use anyhow::{Result, ensure};
use cluster_tests::adapters::Admin;
use cluster_tests::shares::{self, SHARE, Stage, condition, make, ready, ready_made};
use cluster_tests::{Outcome, Pods, scenario};
use serde_json::json;

use super::{gets, id, open};

/// A share as a person makes it, with the server's own tools.
pub(super) async fn by_hand(admin: &Admin, name: &str) -> Result<()> {
    let store = json!({"name": name, "type": "badger", "config": format!("{{\"path\":\"/data/store/metadata/{name}\"}}")});
    admin.post("/store/metadata", store).await?;
    let store = json!({"name": name, "type": "fs", "config": "{\"path\":\"/data/store/block\"}"});
    admin.post("/store/block/local", store).await?;
    let share = json!({"name": name, "metadata_store_id": name, "local_block_store": name, "default_permission": "read-write"});
    admin.post("/shares", share).await?;
    Ok(())
}

#[test]
fn a_share_that_a_person_made_is_adopted_only_when_asked() -> Outcome {
    scenario("adopt", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        by_hand(&stage.admin, SHARE).await?;
        let before = stage.admin.get("/shares/films").await?;
        let options = stage.admin.get("/shares/films/adapters/nfs/config").await?;

        let mut spec = open();
        cluster_tests::world::merge(
            &mut spec,
            json!({"quota": "8Mi", "access": {"nfs": {"squash": "none"}}}),
        );
        make(world, SHARE, spec).await?;
        let message = condition(world, SHARE, "Exported", "False", "NameConflict").await?;
        ensure!(message.contains(api_types::annotations::ADOPT), "{message}");
        stage.shares.quiet().await?;
        let after = stage.admin.get("/shares/films").await?;
        ensure!(
            after["updated_at"] == before["updated_at"],
            "{before} became {after}"
        );
        let after = stage.admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(after == options, "{options} became {after}");

        let annotations = json!({ api_types::annotations::ADOPT: "true" });
        shares::change(
            world,
            SHARE,
            json!({"metadata": {"annotations": annotations}}),
        )
        .await?;
        let found = ready(world, SHARE).await?;
        ensure!(before["id"] == id(&found)?, "another share");
        let nfs = shares::nfs(&found)?;
        gets("writing", async || nfs.write("a", b"a").await).await?;
        let after = stage.admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(after["squash"] == "none", "{after}");
        Ok(())
    })
}

#[test]
fn two_objects_cannot_have_one_share() -> Outcome {
    scenario("conflict", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let first = ready_made(world, SHARE, open()).await?;
        make(world, "other", json!({"shareName": SHARE, "quota": "1Mi"})).await?;
        let message = condition(world, "other", "Exported", "False", "NameConflict").await?;
        let owner = format!("{}/{SHARE}", world.namespace);
        ensure!(message.contains(&owner), "{message}");
        stage.shares.quiet().await?;
        let live = stage.admin.get("/shares/films").await?;
        ensure!(live["quota_bytes"].is_null(), "{live}");

        // Taken away, the second leaves the first alone, whatever its policy.
        let patch = json!({"spec": {"deletionPolicy": "Delete"}});
        shares::change(world, "other", patch).await?;
        shares::let_go(world, "other").await?;
        shares::gone(world, "other").await?;
        let again = ready(world, SHARE).await?;
        ensure!(id(&again)? == id(&first)?, "another share");
        let nfs = shares::nfs(&again)?;
        gets("the first serves", async || nfs.list().await).await?;
        Ok(())
    })
}

#[test]
fn a_store_of_our_name_that_somebody_made_is_a_conflict() -> Outcome {
    scenario("store-conflict", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let store = json!({"name": SHARE, "type": "badger", "config": "{\"path\":\"/data/store/metadata/else\"}"});
        let made = stage.admin.post("/store/metadata", store).await?;
        make(world, SHARE, open()).await?;
        condition(world, SHARE, "StoresReady", "False", "NameConflict").await?;
        stage.shares.quiet().await?;
        let live = stage.admin.get("/store/metadata/films").await?;
        ensure!(
            live["id"] == made["id"] && live["config"] == made["config"],
            "{made} became {live}"
        );
        let shares = stage.admin.get("/shares").await?;
        ensure!(shares.as_array().is_none_or(Vec::is_empty), "{shares}");
        // Another name is no conflict.
        ready_made(world, "music", open()).await?;
        Ok(())
    })
}
