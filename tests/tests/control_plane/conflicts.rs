//! Somebody else's object with a name that a server needs is left alone and named.

use anyhow::{Result, ensure};
use cluster_tests::end_state::normalised;
use cluster_tests::{Child, Controller, Outcome, Pods, SERVER, World, scenario, until};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;
use resources::{PrometheusRule, ServiceMonitor};
use serde_json::{Value, json};

/// An object as somebody else would make it.
pub(crate) async fn foreign(world: &World, child: Child) -> Result<()> {
    let labels = json!({"app": "somebody-elses"});
    let selector = json!({"matchLabels": labels});
    let mut manifest: Value = match child {
        Child::Config => json!({"data": {"config.yaml": "theirs"}}),
        Child::Jwt | Child::Admin => {
            let value = "theirs-theirs-theirs-theirs-theirs";
            json!({"stringData": {"jwt-secret": value, "password": value}})
        }
        Child::Headless | Child::Api | Child::Metrics => {
            json!({"spec": {"selector": labels, "ports": [{"port": 1}]}})
        }
        Child::StatefulSet => json!({"spec": {
            "serviceName": "theirs", "selector": selector, "replicas": 0,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "localhost/pause:1"}]}},
        }}),
        Child::Budget => json!({"spec": {"selector": selector, "maxUnavailable": 0}}),
        Child::Policy => json!({"spec": {"podSelector": selector}}),
        Child::Monitor => {
            json!({"spec": {"selector": selector, "endpoints": [{"port": "theirs"}]}})
        }
        Child::Rule => json!({"spec": {"groups": []}}),
    };
    manifest["metadata"] = json!({"name": child.name(SERVER)});
    match child {
        Child::Config => drop(world.create_json::<ConfigMap>(manifest).await?),
        Child::Jwt | Child::Admin => drop(world.create_json::<Secret>(manifest).await?),
        Child::Headless | Child::Api | Child::Metrics => {
            drop(world.create_json::<Service>(manifest).await?)
        }
        Child::StatefulSet => drop(world.create_json::<StatefulSet>(manifest).await?),
        Child::Budget => drop(world.create_json::<PodDisruptionBudget>(manifest).await?),
        Child::Policy => drop(world.create_json::<NetworkPolicy>(manifest).await?),
        Child::Monitor => drop(world.create_json::<ServiceMonitor>(manifest).await?),
        Child::Rule => drop(world.create_json::<PrometheusRule>(manifest).await?),
    }
    Ok(())
}

async fn removed(world: &World, child: Child) -> Result<()> {
    world
        .objects(&child.resource())
        .delete(&child.name(SERVER), &DeleteParams::background())
        .await?;
    Ok(())
}

/// With `child` taken by somebody else: it is never written, `condition` names it, `held` is not
/// made meanwhile, and everything goes on once it is gone.
pub(crate) async fn taken(
    world: &World,
    child: Child,
    (condition, status): (&str, &str),
    held: Option<Child>,
) -> Result<()> {
    foreign(world, child).await?;
    // Kubernetes' own controllers write statuses: ours must not add to what was there before.
    let state = async || normalised(&child.resource().kind, world.child(child).await?);
    let before = state().await?;
    let controller = Controller::start(world).await?;
    world.serve(json!({"metrics": {"enabled": true}})).await?;
    let message = world.condition(condition, status, "NameConflict").await?;
    ensure!(
        message.contains(&child.called(SERVER)),
        "{} is not named: {message}",
        child.called(SERVER)
    );
    controller.quiet().await?;
    ensure!(state().await? == before, "it was touched");
    // Two children may share a name, as the StatefulSet and its budget do: the kind counts too.
    let touched: Vec<String> = world
        .writes(world.beginning)?
        .iter()
        .filter(|entry| {
            entry.resource == child.resource().plural && entry.name == child.name(SERVER)
        })
        .map(ToString::to_string)
        .collect();
    ensure!(touched.is_empty(), "written: {touched:?}");
    if let Some(held) = held {
        ensure!(
            world.find(held).await?.is_none(),
            "{} was made all the same",
            held.called(SERVER)
        );
    }
    let theirs = world.child(child).await?.uid();
    removed(world, child).await?;
    until("the server goes on by itself", async || {
        let found = world.find(child).await?;
        Ok(match found {
            Some(found) if found.uid() != theirs => Ok(()),
            Some(_) => Err("theirs is still there".to_owned()),
            None => Err("ours is not made".to_owned()),
        })
    })
    .await?;
    world.settled(&controller).await?;
    world.condition("Degraded", "False", "AsExpected").await?;
    world
        .condition("ConfigReady", "True", "InputsComplete")
        .await?;
    Ok(())
}

pub(crate) const DEGRADED: (&str, &str) = ("Degraded", "True");
const CONFIG: (&str, &str) = ("ConfigReady", "False");

#[test]
fn a_foreign_config_map_is_left_alone_and_no_pod_uses_it() -> Outcome {
    scenario("taken-cm", Pods::None, async |world| {
        taken(world, Child::Config, CONFIG, Some(Child::StatefulSet)).await
    })
}

#[test]
fn a_foreign_headless_service_is_left_alone() -> Outcome {
    scenario("taken-dns", Pods::None, async |world| {
        taken(world, Child::Headless, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_api_service_is_left_alone() -> Outcome {
    scenario("taken-api", Pods::None, async |world| {
        taken(world, Child::Api, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_metrics_service_is_left_alone() -> Outcome {
    scenario("taken-met", Pods::None, async |world| {
        taken(world, Child::Metrics, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_stateful_set_is_left_alone() -> Outcome {
    scenario("taken-sts", Pods::None, async |world| {
        taken(world, Child::StatefulSet, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_disruption_budget_is_left_alone() -> Outcome {
    scenario("taken-pdb", Pods::None, async |world| {
        taken(world, Child::Budget, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_network_policy_is_left_alone() -> Outcome {
    scenario("taken-np", Pods::None, async |world| {
        taken(world, Child::Policy, DEGRADED, None).await
    })
}

#[test]
fn a_foreign_token_secret_is_left_alone_and_no_pod_uses_it() -> Outcome {
    scenario("taken-jwt", Pods::None, async |world| {
        taken(world, Child::Jwt, CONFIG, Some(Child::StatefulSet)).await
    })
}

#[test]
fn a_foreign_admin_secret_is_left_alone_and_no_pod_uses_it() -> Outcome {
    scenario("taken-adm", Pods::None, async |world| {
        taken(world, Child::Admin, CONFIG, Some(Child::StatefulSet)).await
    })
}
