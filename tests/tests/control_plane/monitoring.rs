//! The ServiceMonitor and the PrometheusRule of a server, on the schemas of the Prometheus operator.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::audit::listed;
use cluster_tests::monitoring::{Definition, monitored, with_definitions};
use cluster_tests::world::{none_failed, somebody};
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PostParams};
use serde_json::{Value, json};

use crate::conflicts::{DEGRADED, taken};
use crate::healing::{each_is_healed, essence, healed};

const BOTH: [Child; 2] = [Child::Monitor, Child::Rule];

/// Waits until `child` is there.
async fn made(world: &World, child: Child) -> Result<DynamicObject> {
    until(&format!("{} is there", child.called(SERVER)), async || {
        Ok(world.find(child).await?.ok_or("it is not".to_owned()))
    })
    .await
}

/// Waits until `child` is gone.
async fn gone(world: &World, child: Child) -> Result<()> {
    until(&format!("{} is gone", child.called(SERVER)), async || {
        Ok(match world.find(child).await? {
            None => Ok(()),
            Some(_) => Err("it is there".to_owned()),
        })
    })
    .await
}

/// A server with metrics that has come to rest.
async fn settled(world: &World, metrics: Value) -> Result<Controller> {
    let controller = Controller::start(world).await?;
    world.serve(json!({"metrics": metrics})).await?;
    world.settled(&controller).await?;
    Ok(controller)
}

/// Asserts that no visit failed so far.
fn undisturbed(controller: &Controller) -> Result<()> {
    ensure!(
        controller.failures() == 0,
        "{} visits failed",
        controller.failures()
    );
    Ok(())
}

fn text<'v>(object: &'v DynamicObject, pointer: &str) -> &'v str {
    object
        .data
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[test]
fn a_scrape_finds_port_path_token_and_certificate_in_the_service_monitor() -> Outcome {
    monitored("scrape", Pods::None, &Definition::ALL, async |world| {
        world.secret("scraper", json!({"token": "t"})).await?;
        let pair = json!({"tls.crt": "c", "tls.key": "k", "ca.crt": "a"});
        world.secret("cert", pair).await?;
        let metrics = json!({
            "enabled": true, "port": 9191, "path": "/m",
            "bearerTokenSecret": {"name": "scraper", "key": "token"}, "certSecretName": "cert",
            "serviceMonitor": {"interval": "15s", "scrapeTimeout": "5s", "labels": {"release": "prometheus"}},
            "prometheusRule": {"labels": {"role": "alert-rules"}},
        });
        let controller = settled(world, metrics).await?;
        let monitor = world.child(Child::Monitor).await?;
        ensure!(monitor.labels()["release"] == "prometheus", "no label");
        let owner = &monitor.owner_references()[0];
        ensure!(
            Some(&owner.uid) == world.server().await?.uid().as_ref()
                && owner.controller == Some(true),
            "it would not go with its server: {owner:?}"
        );
        let expected = json!([{
            "port": "metrics", "path": "/m", "interval": "15s", "scrapeTimeout": "5s", "scheme": "https",
            "authorization": {"type": "Bearer", "credentials": {"name": "scraper", "key": "token"}},
            "tlsConfig": {
                "serverName": format!("files-metrics.{}.svc", world.namespace),
                "ca": {"secret": {"name": "cert", "key": "ca.crt"}},
            },
        }]);
        let endpoints = &monitor.data["spec"]["endpoints"];
        ensure!(*endpoints == expected, "{endpoints}");
        let rule = world.child(Child::Rule).await?;
        ensure!(rule.labels()["role"] == "alert-rules", "no label");
        let rules = rule.data.pointer("/spec/groups/0/rules");
        let rules = rules.and_then(Value::as_array).context("no rules")?;
        ensure!(rules.len() >= 6, "{} rules", rules.len());

        // A certificate without its CA: the reference would be one to nothing.
        let without = json!({"data": {"ca.crt": null}});
        let secrets = world.api::<Secret>();
        secrets
            .patch("cert", &somebody(), &Patch::Merge(without))
            .await?;
        until("the CA is no longer referred to", async || {
            let monitor = world.child(Child::Monitor).await?;
            let tls = &monitor.data["spec"]["endpoints"][0]["tlsConfig"];
            Ok(if tls["ca"].is_null() && !tls["serverName"].is_null() {
                Ok(())
            } else {
                Err(tls.to_string())
            })
        })
        .await?;
        undisturbed(&controller)
    })
}

