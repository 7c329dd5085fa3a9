//! What a server, and the way to it, can do to the adapter-controller: in every case the conditions tell
//! the truth, and the addresses of the adapters stay.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::v1alpha1::AdapterKind::{Nfs, Smb};
use cluster_tests::adapters::{Admin, address, answers, leads, served, told};
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, SERVER, World, scenario, until};
use controller_runtime::rest::ApiTransport;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::Patch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::adapter_account::{USER, works};

/// What clients hold on to.
async fn addresses(world: &World) -> Result<[(String, String); 2]> {
    Ok([address(world, Nfs).await?, address(world, Smb).await?])
}

/// A condition of the server, as `status reason`.
async fn condition(world: &World, kind: &str) -> Result<String> {
    let status = world.server().await?.status.unwrap_or_default();
    let mut conditions = status.conditions.into_iter();
    let found = conditions.find(|condition| condition.type_ == kind);
    let found = found.with_context(|| format!("no condition {kind}"))?;
    Ok(format!("{} {}", found.status, found.reason))
}

/// The message of a condition of the server.
async fn said(world: &World, kind: &str) -> Result<String> {
    let status = world.server().await?.status.unwrap_or_default();
    let mut conditions = status.conditions.into_iter();
    let found = conditions.find(|condition| condition.type_ == kind);
    Ok(found.map(|found| found.message).unwrap_or_default())
}

/// The server's process of this world, which the tests' cluster runs on this machine.
async fn process(world: &World) -> Result<Pid> {
    let uid = pod_of(world, SERVER).await?.uid().context("no UID")?;
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ends meanwhile has no files any more.
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        if text("comm").trim() == "dfs" && text("mountinfo").contains(&uid) {
            return Pid::from_raw(pid).context("no process has this number");
        }
    }
    anyhow::bail!("no process of pod {uid}")
}

