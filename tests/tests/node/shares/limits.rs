//! Quota, recycle bin, and shares that are switched off.

use anyhow::ensure;
use cluster_tests::clients::Refusal;
use cluster_tests::shares::{self, SHARE, Stage, becomes, ready_made};
use cluster_tests::world::merge;
use cluster_tests::{Outcome, Pods, scenario};
use serde_json::{Value, json};

use super::{ANONYMOUS, gets, id, open, refused, told};

fn with(more: Value) -> Value {
    let mut spec = open();
    merge(&mut spec, more);
    spec
}

#[test]
fn what_does_not_fit_the_quota_is_refused_until_the_quota_grows() -> Outcome {
    scenario("quota", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        let found = ready_made(world, SHARE, with(json!({"quota": "1Mi"}))).await?;
        let (nfs, smb) = (shares::nfs(&found)?.by(ANONYMOUS), shares::smb(&found)?);
        let big = vec![7; 3 << 20];
        gets("a small file", async || nfs.write("small", b"x").await).await?;
        let answer = told(async || nfs.write("big-nfs", &big).await).await?;
        ensure!(answer == Err(Refusal::Incomplete), "over NFS: {answer:?}");
        let answer = told(async || smb.write("big-smb", &big).await).await?;
        ensure!(answer == Err(Refusal::NoSpace), "over SMB: {answer:?}");

        becomes(world, SHARE, json!({"quota": "12Mi"})).await?;
        gets("a bigger quota, over NFS", async || {
            nfs.write("more-nfs", &big).await
        })
        .await?;
        gets("a bigger quota, over SMB", async || {
            smb.write("more-smb", &big).await
        })
        .await?;
        becomes(world, SHARE, json!({"quota": "1Mi"})).await?;
        refused("a smaller quota", &Refusal::NoSpace, async || {
            smb.write("no", &big).await
        })
        .await?;
        // What is there stays.
        let text = gets("reading", async || smb.read("more-nfs").await).await?;
        ensure!(text == big, "{} bytes", text.len());
        becomes(world, SHARE, json!({"quota": null})).await?;
        gets("no quota", async || smb.write("free", &big).await).await
    })
}

#[test]
fn deleted_files_go_to_the_bin_where_one_is_declared() -> Outcome {
    scenario("trash", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let trash = json!({"enabled": true, "retentionDays": 7, "excludePatterns": ["*.tmp"]});
        let found = ready_made(world, SHARE, with(json!({ "trash": trash }))).await?;
        let smb = shares::smb(&found)?;
        for file in ["keep", "lose.tmp"] {
            gets("writing", async || smb.write(file, b"x").await).await?;
            gets("deleting", async || smb.delete(file).await).await?;
        }
        let bin = stage.admin.get("/shares/films/trash").await?;
        let paths: Vec<&str> = bin
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["original_path"].as_str())
            .collect();
        ensure!(paths.len() == 1 && paths[0].ends_with("keep"), "{bin}");

        // Not declared any more: the bin stays as it is, for switching it off would empty it.
        becomes(world, SHARE, json!({"trash": null})).await?;
        let bin = stage.admin.get("/shares/films/trash").await?;
        ensure!(bin.as_array().is_some_and(|bin| bin.len() == 1), "{bin}");
        becomes(world, SHARE, json!({"trash": {"enabled": false}})).await?;
        let status = stage.admin.get("/shares/films/trash/status").await?;
        ensure!(
            status["enabled"] == false && status["item_count"] == 0,
            "{status}"
        );
        Ok(())
    })
}

#[test]
fn a_share_that_is_switched_off_is_kept_and_comes_back() -> Outcome {
    scenario("enabled", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let found = ready_made(world, SHARE, open()).await?;
        let (nfs, smb) = (shares::nfs(&found)?.by(ANONYMOUS), shares::smb(&found)?);
        gets("writing", async || nfs.write("a", b"a").await).await?;
        shares::change(world, SHARE, json!({"spec": {"enabled": false}})).await?;
        let off = shares::fails(world, SHARE, "Exported");
        let message = off.await?;
        ensure!(message.contains("enabled"), "{message}");
        refused("NFS is off", &Refusal::Denied, async || nfs.list().await).await?;
        refused("SMB is off", &Refusal::Gone, async || smb.list().await).await?;
        let live = stage.admin.get("/shares/films").await?;
        ensure!(live["enabled"] == false, "{live}");

        let again = becomes(world, SHARE, json!({"enabled": true})).await?;
        ensure!(id(&again)? == id(&found)?, "another share");
        let text = gets("it is back", async || smb.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        Ok(())
    })
}
