//! Shares on a real server when something goes wrong: crashes, restarts, lost volumes, changed Secrets,
//! servers that are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names::Volume;
use cluster_tests::adapters::Admin;
use cluster_tests::clients::{Nfs, Smb};
use cluster_tests::pods::another_pod;
use cluster_tests::shares::{self, Stage, answers};
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, request_log, scenario, until};
use controller_runtime::{BootClock, Fence};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::shares::gets;

/// Lets a number of requests pass that change something, and no more.
#[derive(Debug)]
struct Ends {
    passed: AtomicU64,
    most: u64,
}

impl Ends {
    fn fence(most: u64) -> (Arc<Self>, Fence) {
        let clock = Arc::new(Ends {
            passed: AtomicU64::new(0),
            most,
        });
        let fence = Fence::new(Arc::clone(&clock) as Arc<dyn BootClock>);
        fence.extend(Duration::from_secs(2));
        (clock, fence)
    }

    fn ended(&self) -> bool {
        self.passed.load(Ordering::SeqCst) > self.most
    }
}

impl BootClock for Ends {
    fn now(&self) -> Duration {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst);
        Duration::from_secs(if passed < self.most { 1 } else { 3 })
    }
}

/// Something of everything; `name` is that of the share, and of its user.
fn rich(name: &str) -> Value {
    json!({"quota": "1Gi", "readOnly": false, "deletionPolicy": "Delete",
        "snapshotPolicy": {"interval": "6h", "keepLast": 3},
        "access": {"defaultPermission": "read",
            "users": [{"name": name, "permission": "read-write",
                "passwordSecretRef": {"name": "password", "key": "password"}}],
            "groups": [{"name": "users", "permission": "read"}],
            "nfs": {"squash": "all_to_guest", "clients": ["10.0.0.0/8", "192.168.0.0/16"]},
            "smb": {"encryptData": true}}})
}

/// Everything that the server has of a share, without what differs from one to the next.
async fn everything(admin: &Admin, name: &str) -> Result<String> {
    let mut parts = Vec::new();
    for path in [
        format!("/shares/{name}"),
        format!("/shares/{name}/permissions"),
        format!("/shares/{name}/adapters/nfs/config"),
        format!("/shares/{name}/snapshot-policy"),
        format!("/adapters/nfs/netgroups/{name}"),
        format!("/store/metadata/{name}"),
        format!("/store/block/local/{name}"),
        format!("/users/{name}"),
        format!("/settings/operator.share.{name}"),
    ] {
        parts.push(admin.get(&path).await?);
    }
    let mut all = Value::Array(parts);
    plain(&mut all);
    let uid = regex(&all.to_string());
    Ok(uid.replace(name, "NAME"))
}

/// The UID in the marker, which is JSON in JSON.
fn regex(text: &str) -> String {
    let Some(at) = text.find(r#"\"uid\":\""#) else {
        return text.to_owned();
    };
    let start = at + r#"\"uid\":\""#.len();
    format!("{}UID{}", &text[..start], &text[start + 36..])
}

fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| {
                !(key == "id"
                    || key.ends_with("_id")
                    || key.ends_with("_at")
                    || key == "status"
                    || key == "latency_ms")
            });
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(plain);
            items.sort_by_key(Value::to_string);
        }
        _ => {}
    }
}