/// A process that is stopped, until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Result<Self> {
        kill_process(pid, Signal::STOP)?;
        Ok(Stopped(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn adapter_faults_a_server_that_hangs_is_unreachable_and_keeps_its_addresses() -> Outcome {
    scenario("hangs", Pods::Run, async |world| {
        // The kubelet shall neither end it nor take it for not ready meanwhile.
        let patient = json!({"periodSeconds": 60, "failureThreshold": 100});
        let probes = json!({"pod": {"probes": {"liveness": patient, "readiness": patient}}});
        let (_servers, adapters, _) = served(world, probes).await?;
        let before = addresses(world).await?;
        let stopped = Stopped::new(process(world).await?)?;
        let message = world
            .condition("Authenticated", "False", "Unreachable")
            .await?;
        let timeless = !message.contains(|c: char| c.is_ascii_digit());
        ensure!(timeless, "it tells a time: {message}");
        world
            .condition("AdaptersReady", "Unknown", "ViewOutdated")
            .await?;
        told(world, Nfs, "it is known as it was", |nfs| {
            nfs.is_some_and(|nfs| nfs.enabled && nfs.listen_port == Some(12049))
        })
        .await?;
        // The first look ended in the middle of a session, the next ones at the login. Then, however long:
        // neither the Services change nor is anything written.
        until("the login hangs, too", async || {
            let message = said(world, "Authenticated").await?;
            Ok(if message.contains("login") {
                Ok(())
            } else {
                Err(message)
            })
        })
        .await?;
        adapters.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(Duration::from_secs(40)).await;
        let writes = world.writes(mark)?.into_iter();
        let writes: Vec<_> = writes
            .filter(|entry| entry.resource != "pods/portforward")
            .collect();
        let message = said(world, "Authenticated").await?;
        ensure!(
            writes.is_empty(),
            "{}: {message}",
            cluster_tests::audit::listed(&writes)
        );
        ensure!(addresses(world).await? == before, "another address");

        drop(stopped);
        let limit = Duration::from_secs(400);
        within(limit, "it answers again", async || {
            let found = condition(world, "Authenticated").await?;
            Ok(if found == "True AccountWorks" {
                Ok(())
            } else {
                Err(found)
            })
        })
        .await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        ensure!(addresses(world).await? == before, "another address");
        let pod = pod_of(world, SERVER).await?;
        ensure!(container_of(&pod)?.restart_count == 0, "it was restarted");
        Ok(())
    })
}

#[test]
fn adapter_faults_a_host_name_that_nobody_knows_changes_nothing() -> Outcome {
    scenario("dns", Pods::Run, async |world| {
        let (_servers, adapters, _) = served(world, json!({})).await?;
        let before = addresses(world).await?;
        adapters.stop().await?;
        // This machine does not ask the cluster's DNS, so the name in the URL leads nowhere.
        let lost = Controller::adapters_by(world, ApiTransport::Service).await?;
        let message = world
            .condition("Authenticated", "False", "Unreachable")
            .await?;
        ensure!(message.contains("Check"), "{message}");
        world
            .condition("AdaptersReady", "Unknown", "ViewOutdated")
            .await?;
        lost.quiet().await?;
        ensure!(addresses(world).await? == before, "another address");
        answers(world, Nfs, 2049).await?;
        lost.stop().await?;

        let _found = Controller::adapters(world).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        ensure!(addresses(world).await? == before, "another address");
        Ok(())
    })
}

/// The last login of our account.
async fn login(admin: &Admin) -> Result<Value> {
    let user = admin.get(&format!("/users/{USER}")).await?;
    Ok(user["last_login"].clone())
}

#[test]
fn adapter_faults_tokens_that_end_or_are_refused_cost_nobody_anything() -> Outcome {
    scenario("tokens", Pods::Run, async |world| {
        let key = |byte: &str| json!({ "k": byte.repeat(40) });
        world.secret("tokens", key("a")).await?;
        let jwt = json!({"identity": {"jwt": {"accessTokenDuration": "1m",
            "secretRef": {"name": "tokens", "key": "k"}}}});
        let (_servers, adapters, admin) = served(world, jwt).await?;
        let before = addresses(world).await?;

        // News of the Secret that was made for the account may cost one more log-in.
        adapters.quiet().await?;
        // Two lives of a token: it is refreshed, and nobody notices.
        let first = login(&admin).await?;
        let failures = adapters.failures();
        let end = tokio::time::Instant::now() + Duration::from_secs(125);
        while tokio::time::Instant::now() < end {
            let found = condition(world, "Authenticated").await?;
            ensure!(found == "True AccountWorks", "{found}");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        ensure!(adapters.failures() == failures, "a visit failed");
        let admin = Admin::of(world).await?;
        ensure!(login(&admin).await? == first, "it logged in again");

        // A person changes our password while we have a session: it is mended once it is refused.
        let other = json!({"new_password": "changed-by-a-person"});
        admin
            .post(&format!("/users/{USER}/password"), other)
            .await?;

        // Another key: every token of everybody is refused at once.
        let uid = pod_of(world, SERVER).await?.uid();
        let renewed = Patch::Merge(json!({"stringData": key("b")}));
        let secrets = world.api::<Secret>();
        secrets.patch("tokens", &somebody(), &renewed).await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let admin = Admin::of(world).await?;
        works(world, &admin, "operator").await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        ensure!(addresses(world).await? == before, "another address");
        Ok(())
    })
}

#[test]
fn adapter_faults_a_port_of_two_listeners_is_held_back_until_it_is_one_again() -> Outcome {
    scenario("clash", Pods::Run, async |world| {
        let (servers, _adapters, admin) = served(world, json!({})).await?;
        let before = addresses(world).await?;
        let uid = pod_of(world, SERVER).await?.uid();
        admin.put("/adapters/nfs", json!({"port": 12070})).await?;
        leads(world, Nfs, &[(2049, 12070)]).await?;
        // With it the server would end at its next start, and could not be mended over REST.
        world
            .change(json!({"spec": {"controlPlane": {"port": 12070}}}))
            .await?;
        let message = world
            .condition("ConfigReady", "False", "PortConflict")
            .await?;
        ensure!(message.contains("12070"), "{message}");
        world
            .condition("AdaptersReady", "False", "AdapterUnhealthy")
            .await?;
        servers.quiet().await?;
        ensure!(pod_of(world, SERVER).await?.uid() == uid, "another pod");
        answers(world, Nfs, 2049).await?;

        admin.put("/adapters/nfs", json!({"port": 12049})).await?;
        another_pod(world, SERVER, uid.as_deref()).await?;
        world.condition("Ready", "True", "AllReady").await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        answers(world, Nfs, 2049).await?;
        ensure!(addresses(world).await? == before, "another address");
        Ok(())
    })
}

#[test]
fn adapter_faults_policies_come_and_go_without_cutting_anybody_off() -> Outcome {
    scenario("policies", Pods::Run, async |world| {
        let (servers, adapters, _) = served(world, json!({})).await?;
        let before = addresses(world).await?;
        let names = ["files-baseline", "files-adapter-nfs", "files-adapter-smb"];
        let exist = async |expected: bool| {
            until(&format!("policies exist: {expected}"), async || {
                let policies = world
                    .api::<NetworkPolicy>()
                    .list(&Default::default())
                    .await?;
                let found: Vec<_> = policies.iter().map(ResourceExt::name_any).collect();
                let right = names
                    .iter()
                    .all(|name| found.iter().any(|found| found == name) == expected);
                // Whoever isolates the pod must have been preceded by who admits clients.
                let isolated = found.iter().any(|found| found == names[0]);
                let admits = names[1..]
                    .iter()
                    .all(|name| found.iter().any(|found| found == name));
                ensure!(!isolated || admits, "clients are cut off: {found:?}");
                Ok(if right {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                })
            })
            .await
        };
        exist(true).await?;
        for enabled in [false, true] {
            world
                .change(json!({"spec": {"networkPolicy": {"enabled": enabled}}}))
                .await?;
            exist(enabled).await?;
            answers(world, Nfs, 2049).await?;
            answers(world, Smb, 445).await?;
        }
        servers.quiet().await?;
        adapters.quiet().await?;
        ensure!(addresses(world).await? == before, "another address");
        Ok(())
    })
}
