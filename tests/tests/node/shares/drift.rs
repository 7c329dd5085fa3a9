//! What somebody changes with the server's own tools is put back where it is declared, and left alone
//! where it is not.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster_tests::adapters::Admin;
use cluster_tests::backends::s3::S3;
use cluster_tests::shares::{self, SHARE, Stage, TWO_LOOKS, ready, ready_made};
use cluster_tests::wait::within;
use cluster_tests::world::merge;
use cluster_tests::{Controller, Outcome, Pods, World, scenario, until};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::fields::{Field, Fields};
use super::{PASSWORD, ann};

/// A spec that declares everything but a netgroup of the server, which excludes `clients`.
pub(super) fn everything(s3: &S3) -> Value {
    json!({
        "blockStore": {
            "local": {"maxSize": "64Mi", "maxLogSize": "64Mi", "readBufferSize": "2Mi"},
            "remote": s3.remote("s3"),
        },
        "access": {
            "defaultPermission": "read",
            "users": [ann("read-write")],
            "groups": [{"name": "users", "permission": "read"}],
            "blockedOperations": ["LINK"],
            "nfs": {"squash": "root_to_admin", "anonymousUID": 4000, "anonymousGID": 4001, "clients": ["10.0.0.0/8", "192.168.0.0/16"],
                "allowAuthSys": true, "kerberos": {"required": false, "minLevel": "krb5i"}, "disableReaddirplus": true},
            "smb": {"encryptData": true, "accessBasedEnumeration": true, "changeNotifyDisabled": true, "streamsDisabled": true,
                "continuousAvailability": true, "allowMfsymlink": true, "aclFlagInheritedCanonicalization": false},
        },
        "quota": "100Mi",
        "readOnly": false,
        "enabled": true,
        "trash": {"enabled": true, "retentionDays": 30, "maxSize": "10Mi", "restrictToAdmin": true, "excludePatterns": ["*.tmp"]},
        "retention": {"policy": "ttl", "ttl": "72h"},
        "snapshotPolicy": {"interval": "6h", "keepLast": 4, "ttl": "168h", "namePrefix": "six-hourly", "enabled": false},
    })
}

/// The same with a netgroup of the server.
fn with_netgroup(s3: &S3) -> Value {
    let mut spec = everything(s3);
    let nfs = json!({"netgroup": "lan", "clients": null});
    // The account is the other share's.
    let users = json!([{"name": "ann", "permission": "read"}]);
    merge(&mut spec, json!({"access": {"nfs": nfs, "users": users}}));
    spec["blockStore"]["remote"]["s3"]["prefix"] = "music/".into();
    spec
}

/// A server with an S3 server beside it, and the Secrets of [`everything`].
pub(super) async fn prepared(world: &World) -> Result<(shares::Stage, S3)> {
    let mut s3 = S3::new(world)?;
    s3.start().await?;
    world.secret("s3", s3.secret()).await?;
    world.secret("ann", json!({"password": PASSWORD})).await?;
    let stage = Stage::set(world, json!({})).await?;
    let group = json!({"name": "lan"});
    stage.admin.post("/adapters/nfs/netgroups", group).await?;
    Ok((stage, s3))
}

/// What the server has of each field.
async fn values(admin: &Admin, share: &str, fields: &[Field]) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    for field in fields {
        values.push(field.read(admin, share).await?);
    }
    Ok(values)
}

/// Paths of the fields that are not as they were.
fn changed(fields: &[Field], before: &[Value], now: &[Value]) -> Vec<String> {
    let pairs = fields.iter().zip(before.iter().zip(now));
    let changed = pairs.filter(|(_, (before, now))| before != now);
    let shown = changed.map(|(field, (before, now))| format!("{}: {before} is {now}", field.path));
    shown.collect()
}

