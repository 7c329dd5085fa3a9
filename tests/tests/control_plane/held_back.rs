//! An upgrade of the operator alone restarts nobody.

use anyhow::ensure;
use cluster_tests::release::{OLDER_GRACE_PERIOD, older_release};
use cluster_tests::{Child, Controller, Outcome, Pods, scenario, until};
use kube::api::DynamicObject;
use serde_json::{Value, json};

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
            grace_period(&world.child(Child::StatefulSet).await?) == Some(OLDER_GRACE_PERIOD),
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