#[test]
fn interval_and_labels_follow_the_spec_and_labels_of_others_stay() -> Outcome {
    monitored("knobs", Pods::None, &Definition::ALL, async |world| {
        let with = |labels: Value, interval: Value| json!({"enabled": true, "serviceMonitor": {"labels": labels, "interval": interval}});
        let controller = settled(
            world,
            with(json!({"release": "a", "team": "x"}), json!("15s")),
        )
        .await?;
        let theirs = json!({"metadata": {"labels": {"example.org/theirs": "yes"}}});
        world.meddle(Child::Monitor, &theirs).await?;
        world
            .change(json!({"spec": {"metrics": with(json!({"release": "b", "team": null}), Value::Null)}}))
            .await?;
        until("the ServiceMonitor follows", async || {
            let monitor = world.child(Child::Monitor).await?;
            let labels = monitor.labels();
            let follows = labels.get("release").map(String::as_str) == Some("b")
                && !labels.contains_key("team")
                && labels.contains_key("example.org/theirs")
                && text(&monitor, "/spec/endpoints/0/interval").is_empty();
            Ok(if follows {
                Ok(())
            } else {
                Err(format!("{labels:?}"))
            })
        })
        .await?;
        controller.quiet().await?;
        undisturbed(&controller)
    })
}

#[test]
fn each_is_made_within_seconds_when_its_definition_is_installed_later() -> Outcome {
    monitored("later", Pods::None, &[], async |world| {
        let controller = settled(world, json!({"enabled": true})).await?;
        for (definition, other) in [
            (
                Definition::PrometheusRules,
                Some(Definition::ServiceMonitors),
            ),
            (Definition::ServiceMonitors, None),
        ] {
            let mark = world.cluster.audit.mark()?;
            definition.install(&world.cluster).await?;
            let begin = std::time::Instant::now();
            made(world, definition.child()).await?;
            let took = begin.elapsed();
            ensure!(took < Duration::from_secs(60), "it took {took:?}");
            tracing::info!(
                ?took,
                definition = definition.name(),
                "made after the CRD was served"
            );
            controller.quiet().await?;
            let writes = world.writes(mark)?;
            let expected = definition.child().resource().plural;
            ensure!(
                writes.len() == 1 && writes[0].resource == expected,
                "written: {}",
                listed(&writes)
            );
            if let Some(other) = other {
                let requests = world.requests(mark)?;
                let plural = other.child().resource().plural;
                let asked: Vec<_> = requests
                    .iter()
                    .filter(|entry| entry.resource == plural)
                    .collect();
                ensure!(asked.is_empty(), "asked for {plural}: {}", listed(asked));
            }
        }
        undisturbed(&controller)
    })
}

#[test]
fn a_definition_that_goes_and_comes_back_disturbs_nothing_else() -> Outcome {
    monitored("comes-back", Pods::None, &Definition::ALL, async |world| {
        let controller = settled(world, json!({"enabled": true})).await?;
        let before = made(world, Child::Monitor).await?;
        let rule = made(world, Child::Rule).await?;
        let mark = world.cluster.audit.mark()?;
        Definition::ServiceMonitors.remove(&world.cluster).await?;
        controller.quiet().await?;
        // While it is absent nothing is asked of it, whatever wakes the controller.
        let absent = world.cluster.audit.mark()?;
        let visits = controller.visits();
        world
            .change(json!({"metadata": {"annotations": {"example.org/a": "b"}}}))
            .await?;
        controller.visited_after(visits).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let asked = world.requests(absent)?;
        let asked: Vec<_> = asked
            .iter()
            .filter(|entry| entry.resource == "servicemonitors")
            .collect();
        ensure!(
            asked.is_empty(),
            "asked while it was absent: {}",
            listed(asked)
        );

        Definition::ServiceMonitors.install(&world.cluster).await?;
        let after = made(world, Child::Monitor).await?;
        ensure!(before.uid() != after.uid(), "it was never gone");
        ensure!(
            essence(Child::Monitor, before)? == essence(Child::Monitor, after)?,
            "it is another one"
        );
        controller.quiet().await?;
        let writes = world.writes(mark)?;
        // Objects go one by one before their definition does, and one may be made again in between.
        let others: Vec<_> = writes
            .iter()
            .filter(|entry| entry.resource != "servicemonitors")
            .collect();
        ensure!(others.is_empty(), "written: {}", listed(others));
        ensure!(writes.len() <= 2, "written: {}", listed(&writes));
        ensure!(
            world.child(Child::Rule).await?.resource_version() == rule.resource_version(),
            "the PrometheusRule was touched"
        );
        undisturbed(&controller)
    })
}

