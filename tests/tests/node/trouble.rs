//! What keeps a pod from running has a reason of its own, and goes when the spec is put right:
//! nobody has to delete a pod.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::rest::{Rest, password};
use cluster_tests::wait::within;
use cluster_tests::world::{conditions, none_failed};
use cluster_tests::{Controller, Outcome, PodLog, Pods, SERVER, World, scenario};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The kubelet speaks of a volume that it cannot mount only after a while, and waits longer and
/// longer before it starts a container again.
const PATIENCE: Duration = Duration::from_secs(400);

/// A spec that cannot run, what Degraded says of it, and what puts it right.
struct Trouble {
    server: &'static str,
    spec: Value,
    reason: &'static str,
    /// What the message names.
    names: &'static str,
    remedy: Value,
}

fn troubles() -> Vec<Trouble> {
    vec![
        Trouble {
            // The server needs 12.4 MB to come up; with 12 MiB it sometimes does.
            server: "memory",
            spec: json!({"resources": {"limits": {"memory": "9Mi"}}}),
            reason: "OutOfMemory",
            names: "spec.resources.limits.memory",
            remedy: json!({"resources": {"limits": {"memory": "512Mi"}}}),
        },
        Trouble {
            server: "crash",
            spec: json!({"pod": {"env": [{"name": "DITTOFS_METADATA_BADGER_BLOCK_CACHE_MB", "value": "many"}]}}),
            reason: "CrashLooping",
            names: "Error:",
            remedy: json!({"pod": {"env": null}}),
        },
        Trouble {
            server: "nowhere",
            spec: json!({"pod": {"nodeSelector": {"example.org/disk": "fast"}}}),
            reason: "Unschedulable",
            names: "node",
            remedy: json!({"pod": {"nodeSelector": null}}),
        },
        Trouble {
            server: "volume",
            spec: json!({"pod": {
                "volumes": [{"name": "trust", "configMap": {"name": "there-is-none"}}],
                "volumeMounts": [{"name": "trust", "mountPath": "/etc/trust"}],
            }}),
            reason: "MountFailed",
            names: "there-is-none",
            remedy: json!({"pod": {"volumes": null, "volumeMounts": null}}),
        },
        Trouble {
            server: "variable",
            spec: json!({"pod": {"env": [{"name": "ANY", "valueFrom": {"configMapKeyRef": {"name": "there-is-none", "key": "k"}}}]}}),
            reason: "ContainerConfigInvalid",
            names: "there-is-none",
            remedy: json!({"pod": {"env": null}}),
        },
        Trouble {
            server: "image",
            spec: json!({"image": "localhost/there-is-no-such-image:1"}),
            reason: "ImagePullFailed",
            names: "localhost/there-is-no-such-image:1",
            remedy: json!({"image": cluster_tests::world::IMAGE}),
        },
    ]
}

/// Waits until a condition of the server has this status and reason; gives its message.
async fn said(world: &World, server: &str, kind: &str, expected: (&str, &str)) -> Result<String> {
    within(
        PATIENCE,
        &format!("{server}: {kind} {expected:?}"),
        async || {
            let status = world.api::<DittoServer>().get(server).await?.status;
            let found = status
                .iter()
                .flat_map(|status| &status.conditions)
                .find(|found| {
                    found.type_ == kind
                        && (found.status.as_str(), found.reason.as_str()) == expected
                });
            Ok(found
                .map(|found| found.message.clone())
                .ok_or_else(|| conditions(status.as_ref())))
        },
    )
    .await
}

async fn named_and_healed(world: &World, trouble: &Trouble) -> Result<()> {
    let Trouble {
        server,
        spec,
        reason,
        names,
        remedy,
    } = trouble;
    let manifest = world.manifest_of(server, spec.clone());
    world.create_json::<DittoServer>(manifest).await?;
    let message = said(world, server, "Degraded", ("True", reason)).await?;
    ensure!(message.contains(names), "{names} is not named: {message}");
    let stuck = pod_of(world, server).await?.metadata.uid;
    world.change_of(server, json!({"spec": remedy})).await?;
    said(world, server, "Available", ("True", "PodServing")).await?;
    said(world, server, "Degraded", ("False", "AsExpected")).await?;
    said(world, server, "Progressing", ("False", "RolloutComplete")).await?;
    ensure!(pod_of(world, server).await?.metadata.uid != stuck);
    Ok(())
}

#[test]
fn each_trouble_has_its_reason_and_heals_with_the_spec() -> Outcome {
    scenario("trouble", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let pods = PodLog::watch(world);
        world.serve(json!({})).await?;
        let troubles = troubles();
        let all = troubles.iter().map(async |trouble| {
            let outcome = named_and_healed(world, trouble).await;
            outcome
                .err()
                .map(|error| format!("{}: {error:#}", trouble.server))
        });
        let failures: Vec<String> = futures::future::join_all(all)
            .await
            .into_iter()
            .flatten()
            .collect();
        none_failed(&failures)?;
        controller.quiet().await?;
        for trouble in &troubles {
            let count = pods.count(trouble.server);
            ensure!(count == 2, "{}: {count} pods", trouble.server);
        }
        // The one that was fine all the while.
        ensure!(pods.count(SERVER) == 1, "a pod that was fine was touched");
        let pod = pod_of(world, SERVER).await?;
        ensure!(container_of(&pod)?.restart_count == 0);
        Ok(())
    })
}

/// The server takes a port that does not exist, keeps it, and panics at its next start.
#[test]
fn a_panic_at_start_is_told_as_such() -> Outcome {
    scenario("panic", Pods::Run, async |world| {
        let _controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        let rest = Rest::of(world).await?;
        rest.ready().await?;
        let token = rest.session("admin", &password(world).await?).await?;
        let port = json!({"port": 99999});
        // It is stored although the answer is an error.
        let _ = rest
            .call(&token, Method::PUT, "/adapters/nfs", Some(port))
            .await;
        let pod = pod_of(world, SERVER).await?;
        let before = pod.metadata.uid.context("a pod without a UID")?;
        world
            .api::<Pod>()
            .delete(&api_types::names::pod(SERVER), &DeleteParams::default())
            .await?;
        another_pod(world, SERVER, Some(&before)).await?;
        let message = said(world, SERVER, "Degraded", ("True", "ServerPanicked")).await?;
        ensure!(
            message.contains("Exit code 2") && message.contains("kubectl logs files-0 --previous"),
            "{message}"
        );
        Ok(())
    })
}