#[test]
fn share_crashes_after_any_request_end_in_the_same_state() -> Outcome {
    scenario("crash", Pods::Run, async |world| {
        world
            .secret("password", json!({"password": "long-enough"}))
            .await?;
        let Stage {
            servers: _servers,
            adapters: _adapters,
            shares: controller,
            admin,
        } = Stage::set(world, json!({})).await?;
        shares::make(world, "whole", rich("whole")).await?;
        shares::ready_v3(world, "whole").await?;
        let expected = everything(&admin, "whole").await?;
        controller.stop().await?;
        let mut crashes = 0;
        for most in 1..40 {
            let name = format!("s{most}");
            shares::make(world, &name, rich(&name)).await?;
            let (clock, fence) = Ends::fence(most);
            let controller = Controller::shares_within(world, Some(fence)).await?;
            let ended = until("the controller has ended or is done", async || {
                if clock.ended() {
                    return Ok(Ok(true));
                }
                let share = shares::get(world, &name).await?;
                let text = shares::conditions(&share);
                Ok(if text.contains("Ready=True AllReady") {
                    Ok(false)
                } else {
                    Err(text)
                })
            })
            .await?;
            controller.crash().await;
            let controller = Controller::shares(world).await?;
            shares::ready_v3(world, &name).await?;
            let found = everything(&admin, &name).await?;
            ensure!(
                found == expected,
                "after {most}:\n{found}\nand not\n{expected}"
            );
            controller.stop().await?;
            if !ended {
                break;
            }
            crashes += 1;
        }
        ensure!(crashes >= 10, "only {crashes} requests");

        // The removal, too.
        let names: Vec<String> = (1..=crashes).map(|most| format!("s{most}")).collect();
        for (most, name) in (1..).zip(&names) {
            let resource = world.api::<api_types::DittoFSShare>();
            resource.delete(name, &DeleteParams::default()).await?;
            let (clock, fence) = Ends::fence(most);
            let controller = Controller::shares_within(world, Some(fence)).await?;
            until("the controller has ended or is done", async || {
                let gone = resource.get_opt(name).await?.is_none();
                Ok(if gone || clock.ended() {
                    Ok(())
                } else {
                    Err("it works".to_owned())
                })
            })
            .await?;
            controller.crash().await;
        }
        let _controller = Controller::shares(world).await?;
        for name in &names {
            shares::gone(world, name).await?;
        }
        for path in [
            "/shares",
            "/store/metadata",
            "/store/block/local",
            "/users",
            "/settings",
            "/adapters/nfs/netgroups",
        ] {
            let list = admin.get(path).await?.to_string();
            for name in &names {
                ensure!(!list.contains(&format!("\"{name}\"")), "{path}: {list}");
            }
        }
        ensure!(
            everything(&admin, "whole").await? == expected,
            "another share changed"
        );
        Ok(())
    })
}

#[test]
fn share_accounts_follow_their_secrets() -> Outcome {
    scenario("accounts", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        let user = json!({"name": "ann", "permission": "read-write", "uid": 1000,
            "passwordSecretRef": {"name": "ann", "key": "password"}});
        let spec = json!({"access": {"users": [user]}});
        shares::make(world, "films", spec).await?;
        let missing = shares::condition(world, "films", "AccessApplied", "False", "SecretMissing");
        ensure!(missing.await?.contains("Secret ann"), "which one");
        world
            .secret("ann", json!({"password": "first-password"}))
            .await?;
        shares::ready(world, "films").await?;

        let url = shares::command(world, "films", "libnfs", |at| at.starts_with("10.")).await?;
        let nfs = Nfs::at(&url).by(1000);
        gets("writing over NFS", async || {
            nfs.write("hello", b"over NFS").await
        })
        .await?;
        let host = cluster_tests::adapters::address(world, api_types::v1alpha1::AdapterKind::Smb);
        let smb = Smb::at(&host.await?.1, 445, "films");
        let ann = smb.by("ann", "first-password");
        let read = gets("reading over SMB", async || ann.read("hello").await).await?;
        ensure!(read == b"over NFS", "{read:?}");
        ensure!(smb.list().await?.is_err(), "everybody may read");
        let others = Nfs::at(&url).by(2000).read("hello").await?;
        ensure!(others.is_err(), "everybody may read over NFS");

        // Another password takes the place of the first.
        let patch = json!({"stringData": {"password": "second-password"}});
        let secrets = world.api::<Secret>();
        secrets
            .patch("ann", &somebody(), &Patch::Merge(patch))
            .await?;
        until("the new password opens the share", async || {
            Ok(
                match smb.by("ann", "second-password").read("hello").await? {
                    Ok(_) => Ok(()),
                    Err(refusal) => Err(format!("{refusal:?}")),
                },
            )
        })
        .await?;
        let old = smb.by("ann", "first-password").read("hello").await?;
        ensure!(old.is_err(), "the old password still opens it");
        let status = serde_json::to_string(&shares::get(world, "films").await?.status)?;
        ensure!(!status.contains("password\""), "{status}");
        ensure!(!status.contains("second-password"), "{status}");

        // A user of somebody else is not taken over, and one that is withdrawn goes.
        let bob = json!({"username": "bob", "password": "bobs-password"});
        stage.admin.post("/users", bob).await?;
        let other = json!({"name": "bob", "permission": "read",
            "passwordSecretRef": {"name": "ann", "key": "password"}});
        let change = json!({"spec": {"access": {"users": [other]}}});
        shares::change(world, "films", change).await?;
        shares::condition(world, "films", "AccessApplied", "False", "NameConflict").await?;
        stage.admin.rest.session("bob", "bobs-password").await?;
        answers(&stage.admin, "/users", "ann is gone", |users| {
            !users.to_string().contains("\"ann\"")
        })
        .await?;
        Ok(())
    })
}

