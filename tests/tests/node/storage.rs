//! Volumes grow under a running server, and go with it only where its spec says so.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster_tests::identity::may;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use controller_runtime::Seam;
use controller_runtime::seam::CrashAfter;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const CLAIM: &str = "metadata-files-0";

/// Starts a server whose claims are of a class that allows growth, and waits until it serves.
async fn serve(world: &World, controller: &Controller, storage: Value) -> Result<()> {
    let mut storage = storage;
    storage["contentSize"] = Value::Null;
    world.serve(json!({"storage": storage})).await?;
    world.condition("Available", "True", "PodServing").await?;
    world
        .condition("Progressing", "False", "RolloutComplete")
        .await?;
    world
        .condition("StorageReady", "True", "ClaimsBound")
        .await?;
    controller.quiet().await
}

async fn grow(world: &World, size: &str) -> Result<()> {
    world
        .change(json!({"spec": {"storage": {"metadataSize": size}}}))
        .await?;
    Ok(())
}

async fn requested(world: &World) -> Result<String> {
    let claim = world.api::<PersistentVolumeClaim>().get(CLAIM).await?;
    let claim = serde_json::to_value(&claim)?;
    let size = claim["spec"]["resources"]["requests"]["storage"].as_str();
    Ok(size.context("a claim without a size")?.to_owned())
}

/// Waits until the claim asks for `size`, then does what a storage driver does: nothing in the kit
/// expands volumes.
async fn expand(world: &World, size: &str) -> Result<()> {
    until(&format!("the claim asks for {size}"), async || {
        let found = requested(world).await?;
        Ok(if found == size { Ok(()) } else { Err(found) })
    })
    .await?;
    let claims = world.api::<PersistentVolumeClaim>();
    let claim = claims.get(CLAIM).await?;
    let volume = claim
        .spec
        .and_then(|spec| spec.volume_name)
        .context("a claim without a volume")?;
    let volumes: Api<PersistentVolume> = Api::all(world.admin.clone());
    let capacity = json!({"capacity": {"storage": size}});
    let parameters = PatchParams::default();
    volumes
        .patch(
            &volume,
            &parameters,
            &Patch::Merge(json!({"spec": capacity})),
        )
        .await?;
    claims
        .patch_status(
            CLAIM,
            &parameters,
            &Patch::Merge(json!({"status": capacity})),
        )
        .await?;
    Ok(())
}

async fn pod(world: &World) -> Result<Pod> {
    Ok(world
        .api::<Pod>()
        .get(&api_types::names::pod(SERVER))
        .await?)
}

/// Waits until the StatefulSet asks for `size`, has adopted the pod, and nothing holds the server.
async fn agreed(world: &World, size: &str) -> Result<()> {
    until(
        &format!("the StatefulSet asks for {size} and controls the pod"),
        async || {
            let Some(set) = world.api::<StatefulSet>().get_opt(SERVER).await? else {
                return Ok(Err("no StatefulSet".to_owned()));
            };
            let uid = set.uid().unwrap_or_default();
            let set = serde_json::to_value(&set)?;
            let template =
                set.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
            let pod = pod(world).await?;
            let adopted = pod.owner_references().iter().any(|owner| owner.uid == uid);
            let held = world.server().await?.finalizers().to_vec();
            Ok(
                if template == Some(&json!(size)) && adopted && held.is_empty() {
                    Ok(())
                } else {
                    Err(format!(
                        "template {template:?}, adopted {adopted}, finalizers {held:?}"
                    ))
                },
            )
        },
    )
    .await
}

async fn restarts(pod: &Pod) -> Result<i32> {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    Ok(containers.context("no status")?[0].restart_count)
}

#[test]
fn a_volume_grows_under_the_running_pod() -> Outcome {
    scenario("grow", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"storageClassName": "expandable"}),
        )
        .await?;
        let before = pod(world).await?;
        grow(world, "32Mi").await?;
        world
            .condition("StorageReady", "False", "ExpansionPending")
            .await?;
        expand(world, "32Mi").await?;
        agreed(world, "32Mi").await?;
        world
            .condition("StorageReady", "True", "ClaimsBound")
            .await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        controller.quiet().await?;
        let after = pod(world).await?;
        ensure!(after.uid() == before.uid(), "another pod");
        ensure!(restarts(&after).await? == 0, "the container was restarted");
        Ok(())
    })
}

