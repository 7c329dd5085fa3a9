//! What the adapter-controller writes, and when: once for each change, nothing while it is told to
//! pause, and the same after a crash anywhere.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::{Nfs, Smb};
use cluster_tests::adapters::{address, answers, leads, served, service};
use cluster_tests::audit::{Entry, Mark, listed};
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use controller_runtime::Seam;
use controller_runtime::seam::CrashAfter;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

use crate::adapter_account::{USER, works};
use crate::adapter_services::gone;

/// More writes than what is done between two crashes takes.
const MOST: u64 = 20;

/// Longer than the time between two looks: what a controller may still send comes with one.
const SETTLED: Duration = Duration::from_secs(15);

/// What was written since `mark`, connections and Events apart.
fn written(world: &World, mark: Mark) -> Result<Vec<Entry>> {
    let writes = world.writes(mark)?.into_iter();
    let counted =
        writes.filter(|entry| !["pods/portforward", "events"].contains(&&*entry.resource));
    Ok(counted.collect())
}

/// The pod template, and how often the StatefulSet was changed.
async fn template(world: &World) -> Result<(String, Option<i64>)> {
    let set = world.api::<StatefulSet>().get(SERVER).await?;
    let template = set.spec.context("no spec")?.template;
    Ok((serde_json::to_string(&template)?, set.metadata.generation))
}