#[test]
fn shares_outlive_a_restart_and_cost_no_requests_that_change_anything() -> Outcome {
    scenario("restart", Pods::Run, async |world| {
        let logging = json!({"logging": {"level": "INFO", "format": "json"}});
        let _stage = Stage::set(world, logging).await?;
        const SHARES: usize = 12;
        let names: Vec<String> = (0..SHARES).map(|number| format!("s{number}")).collect();
        for name in &names {
            let spec = json!({"access": {"defaultPermission": "read-write"}});
            shares::make(world, name, spec).await?;
        }
        for name in &names {
            shares::ready(world, name).await?;
        }
        let log = request_log::answered(world).await?;
        let about = |share: &str| {
            let ours = log.iter().filter(|request| request.is_write());
            ours.filter(|request| request.path.contains(share)).count()
        };
        let markers = about("/settings/operator.share.s3");
        ensure!(markers == 1, "{markers} markers: {log:?}");
        let writes = log
            .iter()
            .filter(|request| request.is_write() && request.is_about_shares());
        let writes: Vec<String> = writes.map(ToString::to_string).collect();
        // A user for each of two controllers, and for each share the marker, two stores and itself.
        ensure!(
            writes.len() <= 4 * SHARES + 8,
            "{}: {writes:?}",
            writes.len()
        );

        let before = another_pod(world, SERVER, None).await?;
        let pods = world.api::<Pod>();
        let since = Instant::now();
        pods.delete(&before.name_any(), &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, before.uid().as_deref()).await?;
        world.condition("Available", "True", "PodServing").await?;
        for name in &names {
            shares::ready(world, name).await?;
        }
        // Three comparisons.
        tokio::time::sleep(Duration::from_secs(35)).await;
        let log = request_log::answered(world).await?;
        let ours = log.iter().filter(|request| request.is_about_shares());
        let (writes, reads): (Vec<_>, Vec<_>) = ours.partition(|request| request.is_write());
        ensure!(writes.is_empty(), "{writes:?}");
        // Nine lists each time, whatever the number of shares: at least every ten seconds less their jitter, and once
        // when it is told that the server is back.
        let looks = usize::try_from(since.elapsed().as_secs() / 9)? + 2;
        ensure!(
            (9..=9 * looks).contains(&reads.len()),
            "{} reads in {looks} looks: {reads:?}",
            reads.len()
        );
        Ok(())
    })
}

