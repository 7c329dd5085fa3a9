//! A child that somebody changes or deletes is put right by one write.

use anyhow::{Context, Result, ensure};
use cluster_tests::audit::listed;
use cluster_tests::end_state::normalised;
use cluster_tests::world::none_failed;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch};
use serde_json::{Value, json};

/// What of a child must be as it was.
pub(crate) fn essence(child: Child, object: DynamicObject) -> Result<Value> {
    let mut value = normalised(&child.resource().kind, object)?;
    for field in ["generation", "managers"] {
        if let Some(fields) = value.as_object_mut() {
            fields.remove(field);
        }
    }
    Ok(value)
}

/// Waits until `child` is as it was, and asserts that it took the controller exactly one write.
pub(crate) async fn healed(
    world: &World,
    controller: &Controller,
    child: Child,
    was: &Value,
    mark: cluster_tests::audit::Mark,
) -> Result<()> {
    until("it is as it was", async || {
        let Some(now) = world.find(child).await? else {
            return Ok(Err("it does not exist".to_owned()));
        };
        let now = essence(child, now)?;
        Ok(if now == *was {
            Ok(())
        } else {
            Err(now.to_string())
        })
    })
    .await?;
    controller.quiet().await?;
    let writes = world.writes(mark)?;
    // Kubernetes' own controllers write the status after a change of the spec: a write that comes
    // between is refused as a conflict, and changes nothing.
    let effective: Vec<_> = writes.iter().filter(|entry| entry.code != 409).collect();
    ensure!(
        effective.len() == 1 && writes.iter().all(|entry| entry.name == child.name(SERVER)),
        "written instead of one write to it: {}",
        listed(&writes)
    );
    Ok(())
}

async fn settled(world: &World) -> Result<Controller> {
    let controller = Controller::start(world).await?;
    world
        .serve(json!({"service": {"annotations": {"example.org/ours": "yes"}}, "metrics": {"enabled": true}}))
        .await?;
    world.settled(&controller).await?;
    Ok(controller)
}

/// Each case: a child, what somebody does to it (for the message), and how, as a merge patch.
pub(crate) async fn each_is_healed(world: &World, cases: Vec<(Child, &str, Value)>) -> Result<()> {
    let controller = settled(world).await?;
    let mut failures = Vec::new();
    for (child, what, patch) in cases {
        let outcome = async {
            let was = essence(child, world.child(child).await?)?;
            let mark = world.cluster.audit.mark()?;
            let changed = essence(child, world.meddle(child, &patch).await?)?;
            ensure!(
                changed != was,
                "the change changed nothing, so the case proves nothing"
            );
            healed(world, &controller, child, &was, mark).await
        };
        if let Err(error) = outcome.await {
            failures.push(format!("{}, {what}: {error:#}", child.called(SERVER)));
            // The next case starts from a child that is right.
            world
                .objects(&child.resource())
                .delete(&child.name(SERVER), &DeleteParams::background())
                .await?;
            until("the child is there again", async || {
                Ok(world
                    .find(child)
                    .await?
                    .map(|_| ())
                    .ok_or_else(|| "not there".to_owned()))
            })
            .await?;
            controller.quiet().await?;
        }
    }
    none_failed(&failures)
}

fn owner_removed() -> Value {
    json!({"metadata": {"ownerReferences": null}})
}

fn label_removed(key: &str) -> Value {
    json!({"metadata": {"labels": {key: null}}})
}