#[test]
fn adapter_writes_each_changed_child_once_and_never_the_pod() -> Outcome {
    scenario("writes", Pods::Run, async |world| {
        let (servers, adapters, admin) = served(world, json!({})).await?;
        let pods = PodLog::watch(world);
        world.condition("Ready", "True", "AllReady").await?;
        let settle = async || -> Result<()> {
            servers.quiet().await?;
            adapters.quiet().await
        };
        settle().await?;
        let before = template(world).await?;
        let nfs = address(world, Nfs).await?;
        let count = |writes: &[Entry], resource: &str, name: &str| {
            let mut matching = writes.iter();
            matching
                .by_ref()
                .filter(|entry| entry.resource == resource && entry.name == name)
                .count()
        };

        // The listener moves: its Service and its policy, once each.
        let mark = world.cluster.audit.mark()?;
        admin.put("/adapters/nfs", json!({"port": 12070})).await?;
        leads(world, Nfs, &[(2049, 12070)]).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        settle().await?;
        let writes = written(world, mark)?;
        for (resource, name, expected) in [
            ("services", "files-adapter-nfs", 1),
            ("networkpolicies", "files-adapter-nfs", 1),
            ("services", "files-adapter-smb", 0),
            ("networkpolicies", "files-adapter-smb", 0),
            ("statefulsets", SERVER, 0),
            ("secrets", "files-adapter-credentials", 0),
        ] {
            let found = count(&writes, resource, name);
            ensure!(
                found == expected,
                "{found} of {resource} {name}: {}",
                listed(&writes)
            );
        }

        // An annotation for both: one write each, and no policy.
        let mark = world.cluster.audit.mark()?;
        let annotated =
            json!({"spec": {"adapterServices": {"annotations": {"example.org/a": "b"}}}});
        world.change(annotated).await?;
        for kind in [Nfs, Smb] {
            until("the annotation is there", async || {
                let annotations = service(world, kind).await?.metadata.annotations;
                let found = annotations.unwrap_or_default();
                Ok(if found.contains_key("example.org/a") {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                })
            })
            .await?;
        }
        settle().await?;
        let writes = written(world, mark)?;
        let policies = writes
            .iter()
            .filter(|entry| entry.resource == "networkpolicies")
            .count();
        let services = writes
            .iter()
            .filter(|entry| entry.resource == "services")
            .count();
        ensure!((services, policies) == (2, 0), "{}", listed(&writes));

        // Whatever else this controller does: its Secret, its account, settings, a Service, a policy.
        let credentials = names::adapter_credentials(SERVER);
        let parameters = DeleteParams::default();
        world
            .api::<Secret>()
            .delete(&credentials, &parameters)
            .await?;
        let policy = names::adapter(SERVER, Smb);
        world
            .api::<NetworkPolicy>()
            .delete(&policy, &parameters)
            .await?;
        let declared = json!({"smb": {"enabled": false}, "nfs": {"port": 12049, "settings": {"leaseTime": 61}}});
        world
            .change(json!({"spec": {"adapters": declared}}))
            .await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        works(world, &admin, "admin").await?;
        world.change(json!({"spec": {"adapters": null}})).await?;
        works(world, &admin, "operator").await?;
        settle().await?;
        ensure!(template(world).await? == before, "the pod template changed");
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

#[test]
fn adapter_writes_nothing_anywhere_while_it_is_told_to_pause() -> Outcome {
    scenario("pause", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let paused =
            |value: Value| json!({"metadata": {"annotations": {"dittofs.io/paused": value}}});
        world.change(paused(json!("true"))).await?;
        adapters.quiet().await?;
        let rows = admin.get("/adapters/nfs").await?["updated_at"].clone();
        let mark = world.cluster.audit.mark()?;
        let declared = json!({"nfs": {"port": 12070, "settings": {"leaseTime": 61}}, "smb": {"enabled": false}});
        world
            .change(json!({"spec": {"adapters": declared}}))
            .await?;
        let message = world.condition("AdaptersReady", "False", "Paused").await?;
        for part in ["adapters.nfs", "adapters.smb", "dittofs.io/paused"] {
            ensure!(message.contains(part), "{message}");
        }
        // Several looks later, still nothing but the status was written.
        tokio::time::sleep(Duration::from_secs(25)).await;
        let writes = written(world, mark)?;
        let other: Vec<_> = writes
            .iter()
            .filter(|entry| entry.resource != "dittoservers/status")
            .collect();
        ensure!(other.is_empty(), "{}", listed(other));
        let row = admin.get("/adapters/nfs").await?;
        ensure!(row["updated_at"] == rows && row["port"] == 12049, "{row}");
        let settings = admin.get("/adapters/nfs/settings").await?;
        ensure!(settings["lease_time"] == 90, "{settings}");
        let user = admin.get(&format!("/users/{USER}")).await?;
        ensure!(user["role"] == "operator", "{user}");

        world.change(paused(Value::Null)).await?;
        leads(world, Nfs, &[(2049, 12070)]).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        answers(world, Nfs, 2049).await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}

/// What people and the server do before each start, so that the controller has every kind of write to
/// make. `turn` makes each time another.
async fn disturb(world: &World, admin: &cluster_tests::adapters::Admin, turn: u64) -> Result<i32> {
    let port = 12_060 + i32::try_from(turn)?;
    let parameters = DeleteParams::default();
    let policy = names::adapter(SERVER, Smb);
    let credentials = names::adapter_credentials(SERVER);
    for gone in [
        world
            .api::<NetworkPolicy>()
            .delete(&policy, &parameters)
            .await
            .err(),
        world
            .api::<Secret>()
            .delete(&credentials, &parameters)
            .await
            .err(),
    ] {
        match gone {
            // It is not there again yet.
            None => {}
            Some(kube::Error::Api(status)) if status.is_not_found() => {}
            Some(error) => return Err(error.into()),
        }
    }
    admin.put("/adapters/nfs", json!({ "port": port })).await?;
    let name = names::adapter(SERVER, Smb);
    let edit = json!({"metadata": {"labels": {"app": "else"}}});
    let services = world.api::<k8s_openapi::api::core::v1::Service>();
    services
        .patch(&name, &somebody(), &Patch::Merge(edit))
        .await?;
    Ok(port)
}

#[test]
fn adapter_writes_that_a_crash_interrupts_end_as_without_it() -> Outcome {
    scenario("crash", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let (nfs, smb) = (address(world, Nfs).await?, address(world, Smb).await?);
        adapters.stop().await?;
        let before = template(world).await?;
        let mut covered = 0;
        for writes in 0..MOST {
            let port = disturb(world, &admin, writes).await?;
            // A connection to the server is a write for the seam, too.
            let seam = Arc::new(CrashAfter::writes(writes));
            let first =
                Controller::adapters_behind(world, vec![Arc::clone(&seam) as Arc<dyn Seam>])
                    .await?;
            let settled = async || -> Result<()> {
                leads(world, Nfs, &[(2049, port)]).await?;
                world
                    .condition("AdaptersReady", "True", "AdaptersHealthy")
                    .await?;
                works(world, &admin, "operator").await?;
                until("label and policy are back", async || {
                    let labels = service(world, Smb)
                        .await?
                        .metadata
                        .labels
                        .unwrap_or_default();
                    let policy = names::adapter(SERVER, Smb);
                    let policy = world.api::<NetworkPolicy>().get_opt(&policy).await?;
                    let app = labels.get("app").map(String::as_str);
                    Ok(if app == Some("dittofs-server") && policy.is_some() {
                        Ok(())
                    } else {
                        Err(format!("{app:?}"))
                    })
                })
                .await
            };
            let crashed = async {
                while !seam.is_over() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                () = crashed => {}
                result = settled() => result?,
            }
            let came = seam.crashed();
            first.crash().await;
            let second = Controller::adapters(world).await?;
            settled().await?;
            second.stop().await?;
            ensure!(
                address(world, Nfs).await? == nfs,
                "another address after {writes} writes"
            );
            ensure!(
                address(world, Smb).await? == smb,
                "SMB: another address after {writes} writes"
            );
            if !came {
                break;
            }
            covered += 1;
        }
        // The Secret, two policies, two Services, and the status.
        ensure!(covered >= 5, "only {covered} writes were covered");
        ensure!(covered < MOST, "no run ended before its crash");
        ensure!(template(world).await? == before, "the pod template changed");
        Ok(())
    })
}

#[test]
fn adapter_writes_of_two_leaders_end_in_the_same_server() -> Outcome {
    scenario("two", Pods::Run, async |world| {
        let (servers, first, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let second = Controller::adapters(world).await?;
        // Both see each of these, and both act.
        let credentials = names::adapter_credentials(SERVER);
        world
            .api::<Secret>()
            .delete(&credentials, &DeleteParams::default())
            .await?;
        let declared = json!({"nfs": {"port": 12070, "settings": {"leaseTime": 61}}, "smb": {"enabled": false}});
        world
            .change(json!({"spec": {"adapters": declared}}))
            .await?;
        leads(world, Nfs, &[(2049, 12070)]).await?;
        works(world, &admin, "admin").await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let settings = admin.get("/adapters/nfs/settings").await?;
        ensure!(settings["lease_time"] == 61, "{settings}");

        // The Service of the adapter that is off goes once, whoever is quicker.
        until("the Service of SMB is gone", async || {
            let left = cluster_tests::adapters::find(world, Smb).await?;
            Ok(if left.is_none() {
                Ok(())
            } else {
                Err("it exists".to_owned())
            })
        })
        .await?;

        // The Service of what was switched off goes a few looks later.
        gone(world, Smb).await?;

        // They do not undo each other's work for ever: what is still on its way ends, and then nobody writes.
        for controller in [&servers, &first, &second] {
            controller.quiet().await?;
        }
        until("nobody writes", async || {
            let mark = world.cluster.audit.mark()?;
            tokio::time::sleep(SETTLED).await;
            let writes = written(world, mark)?;
            Ok(if writes.is_empty() {
                Ok(())
            } else {
                Err(listed(&writes))
            })
        })
        .await?;
        let rows = admin.get("/adapters/nfs").await?["updated_at"].clone();
        // Either may have sent it last.
        let settings = admin.get("/adapters/nfs/settings").await?;
        let version = settings["version"].clone();
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(Duration::from_secs(25)).await;
        let writes = written(world, mark)?;
        ensure!(writes.is_empty(), "{}", listed(&writes));
        let row = admin.get("/adapters/nfs").await?;
        ensure!(row["updated_at"] == rows, "{row}");
        let settings = admin.get("/adapters/nfs/settings").await?;
        ensure!(settings["version"] == version, "{settings}");
        works(world, &admin, "admin").await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        Ok(())
    })
}
