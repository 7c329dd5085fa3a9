//! The Services of the NFS and SMB listeners of a real server follow what the server says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::names;
use api_types::v1alpha1::AdapterKind::{Nfs, Smb};
use cluster_tests::adapters::{address, answers, find, leads, served, service, told};
use cluster_tests::audit::listed;
use cluster_tests::pods::pod_of;
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Child, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch};
use serde_json::json;

/// Three polls of 10 s, on a busy machine.
const THREE_POLLS: Duration = Duration::from_secs(240);

async fn template(world: &World) -> Result<serde_json::Value> {
    let set = world.child(Child::StatefulSet).await?;
    Ok(set.data["spec"]["template"].clone())
}

pub(crate) async fn gone(world: &World, kind: api_types::v1alpha1::AdapterKind) -> Result<()> {
    within(
        THREE_POLLS,
        "the Service and the policy are gone",
        async || {
            let name = names::adapter(SERVER, kind);
            let policy = world.api::<NetworkPolicy>().get_opt(&name).await?;
            Ok(match (find(world, kind).await?, policy) {
                (None, None) => Ok(()),
                (service, policy) => Err(format!(
                    "Service {}, policy {}",
                    service.is_some(),
                    policy.is_some()
                )),
            })
        },
    )
    .await
}

#[test]
fn adapter_services_come_with_their_adapters_and_go_with_them() -> Outcome {
    scenario("adapters", Pods::Run, async |world| {
        let pods = PodLog::watch(world);
        let (servers, adapters, admin) = served(world, json!({})).await?;
        world.condition("Ready", "True", "AllReady").await?;
        world
            .condition("AddressesReady", "True", "NoLoadBalancer")
            .await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        leads(world, Smb, &[(445, 1445)]).await?;
        answers(world, Nfs, 2049).await?;
        answers(world, Smb, 445).await?;
        let before = template(world).await?;
        let smb = address(world, Smb).await?;
        let nfs = address(world, Nfs).await?;

        admin
            .put("/adapters/nfs", json!({"enabled": false}))
            .await?;
        told(world, Nfs, "it is off, and its Service is there", |nfs| {
            nfs.is_some_and(|nfs| !nfs.enabled && nfs.service.is_some())
        })
        .await?;
        ensure!(address(world, Nfs).await? == nfs, "it went with one answer");
        gone(world, Nfs).await?;
        ensure!(address(world, Smb).await? == smb, "SMB has another address");
        told(world, Nfs, "it is off, without a Service", |nfs| {
            nfs.is_some_and(|nfs| !nfs.enabled && nfs.service.is_none())
        })
        .await?;
        world.condition("Ready", "True", "AllReady").await?;

        admin.put("/adapters/nfs", json!({"enabled": true})).await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        answers(world, Nfs, 2049).await?;
        told(world, Nfs, "it is healthy again", |nfs| {
            nfs.is_some_and(|nfs| nfs.enabled && nfs.healthy && nfs.service.is_some())
        })
        .await?;
        ensure!(address(world, Smb).await? == smb, "SMB has another address");

        servers.quiet().await?;
        adapters.quiet().await?;
        ensure!(pods.count(SERVER) == 1, "{} pods", pods.count(SERVER));
        ensure!(template(world).await? == before, "another pod template");
        Ok(())
    })
}

