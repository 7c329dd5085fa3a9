//! What the API server takes and refuses, and what it says then.

use anyhow::{Context, Result, ensure};
use api_types::DittoServer;
use cluster_tests::cluster::{CRDS, yaml_of};
use cluster_tests::world::none_failed;
use cluster_tests::{Outcome, Pods, World, scenario};
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use cluster_tests::manifests::{bounds, predecessor, settings, shares, violations};

/// What the API server says to a manifest, which it does not store.
async fn refusal(world: &World, manifest: Value) -> Result<Option<String>> {
    let api = world.objects(&ApiResource::erase::<DittoServer>(&()));
    let object: DynamicObject = serde_json::from_value(manifest)?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&parameters, &object).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn all_refused(world: &World, cases: Vec<(Option<String>, Value, &str)>) -> Result<()> {
    let mut failures = Vec::new();
    for (name, spec, message) in cases {
        let name = name.unwrap_or_else(|| "files".to_owned());
        match refusal(world, world.manifest_of(&name, spec.clone())).await? {
            None => failures.push(format!("{name} {spec} is taken")),
            Some(said) if !said.contains(message) => {
                failures.push(format!("{name} {spec} is refused with: {said}"))
            }
            Some(_) => {}
        }
    }
    none_failed(&failures)
}

#[test]
fn a_broken_rule_is_refused_with_what_to_do() -> Outcome {
    scenario("rules", Pods::None, async |world| {
        let cases = violations::all();
        all_refused(
            world,
            cases
                .into_iter()
                .map(|case| (case.name, case.spec, case.message))
                .collect(),
        )
        .await
    })
}

#[test]
fn a_value_out_of_bounds_is_refused_with_its_path() -> Outcome {
    scenario("bounds", Pods::None, async |world| {
        let cases = bounds::all().into_iter();
        all_refused(
            world,
            cases.map(|(spec, path)| (None, spec, path)).collect(),
        )
        .await
    })
}

#[test]
fn manifests_of_the_predecessor_are_taken() -> Outcome {
    scenario("predecessor", Pods::None, async |world| {
        let mut failures = Vec::new();
        for spec in predecessor::all() {
            let mut manifest = world.manifest(json!({}));
            manifest["spec"] = spec.clone();
            if let Some(said) = refusal(world, manifest).await? {
                failures.push(format!("{spec} is refused: {said}"));
            }
        }
        none_failed(&failures)
    })
}

#[test]
fn defaults_are_those_of_the_predecessor_but_for_the_image() -> Outcome {
    scenario("defaults", Pods::None, async |world| {
        let mut manifest = world.manifest(json!({}));
        manifest["spec"] =
            json!({"storage": {"metadataSize": "10Gi"}, "metrics": {}, "identity": {"jwt": {}}});
        let server: DynamicObject = {
            let object = serde_json::from_value(manifest)?;
            world
                .objects(&ApiResource::erase::<DittoServer>(&()))
                .create(&PostParams::default(), &object)
                .await?
        };
        for (pointer, value) in [
            ("/spec/replicas", json!(1)),
            ("/spec/storage/controlPlaneSize", json!("1Gi")),
            ("/spec/controlPlane/port", json!(8080)),
            ("/spec/adapterDiscovery/pollingInterval", json!("30s")),
            ("/spec/service/type", json!("ClusterIP")),
            ("/spec/metrics/port", json!(9090)),
            ("/spec/metrics/path", json!("/metrics")),
            ("/spec/identity/jwt/accessTokenDuration", json!("15m")),
            ("/spec/identity/jwt/refreshTokenDuration", json!("168h")),
        ] {
            let found = server.data.pointer(pointer);
            ensure!(
                found == Some(&value),
                "{pointer} is {found:?} instead of {value}"
            );
        }
        let image = server.data["spec"]["image"].as_str().context("no image")?;
        ensure!(
            !image.ends_with(":latest") && image.contains(':'),
            "{image} is no pinned release"
        );
        Ok(())
    })
}

/// A rule that nobody has seen refuse anything may refuse nothing.
#[test]
fn every_rule_of_the_schema_is_tried() -> Outcome {
    fn messages(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for rule in fields
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    found.extend(rule["message"].as_str().map(str::to_owned));
                    if rule["message"].is_null() {
                        found.push(format!("no message: {}", rule["rule"]));
                    }
                }
                fields.values().for_each(|value| messages(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for plural in CRDS {
        yaml_of(&format!("deploy/crds/{plural}.yaml"))?
            .iter()
            .for_each(|document| messages(document, &mut found));
    }
    let changes = violations::changes().into_iter().map(|case| case.1);
    let databases = violations::changed_databases();
    let rows = settings()?;
    let shares = shares::all();
    let tried: Vec<&str> = violations::all()
        .into_iter()
        .map(|case| case.message)
        .chain(changes)
        .chain(databases.iter().filter_map(|case| case.2))
        .chain(rows.iter().filter_map(|row| row.message.as_deref()))
        .chain(shares.iter().filter_map(|row| row.message.as_deref()))
        .collect();
    let untried: Vec<String> = found
        .into_iter()
        .filter(|message| !tried.iter().any(|tried| message.contains(tried)))
        .collect();
    Ok(none_failed(&untried)?)
}