#[test]
fn growth_and_a_restart_in_one_edit_restart_once() -> Outcome {
    scenario("grow-restart", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"storageClassName": "expandable"}),
        )
        .await?;
        let before = pod(world).await?;
        world
            .change(json!({"spec": {"logging": {"level": "DEBUG"}, "storage": {"metadataSize": "32Mi"}}}))
            .await?;
        expand(world, "32Mi").await?;
        until("another pod", async || {
            let pod = world
                .api::<Pod>()
                .get_opt(&api_types::names::pod(SERVER))
                .await?;
            let new = pod.is_some_and(|pod| pod.uid() != before.uid());
            Ok(if new {
                Ok(())
            } else {
                Err("the old pod".to_owned())
            })
        })
        .await?;
        let second = pod(world).await?;
        agreed(world, "32Mi").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        world.condition("Available", "True", "PodServing").await?;
        controller.quiet().await?;
        ensure!(pod(world).await?.uid() == second.uid(), "a third pod");
        Ok(())
    })
}

/// A field that somebody else set in the live template would be lost, and the pod with it.
#[test]
fn a_foreign_field_of_the_pod_template_keeps_the_statefulset_and_the_pod() -> Outcome {
    scenario("grow-foreign", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"storageClassName": "expandable"}),
        )
        .await?;
        let first = pod(world).await?;
        let annotation =
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}});
        world
            .meddle(
                Child::StatefulSet,
                &json!({"spec": {"template": annotation}}),
            )
            .await?;
        until("the restart that somebody asked for", async || {
            let pod = world
                .api::<Pod>()
                .get_opt(&api_types::names::pod(SERVER))
                .await?;
            let new = pod.is_some_and(|pod| pod.uid() != first.uid());
            Ok(if new {
                Ok(())
            } else {
                Err("the old pod".to_owned())
            })
        })
        .await?;
        world.condition("Available", "True", "PodServing").await?;
        world
            .condition("Progressing", "False", "RolloutComplete")
            .await?;
        let second = pod(world).await?;
        grow(world, "32Mi").await?;
        expand(world, "32Mi").await?;
        world
            .condition("StorageReady", "True", "ClaimTemplatesPending")
            .await?;
        controller.quiet().await?;
        ensure!(pod(world).await?.uid() == second.uid(), "another pod");
        Ok(())
    })
}

#[test]
fn a_class_without_expansion_is_named_and_nothing_is_written() -> Outcome {
    scenario("no-growth", Pods::Run, async |world| {
        may_read_classes(world).await?;
        let controller = Controller::start(world).await?;
        serve(world, &controller, json!({"storageClassName": "standard"})).await?;
        grow(world, "32Mi").await?;
        let message = world
            .condition("StorageReady", "False", "ExpansionNotSupported")
            .await?;
        ensure!(message.contains("allowVolumeExpansion"), "{message}");
        world.condition("Available", "True", "PodServing").await?;
        ensure!(requested(world).await? == "16Mi", "the claim was changed");
        Ok(())
    })
}

/// Lets the world's controller read StorageClasses, which a role of one namespace cannot.
async fn may_read_classes(world: &World) -> Result<()> {
    const ROLE: &str = "cluster-tests-storageclasses";
    let role: ClusterRole = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": ROLE},
        "rules": [{"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]}],
    }))?;
    let roles: Api<ClusterRole> = Api::all(world.admin.clone());
    roles
        .patch(
            ROLE,
            &PatchParams::apply("cluster-tests").force(),
            &Patch::Apply(role),
        )
        .await?;
    let (name, namespace) = world
        .identity
        .user
        .strip_prefix("system:serviceaccount:")
        .and_then(|user| user.split_once(':'))
        .map(|(namespace, name)| (name, namespace))
        .context("no ServiceAccount")?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": world.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }))?;
    let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
    bindings.create(&PostParams::default(), &binding).await?;
    let watch = json!({"verb": "watch", "group": "storage.k8s.io", "resource": "storageclasses"});
    may(&world.admin, &world.identity.user, &world.namespace, watch).await
}

/// Deletes the server, waits until it is gone, and gives what is left of its data.
async fn left_after(world: &World, parameters: &DeleteParams) -> Result<Vec<String>> {
    world
        .api::<api_types::DittoServer>()
        .delete(SERVER, parameters)
        .await?;
    until("the server and its pod are gone", async || {
        let server = world
            .api::<api_types::DittoServer>()
            .get_opt(SERVER)
            .await?;
        let pods = world
            .api::<Pod>()
            .list(&ListParams::default())
            .await?
            .items
            .len();
        Ok(if server.is_none() && pods == 0 {
            Ok(())
        } else {
            Err(format!("{pods} pods; {server:?}"))
        })
    })
    .await?;
    let claims = world
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?;
    let admin = world
        .api::<Secret>()
        .get_opt(&Child::Admin.name(SERVER))
        .await?;
    let mut left: Vec<String> = claims.items.iter().map(ResourceExt::name_any).collect();
    left.extend(admin.map(|secret| secret.name_any()));
    Ok(left)
}

fn foreground() -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    }
}