#[test]
fn adapter_ports_and_failures_never_cost_an_address() -> Outcome {
    scenario("adapter-port", Pods::Run, async |world| {
        let (_servers, _adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let smb = address(world, Smb).await?;

        admin.put("/adapters/nfs", json!({"port": 12050})).await?;
        leads(world, Nfs, &[(2049, 12050)]).await?;
        answers(world, Nfs, 2049).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");

        // Taken by the API: the server stores it, and cannot listen.
        admin.put("/adapters/nfs", json!({"port": 8080})).await?;
        let message = world
            .condition("AdaptersReady", "False", "AdapterUnhealthy")
            .await?;
        ensure!(
            message.contains("nfs") && message.contains("8080"),
            "{message}"
        );
        told(world, Nfs, "enabled and not healthy", |nfs| {
            nfs.is_some_and(|nfs| nfs.enabled && !nfs.healthy)
        })
        .await?;
        world
            .condition("Authenticated", "True", "AccountWorks")
            .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");

        admin.put("/adapters/nfs", json!({"port": 12049})).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        answers(world, Nfs, 2049).await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");
        ensure!(address(world, Smb).await? == smb, "SMB has another address");
        Ok(())
    })
}

#[test]
fn adapter_services_outlive_a_restart_and_a_row_that_was_deleted() -> Outcome {
    scenario("adapter-restart", Pods::Run, async |world| {
        let (_servers, adapters, admin) = served(world, json!({})).await?;
        let nfs = address(world, Nfs).await?;
        let smb = address(world, Smb).await?;

        // The row is gone; the server's next start makes it again.
        admin.delete("/adapters/smb").await?;
        told(world, Smb, "it is not there any more", |smb| {
            smb.is_some_and(|smb| !smb.enabled)
        })
        .await?;
        ensure!(address(world, Smb).await? == smb, "it went with one answer");
        let uid = pod_of(world, SERVER).await?.uid();
        world
            .api::<Pod>()
            .delete(&names::pod(SERVER), &DeleteParams::default())
            .await?;
        cluster_tests::pods::another_pod(world, SERVER, uid.as_deref()).await?;
        told(world, Smb, "it is healthy again", |smb| {
            smb.is_some_and(|smb| smb.enabled && smb.healthy)
        })
        .await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        world.condition("Ready", "True", "AllReady").await?;
        ensure!(address(world, Smb).await? == smb, "SMB has another address");
        ensure!(address(world, Nfs).await? == nfs, "NFS has another address");
        answers(world, Smb, 445).await?;

        // A controller that starts anew takes what it knows from the status.
        adapters.stop().await?;
        let again = cluster_tests::Controller::adapters(world).await?;
        again.visited_after(0).await?;
        again.quiet().await?;
        ensure!(again.failures() == 0, "{} failures", again.failures());
        ensure!(address(world, Nfs).await? == nfs, "NFS has another address");
        Ok(())
    })
}

#[test]
fn adapter_services_are_healed_and_somebody_elses_is_left_alone() -> Outcome {
    scenario("adapter-heal", Pods::Run, async |world| {
        let foreign: Service = world
            .create_json(json!({
                "metadata": {"name": names::adapter(SERVER, Smb)},
                "spec": {"ports": [{"name": "x", "port": 1}]},
            }))
            .await?;
        let servers = cluster_tests::Controller::start(world).await?;
        let adapters = cluster_tests::Controller::adapters(world).await?;
        world.serve(cluster_tests::adapters::fast()).await?;
        let message = world
            .condition("AdaptersReady", "False", "NameConflict")
            .await?;
        ensure!(message.contains("files-adapter-smb"), "{message}");
        leads(world, Nfs, &[(2049, 12049)]).await?;
        let untouched = service(world, Smb).await?;
        ensure!(
            untouched.metadata.resource_version == foreign.metadata.resource_version,
            "it was touched"
        );
        let services = world.api::<Service>();
        let name = names::adapter(SERVER, Smb);
        services.delete(&name, &DeleteParams::default()).await?;
        leads(world, Smb, &[(445, 1445)]).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;

        // Edited: put back, in place.
        let nfs = address(world, Nfs).await?;
        let edit = json!({"metadata": {"labels": {"app": "else"}}, "spec": {"selector": {"app": "else"},
            "ports": [{"name": "other", "port": 99, "protocol": "TCP", "targetPort": 99}]}});
        let name = names::adapter(SERVER, Nfs);
        services
            .patch(&name, &somebody(), &Patch::Merge(edit))
            .await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        until("selector and label are back", async || {
            let service = service(world, Nfs).await?;
            let selector = service.spec.and_then(|spec| spec.selector);
            let selector = selector.unwrap_or_default();
            let label = service.metadata.labels.unwrap_or_default();
            let found = [&selector, &label].map(|of| of.get("app").cloned());
            Ok(
                if found
                    .iter()
                    .all(|app| app.as_deref() == Some("dittofs-server"))
                {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                },
            )
        })
        .await?;
        ensure!(address(world, Nfs).await? == nfs, "another address");

        // Deleted: made again, and so is its policy.
        services.delete(&name, &DeleteParams::default()).await?;
        let policies = world.api::<NetworkPolicy>();
        policies.delete(&name, &DeleteParams::default()).await?;
        leads(world, Nfs, &[(2049, 12049)]).await?;
        until("the policy is there", async || {
            let found = policies.get_opt(&name).await?;
            Ok(found.map(|_| ()).ok_or_else(|| "none".to_owned()))
        })
        .await?;
        answers(world, Nfs, 2049).await?;
        servers.quiet().await?;
        adapters.quiet().await
    })
}

#[test]
fn adapter_polls_of_a_healthy_server_write_nothing() -> Outcome {
    scenario("adapter-idle", Pods::Run, async |world| {
        let (servers, adapters, admin) = served(world, json!({})).await?;
        world.condition("Ready", "True", "AllReady").await?;
        servers.quiet().await?;
        adapters.quiet().await?;
        let seen = async || -> Result<String> {
            let users = admin.get("/users").await?;
            let ours = users.as_array().into_iter().flatten();
            let mut ours = ours.filter(|user| user["username"] == "dittofs-adapter-controller");
            let ours = ours.next_back().context("no account")?;
            Ok(ours.to_string())
        };
        let account = seen().await?;
        let mark = world.cluster.audit.mark()?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let requests = world.requests(mark)?;
        let unwanted = requests.iter().filter(|entry| {
            entry.is_list() || (entry.is_write() && entry.resource != "pods/portforward")
        });
        let unwanted: Vec<_> = unwanted.collect();
        ensure!(unwanted.is_empty(), "written: {}", listed(unwanted));
        ensure!(seen().await? == account, "the session was opened anew");
        ensure!(
            adapters.failures() == 0,
            "{} visits failed",
            adapters.failures()
        );
        Ok(())
    })
}