/// Texts of the events about shares.
async fn events(world: &World) -> Result<String> {
    let events = world.api::<Event>().list(&ListParams::default()).await?;
    let texts = events
        .items
        .iter()
        .filter(|event| event.involved_object.kind.as_deref() == Some("DittoFSShare"));
    let texts = texts.map(|event| event.message.clone().unwrap_or_default());
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_declared_field_is_put_back_when_somebody_changes_it() -> Outcome {
    scenario("drift", Pods::Run, async |world| {
        let (stage, s3) = prepared(world).await?;
        let admin = &stage.admin;
        let films = ready_made(world, SHARE, everything(&s3)).await?;
        let music = ready_made(world, "music", with_netgroup(&s3)).await?;
        let of_films = Fields::of(&films.spec)?;
        let of_music = Fields::of(&music.spec)?;
        let tried: BTreeSet<&str> = of_films
            .declared
            .iter()
            .chain(&of_music.declared)
            .map(|field| field.path)
            .collect();
        let absent = of_films.absent.iter().chain(&of_music.absent);
        let untried: Vec<_> = absent.filter(|path| !tried.contains(**path)).collect();
        ensure!(untried.is_empty(), "declared by no share: {untried:?}");
        let netgroup: Vec<Field> = of_music
            .declared
            .into_iter()
            .filter(|field| field.path == "access.nfs.netgroup")
            .collect();

        // While nobody looks, so that each is seen to have changed.
        stage.shares.stop().await?;
        let mut all = Vec::new();
        for (name, fields) in [(SHARE, &of_films.declared), ("music", &netgroup)] {
            let before = values(admin, name, fields).await?;
            for field in fields {
                field.meddle(admin, name).await?;
            }
            let now = values(admin, name, fields).await?;
            let same: Vec<&str> = (fields.iter().zip(before.iter().zip(&now)))
                .filter(|(_, (before, now))| before == now)
                .map(|(field, _)| field.path)
                .collect();
            ensure!(same.is_empty(), "could not be changed: {same:?}");
            all.push((name, fields, before));
        }
        let again = Controller::shares(world).await?;
        for (name, fields, before) in &all {
            within(TWO_LOOKS, "everything is as declared", async || {
                let now = values(admin, name, fields).await?;
                let left = changed(fields, before, &now);
                Ok(if left.is_empty() {
                    Ok(())
                } else {
                    Err(left.join(", "))
                })
            })
            .await?;
        }
        ready(world, SHARE).await?;
        again.quiet().await?;

        // While it runs: at its next look. The event names the field.
        admin
            .put("/shares/films", json!({"quota_bytes": "7MiB"}))
            .await?;
        let squash = json!({"squash": "all_to_guest"});
        let options = "/shares/films/adapters/nfs/config";
        admin.patch(options, squash).await?;
        within(TWO_LOOKS, "quota and squash are as declared", async || {
            let found = (
                admin.get("/shares/films").await?["quota_bytes"].clone(),
                admin.get(options).await?["squash"].clone(),
            );
            let right = found == (json!("100.00MiB"), json!("root_to_admin"));
            Ok(if right {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            })
        })
        .await?;
        let told = until("an event names the fields", async || {
            let told = events(world).await?;
            let named = told.contains("quota") && told.contains("access.nfs.squash");
            Ok(if named { Ok(told) } else { Err(told) })
        })
        .await?;
        ensure!(!told.contains(PASSWORD), "an event tells the password");
        Ok(())
    })
}

#[test]
fn what_is_not_declared_stays_as_people_set_it() -> Outcome {
    scenario("undeclared", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        ready_made(world, SHARE, json!({})).await?;
        admin
            .put(
                "/shares/films",
                json!({"quota_bytes": "9MiB", "trash_enabled": true, "encrypt_data": true}),
            )
            .await?;
        let squash = json!({"squash": "all_to_guest"});
        admin
            .patch("/shares/films/adapters/nfs/config", squash)
            .await?;
        admin
            .put(
                "/shares/films/permissions/groups/users",
                json!({"level": "read"}),
            )
            .await?;
        admin
            .put("/shares/films/snapshot-policy", json!({"interval": "5h"}))
            .await?;
        let before = admin.get("/shares/films").await?;

        // Something that is declared changes, so the controller has looked and written.
        admin
            .put("/shares/films", json!({"default_permission": "admin"}))
            .await?;
        within(
            TWO_LOOKS,
            "the default permission is none again",
            async || {
                let now = admin.get("/shares/films").await?;
                let level = now["default_permission"].clone();
                Ok(if level == "none" {
                    Ok(())
                } else {
                    Err(level.to_string())
                })
            },
        )
        .await?;
        stage.shares.quiet().await?;
        let now = admin.get("/shares/films").await?;
        for key in ["quota_bytes", "trash_enabled", "encrypt_data"] {
            ensure!(
                now[key] == before[key],
                "{key}: {} became {}",
                before[key],
                now[key]
            );
        }
        let options = admin.get("/shares/films/adapters/nfs/config").await?;
        ensure!(options["squash"] == "all_to_guest", "{options}");
        let permissions = admin.get("/shares/films/permissions").await?;
        ensure!(
            permissions.as_array().is_some_and(|all| all.len() == 1),
            "{permissions}"
        );
        let policy = admin.get("/shares/films/snapshot-policy").await?;
        ensure!(policy["interval"] == "5h0m0s", "{policy}");
        Ok(())
    })
}

