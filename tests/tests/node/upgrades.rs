//! An upgrade of the operator restarts nobody, whatever it interrupts.

use anyhow::{Context, Result, ensure};
use cluster_tests::pods::{another_pod, container_of, pod_of};
use cluster_tests::release::{OLDER_GRACE_PERIOD, older_release};
use cluster_tests::{Child, Controller, Outcome, PodLog, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

/// Deletes the StatefulSet without its pod, as the operator does before it makes it again.
async fn orphan(world: &World) -> Result<()> {
    let sets = world.api::<StatefulSet>();
    sets.delete(SERVER, &DeleteParams::orphan()).await?;
    until("the StatefulSet is gone", async || {
        Ok(match sets.get_opt(SERVER).await? {
            None => Ok(()),
            Some(set) => Err(format!("{:?}", set.metadata.finalizers)),
        })
    })
    .await
}

/// Waits until there is a StatefulSet that controls the pod and has nothing to roll out.
async fn adopted(world: &World) -> Result<()> {
    until("a StatefulSet controls the pod", async || {
        let Some(set) = world.api::<StatefulSet>().get_opt(SERVER).await? else {
            return Ok(Err("no StatefulSet".to_owned()));
        };
        let uid = set.uid().unwrap_or_default();
        let pod = pod_of(world, SERVER).await?;
        let controlled = pod.owner_references().iter().any(|owner| owner.uid == uid);
        let status = set.status.unwrap_or_default();
        let seen = status.observed_generation == set.metadata.generation;
        let revision = pod.labels().get("controller-revision-hash");
        let rolled_out = pod.metadata.deletion_timestamp.is_none()
            && revision.is_some()
            && revision == status.update_revision.as_ref();
        Ok(if controlled && seen && rolled_out {
            Ok(())
        } else {
            Err(format!("controlled: {controlled}, {status:?}"))
        })
    })
    .await
}

async fn grace_period(world: &World) -> Result<Option<i64>> {
    let pod = pod_of(world, SERVER).await?;
    Ok(pod
        .spec
        .and_then(|spec| spec.termination_grace_period_seconds))
}

#[test]
fn an_upgrade_while_the_statefulset_is_being_replaced_keeps_the_pod() -> Outcome {
    scenario("orphan", Pods::Run, async |world| {
        let pods = PodLog::watch(world);
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.stop().await?;
        let first = pod_of(world, SERVER).await?.uid();
        older_release(world).await?;
        let older = another_pod(world, SERVER, first.as_deref()).await?;

        // The new release comes while everything is in place,
        let controller = Controller::start(world).await?;
        world
            .condition("Progressing", "False", "TemplateUpdatePending")
            .await?;
        controller.quiet().await?;
        controller.stop().await?;
        // and while the StatefulSet is away.
        orphan(world).await?;
        let controller = Controller::start(world).await?;
        adopted(world).await?;
        world
            .condition("Progressing", "False", "TemplateUpdatePending")
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        controller.quiet().await?;
        let now = pod_of(world, SERVER).await?;
        ensure!(now.uid() == older.uid(), "another pod");
        ensure!(container_of(&now)?.restart_count == 0, "it was restarted");
        ensure!(grace_period(world).await? == Some(OLDER_GRACE_PERIOD));
        ensure!(world.server().await?.finalizers().is_empty(), "it is held");

        // The next real restart brings what this release renders.
        world
            .change(json!({"spec": {"logging": {"level": "DEBUG"}}}))
            .await?;
        let newer = another_pod(world, SERVER, older.uid().as_deref()).await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        ensure!(grace_period(world).await? == Some(36));
        ensure!(pod_of(world, SERVER).await?.uid() == newer.uid());
        ensure!(
            pods.count(SERVER) == 3,
            "{} pods instead of three",
            pods.count(SERVER)
        );
        Ok(())
    })
}

/// What somebody else set in the old StatefulSet's template is part of what the pod runs.
#[test]
fn a_statefulset_that_somebody_deleted_without_its_pod_is_made_again_around_it() -> Outcome {
    scenario("orphaned", Pods::Run, async |world| {
        let pods = PodLog::watch(world);
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.condition("Available", "True", "PodServing").await?;
        let first = pod_of(world, SERVER).await?.uid();
        let asked =
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}});
        world
            .meddle(Child::StatefulSet, &json!({"spec": {"template": asked}}))
            .await?;
        let second = another_pod(world, SERVER, first.as_deref()).await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        world
            .api::<StatefulSet>()
            .delete(SERVER, &DeleteParams::orphan())
            .await?;
        until("another StatefulSet", async || {
            let set = world.find(Child::StatefulSet).await?;
            let is_new = set.is_some_and(|set| set.metadata.deletion_timestamp.is_none());
            Ok(if is_new {
                Ok(())
            } else {
                Err("the old one, or none".to_owned())
            })
        })
        .await?;
        adopted(world).await?;
        controller.quiet().await?;
        let now = pod_of(world, SERVER).await?;
        ensure!(now.uid() == second.uid(), "another pod");
        let annotations = now.metadata.annotations.context("no annotations")?;
        ensure!(annotations.contains_key("kubectl.kubernetes.io/restartedAt"));
        ensure!(
            pods.count(SERVER) == 2,
            "{} pods instead of two",
            pods.count(SERVER)
        );
        Ok(())
    })
}
