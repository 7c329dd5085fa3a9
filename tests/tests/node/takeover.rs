//! Servers of the Go operator become ours while their data stays in use.

use anyhow::{Context, Result, ensure};
use api_types::names;
use cluster_tests::predecessor::{self, Features, PASSWORD};
use cluster_tests::rest::Rest;
use cluster_tests::{
    Child, Controller, Outcome, PodLog, Pods, SERVER, World, belongings, scenario, until,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use kube::api::ListParams;

/// Its adapter Service for NFS.
pub(crate) const NFS: &str = "files-adapter-nfs";

/// Waits until a pod other than `before` serves.
async fn serving(world: &World, before: Option<&str>) -> Result<String> {
    until("the pod serves", async || {
        let pod = world.api::<Pod>().get_opt(&names::pod(SERVER)).await?;
        let conditions = pod
            .as_ref()
            .and_then(|pod| pod.status.as_ref())
            .and_then(|status| status.conditions.clone())
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let uid = pod.and_then(|pod| pod.uid());
        Ok(match uid {
            Some(uid) if ready && before != Some(uid.as_str()) => Ok(uid),
            other => Err(format!("pod {other:?}, {conditions:?}")),
        })
    })
    .await
}

/// What holds data or an address: claims with their volumes, Services with their addresses.
async fn kept(world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for claim in world
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?
    {
        let volume = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone());
        let volume = volume.with_context(|| format!("{} is not bound", claim.name_any()))?;
        found.push(format!("{} {:?} {volume}", claim.name_any(), claim.uid()));
    }
    for service in world.api::<Service>().list(&ListParams::default()).await? {
        let address = service
            .spec
            .as_ref()
            .and_then(|spec| spec.cluster_ip.clone());
        found.push(format!(
            "{} {:?} {address:?}",
            service.name_any(),
            service.uid()
        ));
    }
    ensure!(found.len() == 7, "{found:?}");
    Ok(found)
}

async fn taken_over(world: &World, controller: &Controller) -> Result<()> {
    until("nothing of the predecessor is left", async || {
        let traces = predecessor::traces(world).await?;
        Ok(if traces.is_empty() {
            Ok(())
        } else {
            Err(traces.join("\n"))
        })
    })
    .await?;
    world.condition("Available", "True", "PodServing").await?;
    world
        .condition("Progressing", "False", "RolloutComplete")
        .await?;
    controller.quiet().await
}

/// Runs the predecessor's server until it holds a user, a share and a file; gives its pod.
pub(crate) async fn in_use(world: &World) -> Result<(Rest, String)> {
    predecessor::serve(world, Features::default()).await?;
    put_to_use(world).await
}

/// Waits for the predecessor's server, and gives it a user, a share and a file; gives its pod.
pub(crate) async fn put_to_use(world: &World) -> Result<(Rest, String)> {
    let pod = serving(world, None).await?;
    let rest = Rest::of(world).await?;
    rest.ready().await?;
    belongings::make(world, &rest, PASSWORD, NFS).await?;
    Ok((rest, pod))
}

#[test]
fn users_shares_files_and_addresses_survive_a_takeover_and_the_way_back() -> Outcome {
    scenario("takeover", Pods::Run, async |world| {
        let (rest, first) = in_use(world).await?;
        let before = kept(world).await?;
        let adapters = predecessor::adapters(world).await?;
        let pods = PodLog::watch(world);

        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        let second = serving(world, Some(&first)).await?;
        belongings::there(world, &rest, PASSWORD, NFS).await?;
        ensure!(kept(world).await? == before, "another object");
        ensure!(
            pods.count(SERVER) == 2,
            "{} pods instead of two",
            pods.count(SERVER)
        );
        ensure!(
            predecessor::adapters(world).await? == adapters,
            "an adapter's objects were touched"
        );
        controller.stop().await?;

        // The way back: the predecessor writes what it wants, and is not refused.
        predecessor::reconcile(world, Features::default()).await?;
        let third = serving(world, Some(&second)).await?;
        belongings::there(world, &rest, PASSWORD, NFS).await?;
        ensure!(kept(world).await? == before, "another object");

        // And over again.
        let controller = Controller::start(world).await?;
        taken_over(world, &controller).await?;
        serving(world, Some(&third)).await?;
        belongings::there(world, &rest, PASSWORD, NFS).await?;
        ensure!(kept(world).await? == before, "another object");
        ensure!(
            pods.count(SERVER) == 4,
            "{} pods instead of four",
            pods.count(SERVER)
        );
        Ok(())
    })
}

/// The pod of a server with a managed database is refused under `restricted`, because its first
/// container is not hardened: such a server stands still until it is taken over.
#[test]
fn a_managed_database_that_was_never_used_leaves_users_and_shares_where_they_are() -> Outcome {
    scenario("takeover-pg", Pods::Run, async |world| {
        let _kind = predecessor::install_database_kind(world).await?;
        let (rest, first) = in_use(world).await?;
        let before = kept(world).await?;
        let features = Features {
            percona: true,
            ..Features::default()
        };
        // The Go operator's schema had no rule against it.
        let mut spec = features.spec();
        spec["database"]["migratedFrom"] = serde_json::json!("sqlite");
        world.change(serde_json::json!({"spec": spec})).await?;
        world
            .change(serde_json::json!({"spec": {"database": null}}))
            .await?;
        predecessor::reconcile(world, features).await?;
        let pods = PodLog::watch(world);

        let controller = Controller::start(world).await?;
        world
            .condition("DatabaseReady", "False", "DataStillInSQLite")
            .await?;
        taken_over(world, &controller).await?;
        serving(world, Some(&first)).await?;
        belongings::there(world, &rest, PASSWORD, NFS).await?;
        ensure!(kept(world).await? == before, "another object");
        ensure!(
            pods.count(SERVER) <= 2,
            "{} pods instead of two",
            pods.count(SERVER)
        );
        let set = world.child(Child::StatefulSet).await?;
        ensure!(
            set.data["spec"]["template"]["spec"]["initContainers"].is_null(),
            "it waits for the database"
        );
        Ok(())
    })
}
