//! Shares on a real server: made, kept as declared, and removed.

mod access;
mod consent;
mod deletion;
mod drift;
mod fields;
mod limits;
mod losses;
mod many;
mod mounts;
mod netgroups;
mod ownership;
mod policies;
mod stores;
mod withdrawn;

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use api_types::DittoFSShare;
use cluster_tests::clients::{Answer, Refusal};
use cluster_tests::shares::{self, Stage, answers};
use cluster_tests::{Outcome, Pods, World, scenario, until};
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

/// The user that SMB clients without an account are. `nfs-cp` makes files that only their owner can read.
const ANONYMOUS: u32 = 65534;

/// Password of the accounts of these tests.
const PASSWORD: &str = "hidden-password";

/// A user with an account that the operator keeps, and with this permission.
fn ann(permission: &str) -> Value {
    json!({"name": "ann", "permission": permission, "uid": 1000, "gid": 1000,
        "passwordSecretRef": {"name": "ann", "key": "password"}})
}

/// Waits until a client gets what it asks for: the server takes a change for all its clients within
/// moments, and its adapters listen a little later than they say.
pub(crate) async fn gets<T: Debug>(
    what: &str,
    ask: impl AsyncFn() -> Result<Answer<T>>,
) -> Result<T> {
    until(what, async || {
        Ok(ask().await?.map_err(|refusal| format!("{refusal:?}")))
    })
    .await
}