#[test]
fn a_changed_service_is_healed_by_one_write() -> Outcome {
    let port = |number: u16| json!([{"name": "api", "port": number, "targetPort": number, "protocol": "TCP"}]);
    scenario("heal-svc", Pods::None, async |world| {
        each_is_healed(
            world,
            vec![
                (
                    Child::Headless,
                    "managed-by label removed",
                    label_removed("app.kubernetes.io/managed-by"),
                ),
                (
                    Child::Headless,
                    "component label changed",
                    json!({"metadata": {"labels": {"app.kubernetes.io/component": "x"}}}),
                ),
                (Child::Headless, "owner removed", owner_removed()),
                (
                    Child::Headless,
                    "publishNotReadyAddresses off",
                    json!({"spec": {"publishNotReadyAddresses": false}}),
                ),
                (
                    Child::Api,
                    "instance label removed",
                    label_removed("app.kubernetes.io/instance"),
                ),
                (Child::Api, "owner removed", owner_removed()),
                (
                    Child::Api,
                    "our annotation changed",
                    json!({"metadata": {"annotations": {"example.org/ours": "no"}}}),
                ),
                (
                    Child::Api,
                    "our annotation removed",
                    json!({"metadata": {"annotations": {"example.org/ours": null}}}),
                ),
                (
                    Child::Api,
                    "selector changed",
                    json!({"spec": {"selector": {"app": "other"}}}),
                ),
                (
                    Child::Api,
                    "target port changed",
                    json!({"spec": {"ports": [
                {"name": "api", "port": 8080, "targetPort": 1234, "protocol": "TCP"}]}}),
                ),
                (
                    Child::Api,
                    "port changed",
                    json!({"spec": {"ports": port(9999)}}),
                ),
                (
                    Child::Api,
                    "type changed",
                    json!({"spec": {"type": "NodePort"}}),
                ),
                (
                    Child::Metrics,
                    "port changed",
                    json!({"spec": {"ports": port(9998)}}),
                ),
            ],
        )
        .await
    })
}

#[test]
fn a_changed_stateful_set_is_healed_by_one_write() -> Outcome {
    scenario("heal-sts", Pods::None, async |world| {
        each_is_healed(world, vec![
            (Child::StatefulSet, "managed-by label removed", label_removed("app.kubernetes.io/managed-by")),
            (Child::StatefulSet, "owner removed", owner_removed()),
            (Child::StatefulSet, "rendering annotation changed", json!({"metadata": {"annotations": {"dittofs.io/rendering": "x"}}})),
            (Child::StatefulSet, "restart digest changed", json!({"spec": {"template": {"metadata": {"annotations": {"dittofs.io/restart-digest": "x"}}}}})),
            (Child::StatefulSet, "restart digest removed", json!({"spec": {"template": {"metadata": {"annotations": {"dittofs.io/restart-digest": null}}}}})),
            (Child::StatefulSet, "scaled", json!({"spec": {"replicas": 2}})),
            (Child::StatefulSet, "service account token mounted", json!({"spec": {"template": {"spec": {"automountServiceAccountToken": true}}}})),
        ])
        .await
    })
}

#[test]
fn the_other_changed_children_are_healed_by_one_write() -> Outcome {
    scenario("heal-rest", Pods::None, async |world| {
        each_is_healed(
            world,
            vec![
                (
                    Child::Config,
                    "data changed",
                    json!({"data": {configgen::paths::CONFIG_KEY: "logging: {}"}}),
                ),
                (Child::Config, "data removed", json!({"data": null})),
                (
                    Child::Config,
                    "managed-by label removed",
                    label_removed("app.kubernetes.io/managed-by"),
                ),
                (Child::Config, "owner removed", owner_removed()),
                (
                    Child::Config,
                    "digest annotation changed",
                    json!({"metadata": {"annotations": {"dittofs.io/restart-digest": "x"}}}),
                ),
                (Child::Budget, "owner removed", owner_removed()),
                (
                    Child::Budget,
                    "managed-by label removed",
                    label_removed("app.kubernetes.io/managed-by"),
                ),
                (
                    Child::Budget,
                    "maxUnavailable changed",
                    json!({"spec": {"maxUnavailable": 0}}),
                ),
                (
                    Child::Budget,
                    "minAvailable instead",
                    json!({"spec": {"maxUnavailable": null, "minAvailable": 1}}),
                ),
                (Child::Policy, "owner removed", owner_removed()),
                (
                    Child::Policy,
                    "managed-by label removed",
                    label_removed("app.kubernetes.io/managed-by"),
                ),
                (
                    Child::Policy,
                    "everything admitted",
                    json!({"spec": {"ingress": [{}]}}),
                ),
                (
                    Child::Policy,
                    "egress denied",
                    json!({"spec": {"policyTypes": ["Ingress", "Egress"]}}),
                ),
            ],
        )
        .await
    })
}

