//! What a change of the spec does to the children, and what it leaves alone.

use anyhow::{Context, Result, ensure};
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

async fn api_service(world: &World) -> Result<Service> {
    Ok(world.api::<Service>().get(&Child::Api.name(SERVER)).await?)
}

async fn service(world: &World, what: &str, holds: impl Fn(&Service) -> bool) -> Result<Service> {
    until(what, async || {
        let service = api_service(world).await?;
        Ok(if holds(&service) {
            Ok(service)
        } else {
            Err(format!(
                "{:?} {:?}",
                service.metadata.annotations, service.spec
            ))
        })
    })
    .await
}

async fn template(world: &World) -> Result<Value> {
    let set = world.child(Child::StatefulSet).await?;
    Ok(set
        .data
        .pointer("/spec/template")
        .context("no template")?
        .clone())
}

/// The ports of a Service are written apart from the rest where an apply could be refused.
#[test]
fn a_status_of_the_present_generation_never_speaks_of_a_half_written_service() -> Outcome {
    scenario("half", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let change = json!({"controlPlane": {"port": 8081}, "service": {"type": "NodePort"}});
        world.change(json!({"spec": change})).await?;
        world.observed(SERVER).await?;
        let spec = api_service(world).await?.spec.unwrap_or_default();
        let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
        ensure!(
            (spec.type_.as_deref(), port) == (Some("NodePort"), Some(8081)),
            "{:?} on {port:?}",
            spec.type_
        );
        Ok(())
    })
}

#[test]
fn an_annotation_of_the_service_comes_and_goes_with_the_spec() -> Outcome {
    scenario("annotation", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let pod = template(world).await?;
        let theirs = json!({"metadata": {"annotations": {"example.org/theirs": "1"}}});
        world.meddle(Child::Api, &theirs).await?;
        let annotations =
            |value| json!({"spec": {"service": {"annotations": {"example.org/lb": value}}}});

        world.change(annotations(Some("internal"))).await?;
        service(world, "it is there", |service| {
            service
                .annotations()
                .get("example.org/lb")
                .is_some_and(|value| value == "internal")
        })
        .await?;
        world.change(annotations(Some("external"))).await?;
        service(world, "it is changed", |service| {
            service
                .annotations()
                .get("example.org/lb")
                .is_some_and(|value| value == "external")
        })
        .await?;
        world.change(annotations(None)).await?;
        let left = service(world, "it is gone", |service| {
            !service.annotations().contains_key("example.org/lb")
        })
        .await?;
        ensure!(
            left.annotations().contains_key("example.org/theirs"),
            "somebody else's went too"
        );
        controller.quiet().await?;
        ensure!(
            template(world).await? == pod,
            "the pod template was changed"
        );
        Ok(())
    })
}

#[test]
fn the_type_of_the_service_is_changed_in_place() -> Outcome {
    scenario("type", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let identity = |service: &Service| {
            (
                service.uid(),
                service
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.cluster_ip.clone()),
            )
        };
        let kind = |service: &Service| {
            service
                .spec
                .as_ref()
                .and_then(|spec| spec.type_.clone())
                .unwrap_or_default()
        };
        let before = identity(&api_service(world).await?);
        for wanted in [
            "NodePort",
            "LoadBalancer",
            "ClusterIP",
            "LoadBalancer",
            "NodePort",
            "ClusterIP",
        ] {
            world
                .change(json!({"spec": {"service": {"type": wanted}}}))
                .await?;
            let now = service(world, wanted, |service| kind(service) == wanted).await?;
            ensure!(
                identity(&now) == before,
                "{wanted}: another Service or address"
            );
            let ports = now.spec.and_then(|spec| spec.ports).unwrap_or_default();
            let node_port = ports.first().and_then(|port| port.node_port).is_some();
            ensure!(
                node_port == (wanted != "ClusterIP"),
                "{wanted}: node port {node_port}"
            );
        }
        controller.quiet().await
    })
}

#[test]
fn the_metrics_service_comes_and_goes_and_somebody_elses_stays() -> Outcome {
    scenario("metrics", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let enabled = |enabled: bool| json!({"spec": {"metrics": {"enabled": enabled}}});
        world.change(enabled(true)).await?;
        until("the Service is there", async || {
            Ok(world
                .find(Child::Metrics)
                .await?
                .map(|_| ())
                .ok_or_else(|| "not there".to_owned()))
        })
        .await?;
        world.change(enabled(false)).await?;
        until("the Service is gone", async || {
            Ok(match world.find(Child::Metrics).await? {
                None => Ok(()),
                Some(_) => Err("still there".to_owned()),
            })
        })
        .await?;
        controller.quiet().await?;

        let name = Child::Metrics.name(SERVER);
        let theirs = json!({"metadata": {"name": name}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1}]}});
        let theirs = world.create_json::<Service>(theirs).await?;
        world.change(enabled(true)).await?;
        world.condition("Degraded", "True", "NameConflict").await?;
        world.change(enabled(false)).await?;
        world.condition("Degraded", "False", "AsExpected").await?;
        controller.quiet().await?;
        let now = world.child(Child::Metrics).await?;
        ensure!(
            now.resource_version() == theirs.resource_version(),
            "somebody else's Service was touched"
        );
        world
            .api::<Service>()
            .delete(&name, &DeleteParams::default())
            .await?;
        Ok(())
    })
}

#[test]
fn a_drain_is_refused_or_allowed_in_place() -> Outcome {
    scenario("drain", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let uid = world.child(Child::Budget).await?.uid();
        for (wish, minimum, maximum) in [("Block", Some(1), None), ("Allow", None, Some(1))] {
            world.change(json!({"spec": {"disruption": wish}})).await?;
            until(wish, async || {
                let budget = world.child(Child::Budget).await?;
                let of = |field: &str| budget.data["spec"].get(field).and_then(Value::as_i64);
                let found = (of("minAvailable"), of("maxUnavailable"));
                Ok(if found == (minimum, maximum) {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                })
            })
            .await?;
        }
        ensure!(
            world.child(Child::Budget).await?.uid() == uid,
            "another budget"
        );
        controller.quiet().await
    })
}

#[test]
fn another_api_port_reaches_every_child() -> Outcome {
    scenario("port", Pods::None, async |world| {
        let controller = Controller::start(world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        world
            .change(json!({"spec": {"controlPlane": {"port": 9443}}}))
            .await?;
        until("the port is everywhere", async || {
            let mut missing = Vec::new();
            for (child, pointer) in [
                (Child::Api, "/spec/ports/0/port"),
                (Child::Headless, "/spec/ports/0/port"),
                (Child::Policy, "/spec/ingress/0/ports/0/port"),
                (
                    Child::StatefulSet,
                    "/spec/template/spec/containers/0/ports/0/containerPort",
                ),
            ] {
                let object = world.child(child).await?;
                if object.data.pointer(pointer) != Some(&json!(9443)) {
                    missing.push(format!(
                        "{}: {:?}",
                        child.called(SERVER),
                        object.data.pointer(pointer)
                    ));
                }
            }
            Ok(if missing.is_empty() {
                Ok(())
            } else {
                Err(missing.join(", "))
            })
        })
        .await?;
        controller.quiet().await?;
        for child in [Child::Api, Child::Headless] {
            let ports = world.child(child).await?.data["spec"]["ports"]
                .as_array()
                .map(Vec::len);
            ensure!(
                ports == Some(1),
                "{} has {ports:?} ports",
                child.called(SERVER)
            );
        }
        Ok(())
    })
}