#[test]
fn shares_whose_volumes_were_replaced_wait_for_a_person() -> Outcome {
    scenario("replaced", Pods::Run, async |world| {
        let Stage {
            servers: _servers,
            adapters: _adapters,
            shares: _shares,
            admin: _,
        } = Stage::set(world, json!({})).await?;
        let spec = json!({"access": {"defaultPermission": "read-write"}});
        shares::make(world, "films", spec).await?;
        shares::ready(world, "films").await?;
        let url = shares::command(world, "films", "libnfs", |at| at.starts_with("10.")).await?;
        let nfs = Nfs::at(&url).by(1000);
        gets("writing", async || nfs.write("hello", b"kept").await).await?;

        // The control plane is lost: the share is made again on the same files.
        again(world, &[Volume::ControlPlane]).await?;
        shares::ready(world, "films").await?;
        let url = shares::command(world, "films", "libnfs", |at| at.starts_with("10.")).await?;
        until("the file is there again", async || {
            let read = Nfs::at(&url).by(1000).read("hello").await?;
            Ok(match read {
                Ok(contents) if contents == b"kept" => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .await?;

        // All volumes are lost: a person decides.
        again(
            world,
            &[Volume::ControlPlane, Volume::Metadata, Volume::Content],
        )
        .await?;
        shares::condition(world, "films", "Exported", "False", "DataVolumeReplaced").await?;
        let admin = Admin::of(world).await?;
        let list = admin.get("/shares").await?;
        ensure!(list.as_array().is_none_or(Vec::is_empty), "{list}");
        let annotation =
            json!({"metadata": {"annotations": {"dittofs.io/recreate-empty": "true"}}});
        shares::change(world, "films", annotation).await?;
        shares::ready(world, "films").await?;
        Ok(())
    })
}

/// Deletes the server and some of its claims, and makes it again.
async fn again(world: &World, lost: &[Volume]) -> Result<()> {
    let servers = world.api::<api_types::DittoServer>();
    let spec = servers.get(SERVER).await?.spec;
    servers.delete(SERVER, &DeleteParams::default()).await?;
    until("the server is gone", async || {
        let pods = world.api::<Pod>();
        let pod = pods.get_opt(&api_types::names::pod(SERVER)).await?;
        let server = servers.get_opt(SERVER).await?;
        Ok(if pod.is_none() && server.is_none() {
            Ok(())
        } else {
            Err("it is still there".to_owned())
        })
    })
    .await?;
    shares::condition(world, "films", "ServerReady", "False", "ServerMissing").await?;
    let claims = world.api::<PersistentVolumeClaim>();
    for volume in lost {
        let name = volume.claim(SERVER);
        claims.delete(&name, &DeleteParams::default()).await?;
        until("the claim is gone", async || {
            Ok(match claims.get_opt(&name).await? {
                None => Ok(()),
                Some(_) => Err("it is still there".to_owned()),
            })
        })
        .await?;
    }
    if lost.contains(&Volume::ControlPlane) {
        // The password that opened it is good for nothing more.
        let name = api_types::names::admin_secret(SERVER);
        let secrets = world.api::<Secret>();
        secrets.delete(&name, &DeleteParams::default()).await?;
    }
    let spec = serde_json::to_value(spec)?;
    let manifest =
        json!({"metadata": {"name": SERVER, "namespace": world.namespace}, "spec": spec});
    world
        .create_json::<api_types::DittoServer>(manifest)
        .await
        .context("the server is made again")?;
    world.condition("Available", "True", "PodServing").await?;
    Ok(())
}

#[test]
fn share_deletions_wait_for_a_server_that_is_away_until_somebody_gives_up() -> Outcome {
    scenario("away", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        let spec = json!({"deletionPolicy": "Delete"});
        shares::make(world, "waits", spec.clone()).await?;
        shares::make(world, "follows", spec).await?;
        shares::ready(world, "waits").await?;
        shares::ready(world, "follows").await?;
        world.change(json!({"spec": {"replicas": 0}})).await?;
        shares::condition(world, "waits", "ServerReady", "False", "ServerNotAvailable").await?;
        let resource = world.api::<api_types::DittoFSShare>();
        resource.delete("waits", &DeleteParams::default()).await?;
        resource.delete("follows", &DeleteParams::default()).await?;
        until("the way out is told", async || {
            let share = shares::get(world, "waits").await?;
            let text = shares::conditions(&share);
            Ok(if text.contains("dittofs.io/abandon") {
                Ok(())
            } else {
                Err(text)
            })
        })
        .await?;
        let abandon = json!({"metadata": {"annotations": {"dittofs.io/abandon": "true"}}});
        shares::change(world, "waits", abandon).await?;
        shares::gone(world, "waits").await?;
        world.change(json!({"spec": {"replicas": 1}})).await?;
        shares::gone(world, "follows").await?;
        let admin = Admin::of(world).await?;
        let list = admin.get("/shares").await?.to_string();
        ensure!(
            list.contains("waits") && !list.contains("follows"),
            "{list}"
        );

        // Once the server goes, nothing is waited for.
        let spec = json!({"deletionPolicy": "Delete"});
        shares::make(world, "last", spec).await?;
        shares::ready(world, "last").await?;
        let servers = world.api::<api_types::DittoServer>();
        servers.delete(SERVER, &DeleteParams::default()).await?;
        shares::delete(world, "last").await?;
        Ok(())
    })
}
