//! What was declared once and no longer is goes back to what a new share has.

use anyhow::{Context, Result, ensure};
use cluster_tests::adapters::Admin;
use cluster_tests::shares::{self, SHARE, ready, ready_made};
use cluster_tests::{Controller, Outcome, Pods, World, scenario};
use serde_json::{Value, json};

use super::drift::{everything, prepared};

/// Keys of a share that are its own.
const OWN: [&str; 9] = [
    "id",
    "name",
    "metadata_store_id",
    "local_block_store_id",
    "remote_block_store_id",
    "created_at",
    "updated_at",
    "status",
    "warnings",
];
/// What the server cannot forget: it reads this time with the policy ttl only. And the bin stays, for
/// switching it off would empty it.
const KEPT: [&str; 2] = ["retention_ttl", "trash_enabled"];

/// All that the server has of a share, but what is its own.
async fn all(admin: &Admin, name: &str) -> Result<Value> {
    let mut share = admin.get(&format!("/shares/{name}")).await?;
    let fields = share.as_object_mut().context("no share")?;
    for key in OWN.iter().chain(&KEPT) {
        fields.remove(*key);
    }
    let mut options = admin
        .get(&format!("/shares/{name}/adapters/nfs/config"))
        .await?;
    // A new share has none, which is the same.
    for key in ["anonymous_uid", "anonymous_gid"] {
        if options[key].is_null() {
            options[key] = 65534.into();
        }
    }
    let permissions = admin.get(&format!("/shares/{name}/permissions")).await?;
    let policies = admin.get("/snapshot-policies").await?;
    let policies: Vec<&Value> = policies
        .as_array()
        .into_iter()
        .flatten()
        .filter(|policy| {
            let share = policy["share"].as_str().unwrap_or_default();
            share.trim_start_matches('/') == name
        })
        .collect();
    Ok(json!({"share": share, "nfs": options, "permissions": permissions, "policies": policies}))
}

/// The same, made anew: nothing but where the files are kept.
fn plain(spec: &Value) -> Value {
    let mut remote = spec["blockStore"]["remote"].clone();
    remote["s3"]["prefix"] = "plain/".into();
    json!({"blockStore": {"local": {"type": "fs"}, "remote": remote}})
}

/// A merge patch that takes every field out of the spec that can be taken out.
fn nothing() -> Value {
    json!({"spec": {
        "blockStore": {"local": {"maxSize": null, "maxLogSize": null, "readBufferSize": null}},
        "access": null, "quota": null, "readOnly": null, "enabled": null, "trash": null,
        "retention": null, "snapshotPolicy": null,
    }})
}

async fn as_new(world: &World, admin: &Admin) -> Result<()> {
    ready(world, SHARE).await?;
    let (found, fresh) = (all(admin, SHARE).await?, all(admin, "plain").await?);
    ensure!(found == fresh, "{found}\nis not as a new share:\n{fresh}");
    let groups = admin.get("/adapters/nfs/netgroups").await?;
    let names: Vec<_> = groups
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| group["name"].as_str())
        .collect();
    ensure!(names == ["lan"], "netgroups: {names:?}");
    Ok(())
}

#[test]
fn fields_that_leave_the_spec_go_back_to_the_servers_defaults() -> Outcome {
    scenario("withdrawn", Pods::Run, async |world| {
        let (stage, s3) = prepared(world).await?;
        let admin = &stage.admin;
        let spec = everything(&s3);
        ready_made(world, SHARE, spec.clone()).await?;
        ready_made(world, "plain", plain(&spec)).await?;
        let people = json!({"level": "admin"});
        admin
            .put("/shares/films/permissions/users/admin", people)
            .await?;

        shares::change(world, SHARE, nothing()).await?;
        ready(world, SHARE).await?;
        // What a person gave stays.
        let permissions = admin.get("/shares/films/permissions").await?;
        ensure!(
            permissions == json!([{"type": "user", "name": "admin", "level": "admin"}]),
            "{permissions}"
        );
        admin
            .delete("/shares/films/permissions/users/admin")
            .await?;
        as_new(world, admin).await?;
        stage.shares.quiet().await
    })
}

#[test]
fn fields_that_left_the_spec_while_the_controller_was_down_go_back_too() -> Outcome {
    scenario("withdrawn-down", Pods::Run, async |world| {
        let (stage, s3) = prepared(world).await?;
        let admin = &stage.admin;
        let spec = everything(&s3);
        ready_made(world, SHARE, spec.clone()).await?;
        ready_made(world, "plain", plain(&spec)).await?;
        stage.shares.stop().await?;
        shares::change(world, SHARE, nothing()).await?;
        let again = Controller::shares(world).await?;
        as_new(world, admin).await?;
        again.quiet().await
    })
}