/// Waits until a client is refused in this way.
async fn refused<T: Debug>(
    what: &str,
    refusal: &Refusal,
    ask: impl AsyncFn() -> Result<Answer<T>>,
) -> Result<()> {
    until(what, async || {
        Ok(match ask().await? {
            Err(found) if found == *refusal => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}

/// What a client is told the first time that it is told anything: one that ran out of time, or reached nobody, asks
/// again.
async fn told<T>(ask: impl AsyncFn() -> Result<Answer<T>>) -> Result<Answer<T>> {
    until("a client is answered", async || {
        Ok(match ask().await? {
            Err(Refusal::Other(said)) => Err(said),
            answer => Ok(answer),
        })
    })
    .await
}

/// UUID of a share in the server, as its status has it.
fn id(share: &DittoFSShare) -> Result<String> {
    let id = share
        .status
        .as_ref()
        .and_then(|status| status.share_id.clone());
    id.context("no ID in the status")
}

/// Nothing that these tests keep secret is in what people may read: DittoFSShares, events, ConfigMaps.
async fn nothing_leaks(world: &World, secrets: &[&str]) -> Result<()> {
    use k8s_openapi::api::core::v1::{ConfigMap, Event};
    use kube::api::ListParams;
    let all = ListParams::default();
    let texts = [
        serde_json::to_string(&world.api::<DittoFSShare>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<Event>().list(&all).await?.items)?,
        serde_json::to_string(&world.api::<ConfigMap>().list(&all).await?.items)?,
    ];
    for text in &texts {
        let leak = secrets.iter().find(|secret| text.contains(**secret));
        ensure!(leak.is_none(), "{leak:?} can be read");
    }
    Ok(())
}

/// A grant that opens a share to everybody.
fn open() -> Value {
    json!({"access": {"defaultPermission": "read-write"}})
}

#[test]
fn shares_are_made_with_their_stores_and_shown_with_their_commands() -> Outcome {
    scenario("share", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let spec = json!({"quota": "10Gi", "access": {
            "defaultPermission": "read-write", "nfs": {"squash": "none"}}});
        shares::make(world, "films", spec).await?;
        shares::ready(world, "films").await?;

        let live = stage.admin.get("/shares/films").await?;
        ensure!(live["default_permission"] == "read-write", "{live}");
        ensure!(live["quota_bytes"] == "10.00GiB", "{live}");
        let nfs = stage.admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(nfs["squash"] == "none", "{nfs}");
        let share = shares::get(world, "films").await?;
        let status = share.status.context("no status")?;
        ensure!(
            status.share_id.as_deref() == live["id"].as_str(),
            "another ID"
        );
        let stores = status.stores.context("no stores")?;
        let metadata = stores.metadata.context("no metadata store")?;
        ensure!(metadata.name == "films", "{metadata:?}");
        ensure!(status.claims.context("no claims")?.len() == 2, "claims");
        let command = shares::command(world, "films", "Linux NFSv4.1", |at| at.ends_with(".local"));
        let command = command.await?;
        ensure!(
            command.starts_with("mount -t nfs -o vers=4.1,port=2049 files-adapter-nfs."),
            "{command}"
        );

        // Nothing more is done for a share that is as it shall be.
        stage.shares.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        let before = stage.admin.get("/shares/films").await?["updated_at"].clone();
        tokio::time::sleep(std::time::Duration::from_secs(25)).await;
        let after = stage.admin.get("/shares/films").await?["updated_at"].clone();
        ensure!(before == after, "the share is written again and again");
        let user = &world.share_identity().await?.user;
        let requests = world.cluster.audit.since(mark, user)?;
        let writes: Vec<_> = requests
            .iter()
            .filter(|entry| entry.is_write() && !entry.uri.contains("portforward"))
            .collect();
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    })
}

#[test]
fn shares_stay_as_declared_and_forget_what_is_withdrawn() -> Outcome {
    scenario("drift", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        admin
            .post(
                "/users",
                json!({"username": "ann", "password": "long-enough", "uid": 1000}),
            )
            .await?;
        let spec = json!({"quota": "1Gi", "readOnly": false, "access": {
            "users": [{"name": "ann", "permission": "read-write"}],
            "nfs": {"squash": "all_to_guest", "clients": ["10.0.0.0/8"]},
            "smb": {"encryptData": true}},
            "snapshotPolicy": {"interval": "6h", "keepLast": 3}});
        shares::make(world, "films", spec).await?;
        shares::ready_v3(world, "films").await?;

        // Somebody changes all of it.
        admin
            .put(
                "/shares/films",
                json!({"quota_bytes": "2GiB", "read_only": true, "encrypt_data": false}),
            )
            .await?;
        let other = json!({"squash": "none", "netgroup": ""});
        admin
            .patch("/shares/films/adapters/nfs/config", other)
            .await?;
        admin
            .put(
                "/shares/films/permissions/users/ann",
                json!({"level": "read"}),
            )
            .await?;
        admin
            .put("/shares/films/snapshot-policy", json!({"interval": "1h"}))
            .await?;
        answers(admin, "/shares/films", "the options are back", |live| {
            live["quota_bytes"] == "1.00GiB"
                && live["read_only"] == false
                && live["encrypt_data"] == true
        })
        .await?;
        let path = "/shares/films/adapters/nfs/config";
        answers(admin, path, "the NFS options are back", |live| {
            live["squash"] == "all_to_guest" && live["netgroup"] == "films"
        })
        .await?;
        let path = "/shares/films/permissions";
        answers(admin, path, "the permission is back", |live| {
            live[0]["level"] == "read-write"
        })
        .await?;
        let path = "/shares/films/snapshot-policy";
        answers(admin, path, "the policy is back", |live| {
            live["interval"] == "6h0m0s" && live["keep_last"] == 3
        })
        .await?;
        named(world, "access.nfs.squash").await?;

        // What the spec no longer declares goes back to the default; what it never declared stays.
        admin
            .put("/shares/films", json!({"access_based_enumeration": true}))
            .await?;
        let none = json!({"spec": {"quota": null, "snapshotPolicy": null,
            "access": {"users": [], "nfs": null, "smb": null}}});
        shares::change(world, "films", none).await?;
        shares::ready(world, "films").await?;
        let live = admin.get("/shares/films").await?;
        ensure!(live["quota_bytes"].is_null(), "{live}");
        ensure!(live["encrypt_data"] == false, "{live}");
        ensure!(live["access_based_enumeration"] == true, "{live}");
        let nfs = admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(nfs["squash"] == "root_to_guest", "{nfs}");
        ensure!(nfs["netgroup"] == "", "{nfs}");
        let grants = admin.get("/shares/films/permissions").await?;
        ensure!(grants.as_array().is_none_or(Vec::is_empty), "{grants}");
        let policy = admin.get("/shares/films/snapshot-policy").await;
        ensure!(policy.is_err(), "the policy is still there");
        let netgroups = admin.get("/adapters/nfs/netgroups").await?;
        ensure!(!netgroups.to_string().contains("films"), "{netgroups}");
        Ok(())
    })
}

/// Waits until an event about a share names a field.
async fn named(world: &World, field: &str) -> Result<()> {
    until(&format!("an event names {field}"), async || {
        let events = world.api::<Event>().list(&Default::default()).await?;
        let notes: Vec<String> = events
            .items
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("DriftCorrected"))
            .filter_map(|event| event.note)
            .collect();
        Ok(if notes.iter().any(|note| note.contains(field)) {
            Ok(())
        } else {
            Err(notes.join("; "))
        })
    })
    .await
}

#[test]
fn shares_of_others_are_never_touched_unless_somebody_says_so() -> Outcome {
    scenario("foreign", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        let store = |path: &str| json!({"path": path}).to_string();
        let meta = json!({"name": "films", "type": "badger", "config": store("/data/store/metadata/films")});
        admin.post("/store/metadata", meta).await?;
        let local = json!({"name": "films", "type": "fs", "config": store("/data/store/block")});
        admin.post("/store/block/local", local).await?;
        let share =
            json!({"name": "/films", "metadata_store_id": "films", "local_block_store": "films"});
        let made = admin.post("/shares", share).await?;
        shares::make(world, "films", open()).await?;
        shares::condition(world, "films", "Exported", "False", "NameConflict").await?;
        let live = admin.get("/shares/films").await?;
        ensure!(live["updated_at"] == made["updated_at"], "{live}");
        let adopt = json!({"metadata": {"annotations": {"dittofs.io/adopt": "true"}}});
        shares::change(world, "films", adopt).await?;
        shares::ready(world, "films").await?;
        let live = admin.get("/shares/films").await?;
        ensure!(live["id"] == made["id"], "another share");
        ensure!(live["default_permission"] == "read-write", "{live}");
        Ok(())
    })
}

