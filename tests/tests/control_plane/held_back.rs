//! An upgrade of the operator alone restarts nobody.

use anyhow::{Context, Result, ensure};
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// Applies the StatefulSet as an older release of the operator would have left it: another pod
/// template for the same restart digest, recorded as that release's rendering.
async fn older_release(world: &World) -> Result<DynamicObject> {
    let live = world.child(Child::StatefulSet).await?;
    let mut older = controller_runtime::apply::extract(
        &serde_json::to_value(&live)?,
        server_controller::MANAGER,
        None,
    )
    .context("nothing of the StatefulSet is ours")?;
    older["spec"]["template"]["spec"]["containers"][0]["terminationMessagePolicy"] =
        "FallbackToLogsOnError".into();
    older["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 41.into();
    let rendering = resources::rendering(&older["spec"]["template"]);
    older["metadata"]["annotations"]["dittofs.io/rendering"] = rendering.into();
    let parameters = PatchParams::apply(server_controller::MANAGER).force();
    Ok(world
        .objects(&Child::StatefulSet.resource())
        .patch(SERVER, &parameters, &Patch::Apply(older))
        .await?)
}

fn grace_period(set: &DynamicObject) -> Option<i64> {
    set.data
        .pointer("/spec/template/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64)
}

#[test]
fn an_older_rendering_stays_until_the_next_real_restart() -> Outcome {
    scenario("held-back", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        controller.stop().await?;
        let older = older_release(world).await?;

        let mark = world.cluster.audit.mark()?;
        let controller = Controller::start(world).await?;
        controller.visited_after(0).await?;
        controller.quiet().await?;
        let writes: Vec<_> = world
            .writes(mark)?
            .into_iter()
            .filter(|entry| entry.resource == "statefulsets")
            .collect();
        ensure!(
            writes.is_empty(),
            "written: {}",
            cluster_tests::audit::listed(&writes)
        );
        ensure!(
            grace_period(&world.child(Child::StatefulSet).await?) == Some(41),
            "the older rendering is gone"
        );

        // Not even healing brings the new rendering: what is put back is what was there.
        world
            .meddle(
                Child::StatefulSet,
                &json!({"metadata": {"labels": {"app.kubernetes.io/part-of": null}}}),
            )
            .await?;
        until("the label is back", async || {
            let set = world.child(Child::StatefulSet).await?;
            let back = set
                .metadata
                .labels
                .is_some_and(|labels| labels.contains_key("app.kubernetes.io/part-of"));
            Ok(if back {
                Ok(())
            } else {
                Err("no label".to_owned())
            })
        })
        .await?;
        let set = world.child(Child::StatefulSet).await?;
        ensure!(
            set.metadata.generation == older.metadata.generation,
            "the template was changed"
        );

        let mark = world.cluster.audit.mark()?;
        world
            .change(json!({"spec": {"image": "localhost/dittofs:next"}}))
            .await?;
        until("the new rendering is there", async || {
            let set = world.child(Child::StatefulSet).await?;
            Ok(if grace_period(&set) == Some(36) {
                Ok(())
            } else {
                Err(format!("{:?}", grace_period(&set)))
            })
        })
        .await?;
        controller.quiet().await?;
        let effective = world
            .writes(mark)?
            .into_iter()
            .filter(|entry| entry.resource == "statefulsets" && entry.code != 409)
            .count();
        ensure!(effective == 1, "{effective} writes instead of one");
        Ok(())
    })
}

#[test]
fn a_template_edited_by_a_person_is_no_older_rendering() -> Outcome {
    scenario("edited", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        controller.stop().await?;
        let patch = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 43}}}});
        world.meddle(Child::StatefulSet, &patch).await?;
        let _controller = Controller::start(world).await?;
        until("the edit is put back", async || {
            let set = world.child(Child::StatefulSet).await?;
            Ok(if grace_period(&set) == Some(36) {
                Ok(())
            } else {
                Err(format!("{:?}", grace_period(&set)))
            })
        })
        .await
    })
}