#[test]
fn an_account_that_somebody_deletes_is_made_again() -> Outcome {
    scenario("account-drift", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        let spec = json!({"access": {"users": [ann("read-write")]}});
        let found = ready_made(world, SHARE, spec).await?;
        let smb = shares::smb(&found)?.by("ann", PASSWORD);
        super::gets("before", async || smb.list().await).await?;
        stage.admin.delete("/users/ann").await?;
        within(TWO_LOOKS, "the account works again", async || {
            Ok(smb
                .list()
                .await?
                .map(|_| ())
                .map_err(|refusal| format!("{refusal:?}")))
        })
        .await?;
        let account = stage.admin.get("/users/ann").await?;
        ensure!(
            account["uid"] == 1000 && account["role"] == "user",
            "{account}"
        );

        // An account of somebody else is not ours to keep.
        let bob = json!({"username": "bob", "password": "the-password-of-bob", "role": "user"});
        stage.admin.post("/users", bob).await?;
        let mut bob = ann("read");
        bob["name"] = "bob".into();
        bob["uid"] = 2000.into();
        let users = json!([ann("read-write"), bob]);
        shares::change(world, SHARE, json!({"spec": {"access": {"users": users}}})).await?;
        let message = shares::fails(world, SHARE, "AccessApplied");
        let message = message.await?;
        ensure!(message.contains("bob"), "{message}");
        let smb = shares::smb(&found)?.by("bob", PASSWORD).list().await?;
        ensure!(
            smb == Err(cluster_tests::clients::Refusal::NoAccount),
            "somebody's password was changed: {smb:?}"
        );
        let account = stage.admin.get("/users/bob").await?;
        ensure!(account["uid"].is_null(), "{account}");
        Ok(())
    })
}

/// A store that somebody pointed elsewhere would lose the files at the server's next start: that is put
/// back or said, and nothing else is done about it.
#[test]
fn a_store_that_somebody_points_elsewhere_is_noticed() -> Outcome {
    scenario("store-drift", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let admin = &stage.admin;
        let found = ready_made(world, SHARE, super::open()).await?;
        let path = "/store/metadata/films";
        let right = admin.get(path).await?["config"].clone();
        let wrong = json!({"path": "/data/store/metadata/elsewhere"});
        admin
            .put(path, json!({"config": wrong.to_string()}))
            .await?;
        let noticed = within(TWO_LOOKS, "it is put back or said", async || {
            let share = shares::get(world, SHARE).await?;
            let said = shares::conditions(&share);
            let config = admin.get(path).await?["config"].clone();
            Ok(
                if config["path"] == right["path"] || said.contains("StoresReady=False") {
                    Ok(said)
                } else {
                    Err(format!("{config}\n{said}"))
                },
            )
        });
        noticed.await.context("nobody noticed")?;
        let nfs = shares::nfs(&found)?;
        super::gets("it serves", async || nfs.write("a", b"a").await).await
    })
}