#[test]
fn shares_that_are_deleted_stay_or_go_as_their_policy_says() -> Outcome {
    scenario("deletion", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        shares::make(world, "kept", open()).await?;
        let mut delete = open();
        delete["deletionPolicy"] = "Delete".into();
        shares::make(world, "gone", delete).await?;
        shares::ready(world, "kept").await?;
        shares::ready(world, "gone").await?;
        let id = admin.get("/shares/kept").await?["id"].clone();

        shares::delete(world, "kept").await?;
        shares::delete(world, "gone").await?;
        let live = admin.get("/shares/kept").await?;
        ensure!(live["enabled"] == true, "{live}");
        for path in [
            "/shares",
            "/store/metadata",
            "/store/block/local",
            "/settings",
        ] {
            let list = admin.get(path).await?.to_string();
            ensure!(!list.contains("gone"), "{path}: {list}");
        }

        // The same object finds its share again; another one does not get it.
        let mut other = open();
        other["shareName"] = "kept".into();
        shares::make(world, "other", other).await?;
        shares::condition(world, "other", "Exported", "False", "NameConflict").await?;
        shares::make(world, "kept", open()).await?;
        shares::ready(world, "kept").await?;
        ensure!(
            admin.get("/shares/kept").await?["id"] == id,
            "another share"
        );
        Ok(())
    })
}

#[test]
fn shares_that_are_paused_are_looked_at_and_left_alone() -> Outcome {
    scenario("paused", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        let paused =
            |value: Value| json!({"metadata": {"annotations": {"dittofs.io/paused": value}}});
        let manifest = json!({"metadata": {"name": "films", "annotations": {"dittofs.io/paused": "true"}},
            "spec": {"serverRef": {"name": cluster_tests::SERVER}, "deletionPolicy": "Delete", "quota": "1Gi"}});
        world
            .create_json::<api_types::DittoFSShare>(manifest)
            .await?;
        shares::condition(world, "films", "Exported", "False", "Paused").await?;
        let settings = admin.get("/settings").await?.to_string();
        ensure!(!settings.contains("films"), "{settings}");
        let finalizers = shares::get(world, "films").await?.metadata.finalizers;
        ensure!(finalizers.is_none_or(|list| list.is_empty()), "a finalizer");

        shares::change(world, "films", paused(Value::Null)).await?;
        shares::ready(world, "films").await?;
        shares::change(world, "films", paused("true".into())).await?;
        admin
            .put("/shares/films", json!({"quota_bytes": "2GiB"}))
            .await?;
        shares::condition(world, "films", "AccessApplied", "False", "Paused").await?;
        let live = admin.get("/shares/films").await?;
        ensure!(live["quota_bytes"] == "2.00GiB", "{live}");
        shares::change(world, "films", paused(Value::Null)).await?;
        answers(admin, "/shares/films", "the quota is back", |live| {
            live["quota_bytes"] == "1.00GiB"
        })
        .await?;
        Ok(())
    })
}

#[test]
fn shares_say_who_is_missing_and_go_on_without() -> Outcome {
    scenario("missing", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        let spec = json!({"quota": "1Gi", "access": {"users": [{"name": "ann", "permission": "read"}],
            "groups": [{"name": "users", "permission": "read-write"}]}});
        shares::make(world, "films", spec).await?;
        let said = shares::condition(world, "films", "AccessApplied", "False", "GranteeMissing");
        let said = said.await?;
        ensure!(said.contains("user ann"), "{said}");
        shares::condition(world, "films", "Exported", "True", "Served").await?;
        let grants = admin.get("/shares/films/permissions").await?;
        ensure!(grants[0]["name"] == "users", "{grants}");
        let ann = json!({"username": "ann", "password": "long-enough"});
        admin.post("/users", ann).await?;
        shares::ready(world, "films").await?;
        let grants = admin.get("/shares/films/permissions").await?.to_string();
        ensure!(grants.contains("ann"), "{grants}");
        Ok(())
    })
}