#[test]
fn a_foreign_service_monitor_is_left_alone() -> Outcome {
    monitored("taken-sm", Pods::None, &Definition::ALL, async |world| {
        taken(world, Child::Monitor, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_prometheus_rule_is_left_alone() -> Outcome {
    monitored("taken-pr", Pods::None, &Definition::ALL, async |world| {
        taken(world, Child::Rule, DEGRADED, None).await
    })
}

#[test]
fn both_go_when_metrics_are_switched_off_and_each_when_it_is_opted_out_of() -> Outcome {
    monitored("off", Pods::None, &Definition::ALL, async |world| {
        let controller = settled(world, json!({"enabled": true})).await?;
        for child in BOTH {
            made(world, child).await?;
        }
        let metrics = |value: Value| json!({"spec": {"metrics": value}});
        world
            .change(metrics(json!({"serviceMonitor": {"enabled": false}})))
            .await?;
        gone(world, Child::Monitor).await?;
        made(world, Child::Rule).await?;
        world
            .change(metrics(
                json!({"serviceMonitor": null, "prometheusRule": {"enabled": false}}),
            ))
            .await?;
        gone(world, Child::Rule).await?;
        made(world, Child::Monitor).await?;
        world
            .change(metrics(json!({"prometheusRule": null})))
            .await?;
        made(world, Child::Rule).await?;
        world.change(metrics(Value::Null)).await?;
        for child in BOTH {
            gone(world, child).await?;
        }
        controller.quiet().await?;
        undisturbed(&controller)
    })
}

#[test]
fn a_foreign_one_stays_when_metrics_are_switched_off() -> Outcome {
    monitored("off-taken", Pods::None, &Definition::ALL, async |world| {
        for child in BOTH {
            crate::conflicts::foreign(world, child).await?;
        }
        let controller = settled(world, json!({"enabled": true})).await?;
        world.condition("Degraded", "True", "NameConflict").await?;
        world.change(json!({"spec": {"metrics": null}})).await?;
        world.condition("Degraded", "False", "AsExpected").await?;
        controller.quiet().await?;
        for child in BOTH {
            ensure!(
                world.find(child).await?.is_some(),
                "{} was removed",
                child.called(SERVER)
            );
        }
        Ok(())
    })
}

#[test]
fn what_somebody_edits_in_them_is_put_back_by_one_write() -> Outcome {
    let label = |key: &str| json!({"metadata": {"labels": {key: null}}});
    monitored("heal-mon", Pods::None, &Definition::ALL, async |world| {
        each_is_healed(
            world,
            vec![
                (Child::Monitor, "managed-by label removed", label("app.kubernetes.io/managed-by")),
                (Child::Monitor, "owner removed", json!({"metadata": {"ownerReferences": []}})),
                (Child::Monitor, "another path", json!({"spec": {"endpoints": [{"port": "metrics", "path": "/x"}]}})),
                (Child::Monitor, "honorLabels on", json!({"spec": {"endpoints": [{"port": "metrics", "path": "/metrics", "honorLabels": true}]}})),
                (Child::Monitor, "selects everything", json!({"spec": {"selector": {"matchLabels": null}}})),
                (Child::Rule, "component label removed", label("app.kubernetes.io/component")),
                (Child::Rule, "rules removed", json!({"spec": {"groups": []}})),
                (Child::Rule, "rules replaced", json!({"spec": {"groups": [{"name": "dittofs", "rules": [{"alert": "A", "expr": "1"}]}]}})),
            ],
        )
        .await
    })
}

#[test]
fn a_deleted_one_is_made_again_by_one_write() -> Outcome {
    monitored(
        "heal-mon-gone",
        Pods::None,
        &Definition::ALL,
        async |world| {
            let controller = settled(world, json!({"enabled": true})).await?;
            let mut failures = Vec::new();
            for child in BOTH {
                let old = made(world, child).await?;
                let was = essence(child, old)?;
                let mark = world.cluster.audit.mark()?;
                world
                    .objects(&child.resource())
                    .delete(&child.name(SERVER), &DeleteParams::background())
                    .await?;
                if let Err(error) = healed(world, &controller, child, &was, mark).await {
                    failures.push(format!("{}: {error:#}", child.called(SERVER)));
                }
            }
            none_failed(&failures)
        },
    )
}

#[test]
fn what_others_add_to_them_stays_and_a_settled_server_costs_no_write_and_no_list() -> Outcome {
    monitored("steady-mon", Pods::None, &Definition::ALL, async |world| {
        let controller = settled(
            world,
            json!({"enabled": true, "serviceMonitor": {"labels": {"release": "a"}, "interval": "30s"}}),
        )
        .await?;
        for child in BOTH {
            made(world, child).await?;
        }
        controller.quiet().await?;
        let mark = world.cluster.audit.mark()?;
        let visits = controller.visits();
        world
            .meddle(Child::Monitor, &json!({"spec": {"sampleLimit": 1000}}))
            .await?;
        for beat in 0..10 {
            let note = json!({"metadata": {"annotations": {"example.org/beat": beat.to_string()}}});
            for child in BOTH {
                world.meddle(child, &note).await?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Each beat is a visit at least: without them the window shows nothing.
        controller.visited_after(visits + 9).await?;
        controller.quiet().await?;
        let requests = world.requests(mark)?;
        let unwanted: Vec<_> = requests
            .iter()
            .filter(|entry| entry.is_write() || entry.is_list())
            .collect();
        ensure!(unwanted.is_empty(), "{}", listed(unwanted));
        let limit = world.child(Child::Monitor).await?.data["spec"]["sampleLimit"].clone();
        ensure!(limit == 1000, "what others set did not stay: {limit}");

        // A restart finds everything as it shall be.
        controller.stop().await?;
        let mark = world.cluster.audit.mark()?;
        let controller = Controller::start(world).await?;
        controller.visited_after(0).await?;
        controller.quiet().await?;
        let writes = world.writes(mark)?;
        ensure!(writes.is_empty(), "after a restart: {}", listed(&writes));
        undisturbed(&controller)
    })
}

/// The role of an operator that serves single namespaces does not reach resource definitions.
#[test]
fn without_the_rights_nothing_is_made_and_nothing_fails() -> Outcome {
    with_definitions(&Definition::ALL, || {
        scenario("no-rights", Pods::None, async |world| {
            let controller = settled(world, json!({"enabled": true})).await?;
            world.condition("Degraded", "False", "AsExpected").await?;
            for child in BOTH {
                ensure!(
                    world.find(child).await?.is_none(),
                    "{} was made",
                    child.called(SERVER)
                );
            }
            let requests = world.requests(world.beginning)?;
            let kinds = [
                "servicemonitors",
                "prometheusrules",
                "customresourcedefinitions",
            ];
            let asked: Vec<_> = requests
                .iter()
                .filter(|entry| kinds.contains(&entry.resource.as_str()))
                .collect();
            ensure!(asked.is_empty(), "asked all the same: {}", listed(asked));
            undisturbed(&controller)
        })
    })
}

/// The ServiceMonitor of the Go operator: its selector and labels go, by Update they would stay.
#[test]
fn the_service_monitor_of_the_go_operator_is_taken_over_in_place() -> Outcome {
    monitored("mon-over", Pods::None, &Definition::ALL, async |world| {
        let server = world
            .serve(json!({"metrics": {"enabled": true, "serviceMonitor": {"enabled": true, "interval": "20s"}}}))
            .await?;
        let labels = json!({"app": "dittofs-server", "instance": SERVER, "dittofs.io/metrics-service": "true"});
        let theirs: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
            "metadata": {"name": "files-metrics", "labels": labels, "ownerReferences": [{
                "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoServer", "name": SERVER, "uid": server.uid(),
                "controller": true, "blockOwnerDeletion": true,
            }]},
            "spec": {"selector": {"matchLabels": labels}, "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "20s"}]},
        }))?;
        let parameters = PostParams {
            field_manager: Some("manager".to_owned()),
            ..PostParams::default()
        };
        let before = world
            .objects(&Child::Monitor.resource())
            .create(&parameters, &theirs)
            .await?;
        let controller = Controller::start(world).await?;
        world.settled(&controller).await?;
        let after = world.child(Child::Monitor).await?;
        ensure!(before.uid() == after.uid(), "it was made anew");
        let left = after.labels().contains_key("dittofs.io/metrics-service")
            || !after.data["spec"]["selector"]["matchLabels"]["dittofs.io/metrics-service"]
                .is_null();
        ensure!(
            !left,
            "left: {:?} {}",
            after.labels(),
            after.data["spec"]["selector"]
        );
        let managers: Vec<_> = after
            .managed_fields()
            .iter()
            .map(|entry| entry.manager.as_deref())
            .collect();
        ensure!(
            managers == [Some(server_controller::MANAGER)],
            "{managers:?}"
        );
        undisturbed(&controller)
    })
}