/// `kubectl edit` writes the whole object back as an Update.
#[test]
fn an_image_edited_by_hand_is_put_back_by_one_write() -> Outcome {
    scenario("heal-image", Pods::None, async |world| {
        let controller = settled(world).await?;
        let was = essence(Child::StatefulSet, world.child(Child::StatefulSet).await?)?;
        let mut edited = world.child(Child::StatefulSet).await?;
        *edited
            .data
            .pointer_mut("/spec/template/spec/containers/0/image")
            .context("no image")? = "example.org/other:1".into();
        let mark = world.cluster.audit.mark()?;
        let parameters = kube::api::PostParams {
            field_manager: Some("kubectl-edit".to_owned()),
            ..Default::default()
        };
        world
            .objects(&Child::StatefulSet.resource())
            .replace(SERVER, &parameters, &edited)
            .await?;
        healed(world, &controller, Child::StatefulSet, &was, mark).await
    })
}

#[test]
fn a_deleted_child_is_made_again_by_one_write() -> Outcome {
    scenario("heal-gone", Pods::None, async |world| {
        let controller = settled(world).await?;
        let mut failures = Vec::new();
        for child in Child::APPLIED.into_iter().chain([Child::Metrics]) {
            let outcome = async {
                let old = world.child(child).await?;
                let uid = old.uid();
                let was = essence(child, old)?;
                let mark = world.cluster.audit.mark()?;
                world
                    .objects(&child.resource())
                    .delete(&child.name(SERVER), &DeleteParams::background())
                    .await?;
                healed(world, &controller, child, &was, mark).await?;
                ensure!(world.child(child).await?.uid() != uid, "it was never gone");
                Ok(())
            };
            if let Err(error) = outcome.await {
                failures.push(format!("{}: {error:#}", child.called(SERVER)));
            }
        }
        none_failed(&failures)
    })
}

#[test]
fn what_others_add_stays_and_costs_no_write() -> Outcome {
    let note = json!({"metadata": {"annotations": {"example.org/note": "hello"}, "labels": {"example.org/team": "storage"}}});
    scenario("additions", Pods::None, async |world| {
        let controller = settled(world).await?;
        let mut cases: Vec<(Child, Value)> = Child::APPLIED
            .into_iter()
            .chain([Child::Metrics])
            .map(|child| (child, note.clone()))
            .collect();
        cases.push((
            Child::Api,
            json!({"spec": {"sessionAffinity": "ClientIP", "externalIPs": ["192.0.2.7"]}}),
        ));
        cases.push((
            Child::Policy,
            json!({"metadata": {"finalizers": ["example.org/kept"]}}),
        ));
        cases.push((
            Child::StatefulSet,
            json!({"spec": {"revisionHistoryLimit": 3}}),
        ));
        let mut failures = Vec::new();
        for (child, patch) in cases {
            let outcome = async {
                let mark = world.cluster.audit.mark()?;
                let visits = controller.visits();
                let changed = essence(child, world.meddle(child, &patch).await?)?;
                controller.visited_after(visits).await?;
                controller.quiet().await?;
                let writes = world.writes(mark)?;
                ensure!(writes.is_empty(), "written: {}", listed(&writes));
                ensure!(
                    essence(child, world.child(child).await?)? == changed,
                    "it did not stay"
                );
                Ok(())
            };
            if let Err(error) = outcome.await {
                failures.push(format!("{} {patch}: {error:#}", child.called(SERVER)));
            }
        }
        let finalizers = json!({"metadata": {"finalizers": null}});
        world
            .objects(&Child::Policy.resource())
            .patch(
                &Child::Policy.name(SERVER),
                &Default::default(),
                &Patch::Merge(finalizers),
            )
            .await?;
        none_failed(&failures)
    })
}