#[test]
fn retention_delete_takes_the_data_along_and_spares_what_is_not_its_own() -> Outcome {
    scenario("delete", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        let policy = json!({"retentionPolicy": {"whenDeleted": "Delete"}});
        serve(world, &controller, policy).await?;
        let own = world.server().await?.finalizers().to_vec();
        ensure!(own == ["dittofs.dittofs.com/finalizer"], "{own:?}");
        // A claim of the content volume's name that this server never had.
        world
            .create_json::<PersistentVolumeClaim>(json!({
                "metadata": {"name": "content-files-0"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
            }))
            .await?;
        let left = left_after(world, &DeleteParams::default()).await?;
        ensure!(left == ["content-files-0"], "{left:?}");
        Ok(())
    })
}

#[test]
fn a_foreground_deletion_takes_the_data_along() -> Outcome {
    scenario("delete-fg", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"retentionPolicy": {"whenDeleted": "Delete"}}),
        )
        .await?;
        let left = left_after(world, &foreground()).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

#[test]
fn a_policy_that_was_set_back_keeps_the_data_and_holds_nothing() -> Outcome {
    scenario("retain", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"retentionPolicy": {"whenDeleted": "Delete"}}),
        )
        .await?;
        let back = json!({"spec": {"storage": {"retentionPolicy": {"whenDeleted": "Retain"}}}});
        world.change(back).await?;
        until("nothing holds the server", async || {
            let held = world.server().await?.finalizers().to_vec();
            Ok(if held.is_empty() {
                Ok(())
            } else {
                Err(format!("{held:?}"))
            })
        })
        .await?;
        // No operator is needed for a deletion that deletes no data.
        controller.stop().await?;
        let left = left_after(world, &foreground()).await?;
        ensure!(
            left.len() == 3,
            "two claims and the Secret shall stay: {left:?}"
        );
        Ok(())
    })
}

#[test]
fn a_deletion_waits_for_an_operator_that_is_down() -> Outcome {
    scenario("delete-down", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"retentionPolicy": {"whenDeleted": "Delete"}}),
        )
        .await?;
        controller.stop().await?;
        world
            .api::<api_types::DittoServer>()
            .delete(SERVER, &DeleteParams::default())
            .await?;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        ensure!(
            !world.server().await?.finalizers().is_empty(),
            "the finalizer is gone"
        );
        let _controller = Controller::start(world).await?;
        let left = left_after(world, &DeleteParams::default()).await;
        // It may be gone before it is asked for again.
        let left = match left {
            Ok(left) => left,
            Err(_) => world
                .api::<PersistentVolumeClaim>()
                .list(&ListParams::default())
                .await?
                .items
                .iter()
                .map(ResourceExt::name_any)
                .collect(),
        };
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

/// One pod lives through all of it: each round grows the volume once more, and the controller dies
/// one write later than in the round before.
#[test]
fn a_growth_that_a_crash_interrupts_at_any_write_goes_on() -> Outcome {
    scenario("grow-crash", Pods::Run, async |world| {
        let controller = Controller::start(world).await?;
        serve(
            world,
            &controller,
            json!({"storageClassName": "expandable"}),
        )
        .await?;
        controller.stop().await?;
        let before = pod(world).await?;
        let mut crashes = 0;
        for writes in 0..40 {
            let size = format!("{}Mi", 17 + writes);
            let seam = Arc::new(if writes % 2 == 0 {
                CrashAfter::writes(writes / 2)
            } else {
                CrashAfter::losing_the_answer_of(writes.div_ceil(2))
            });
            let first =
                Controller::start_behind(world, vec![Arc::clone(&seam) as Arc<dyn Seam>]).await?;
            grow(world, &size).await?;
            let play = async {
                expand(world, &size).await?;
                agreed(world, &size).await?;
                first.quiet().await
            };
            let crash = until("the crash", async || {
                Ok(if seam.crashed() {
                    Ok(())
                } else {
                    Err("no crash".to_owned())
                })
            });
            tokio::select! {
                played = play => played?,
                crashed = crash => crashed?,
            }
            first.crash().await;
            let crashed = seam.crashed();
            let second = Controller::start(world).await?;
            expand(world, &size).await?;
            agreed(world, &size)
                .await
                .with_context(|| format!("after {seam:?}"))?;
            world
                .condition("StorageReady", "True", "ClaimsBound")
                .await?;
            second.quiet().await?;
            second.stop().await?;
            let after = pod(world).await?;
            ensure!(after.uid() == before.uid(), "another pod after {seam:?}");
            ensure!(restarts(&after).await? == 0, "a restart after {seam:?}");
            if !crashed {
                break;
            }
            crashes += 1;
        }
        ensure!(crashes >= 10, "only {crashes} crashes came to pass");
        Ok(())
    })
}
