//! Many servers at once: those that hang or refuse cost the others, and the API server, nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::v1alpha1::AdapterKind;
use api_types::{DittoServer, names};
use cluster_tests::adapters::fast;
use cluster_tests::audit::listed;
use cluster_tests::listeners::{Listener, Manner};
use cluster_tests::wait::within;
use cluster_tests::world::somebody;
use cluster_tests::{Controller, Outcome, Pods, World, scenario};
use controller_runtime::rest::ApiTransport;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use serde_json::json;
use tokio::time::Instant;

/// The least time between two polls: the interval of ten seconds less its jitter of a tenth.
const LEAST: Duration = Duration::from_secs(9);

/// Three polls take half a minute; behind those that hang, one after the other, they would take five.
const LIMIT: Duration = Duration::from_secs(180);

/// A server that serves at `listener`, as its server-controller would say it.
async fn make(world: &World, name: &str, listener: &Listener) -> Result<()> {
    let server = world
        .create_json::<DittoServer>(world.manifest_of(name, fast()))
        .await?;
    let status = json!({"status": {
        "api": {"url": format!("http://{}", listener.address), "podName": names::pod(name),
            "adminSecretRef": {"name": "admin", "key": "password"}},
        "conditions": [{"type": "Available", "status": "True", "reason": "PodServing", "message": "",
            "observedGeneration": server.metadata.generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    world
        .api::<DittoServer>()
        .patch_status(name, &somebody(), &Patch::Merge(status))
        .await?;
    Ok(())
}

async fn has_services(world: &World, name: &str) -> Result<()> {
    cluster_tests::until(&format!("{name} has its Services"), async || {
        let services = world.api::<Service>();
        let mut missing = Vec::new();
        for kind in AdapterKind::ALL {
            let name = names::adapter(name, kind);
            if services.get_opt(&name).await?.is_none() {
                missing.push(name);
            }
        }
        Ok(if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join(", "))
        })
    })
    .await
}

#[test]
fn adapter_polls_of_a_fleet_are_on_time_although_some_servers_hang() -> Outcome {
    scenario("fleet", Pods::None, async |world| {
        world
            .secret("admin", json!({"password": "of-admin"}))
            .await?;
        let adapters = Controller::adapters_by(world, ApiTransport::Service).await?;
        let mut fleet = Vec::new();
        for number in 0..100 {
            let manner = match number % 20 {
                3 | 13 => Manner::Hangs,
                7 => Manner::Refuses,
                _ => Manner::Answers,
            };
            let listener = Listener::start(manner).await?;
            let name = format!("s{number}");
            make(world, &name, &listener).await?;
            fleet.push((name, manner, listener));
        }
        for (name, manner, _) in &fleet {
            let (kind, status, reason) = match manner {
                Manner::Answers => ("AdaptersReady", "True", "AdaptersHealthy"),
                Manner::Hangs | Manner::Refuses => ("Authenticated", "False", "Unreachable"),
            };
            world.condition_of(name, kind, status, reason).await?;
        }
        // What is known of addresses, and of those that hang, comes after the first condition.
        adapters.writes_no_more().await?;

        let since = Instant::now();
        let mark = world.cluster.audit.mark()?;
        let answering = || {
            fleet
                .iter()
                .filter(|(_, manner, _)| *manner == Manner::Answers)
        };
        within(LIMIT, "all that answer are asked three times", async || {
            let late = answering().find(|(.., listener)| listener.polls_since(since) < 3);
            Ok(match late {
                None => Ok(()),
                Some((name, _, listener)) => Err(format!(
                    "{name} was asked {} times",
                    listener.polls_since(since)
                )),
            })
        })
        .await?;
        let passed = since.elapsed();
        for (name, _, listener) in answering() {
            let polls = listener.polls_since(since);
            let most = passed.as_secs() / LEAST.as_secs() + 1;
            ensure!(
                polls as u64 <= most,
                "{name} was asked {polls} times in {passed:?}"
            );
        }
        let requests = world.requests(mark)?;
        let unwanted: Vec<_> = requests
            .iter()
            .filter(|entry| entry.is_write() || entry.is_list())
            .collect();
        ensure!(unwanted.is_empty(), "written: {}", listed(unwanted));

        // What is new is served at once, whoever hangs.
        let listener = Listener::start(Manner::Answers).await?;
        make(world, "new", &listener).await?;
        has_services(world, "new").await?;
        ensure!(
            adapters.failures() == 0,
            "{} visits failed",
            adapters.failures()
        );
        Ok(())
    })
}

#[test]
fn adapter_services_stay_when_their_server_hangs_or_refuses() -> Outcome {
    scenario("hangs", Pods::None, async |world| {
        world
            .secret("admin", json!({"password": "of-admin"}))
            .await?;
        let adapters = Controller::adapters_by(world, ApiTransport::Service).await?;
        let listener = Listener::start(Manner::Answers).await?;
        make(world, "files", &listener).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let services = async || -> Result<Vec<String>> {
            let list = world.api::<Service>().list(&ListParams::default()).await?;
            let found = list.items.into_iter();
            Ok(found
                .map(|service| {
                    let (name, uid) = (service.name_any(), service.uid());
                    format!("{name} {uid:?} {:?}", service.resource_version())
                })
                .collect())
        };
        let before = services().await?;
        ensure!(before.len() == 2, "{before:?}");
        for manner in [Manner::Hangs, Manner::Refuses] {
            let other = Listener::start(manner).await?;
            let url = json!({"status": {"api": {"url": format!("http://{}", other.address)}}});
            world
                .api::<DittoServer>()
                .patch_status("files", &somebody(), &Patch::Merge(url))
                .await?;
            world
                .condition("Authenticated", "False", "Unreachable")
                .await?;
            world
                .condition("AdaptersReady", "Unknown", "ViewOutdated")
                .await?;
            // Far more looks than would make an adapter missing.
            tokio::time::sleep(Duration::from_secs(10)).await;
            ensure!(services().await? == before, "{manner:?}");
            let back = json!({"status": {"api": {"url": format!("http://{}", listener.address)}}});
            world
                .api::<DittoServer>()
                .patch_status("files", &somebody(), &Patch::Merge(back))
                .await?;
            world
                .condition("Authenticated", "True", "AccountWorks")
                .await?;
        }
        // It stops serving, as its other controller says: what is known stays.
        let away = json!({"status": {"conditions": [{"type": "Available", "status": "False", "reason": "PodNotReady",
            "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:01Z"}]}});
        world
            .api::<DittoServer>()
            .patch_status("files", &somebody(), &Patch::Merge(away))
            .await?;
        world
            .condition("AdaptersReady", "Unknown", "ServerNotAvailable")
            .await?;
        adapters.quiet().await?;
        ensure!(services().await? == before, "not available");
        let status = world.server().await?.status.unwrap_or_default();
        let known = status.adapters.unwrap_or_default();
        ensure!(known.len() == 2, "{known:?}");
        Ok(())
    })
}
