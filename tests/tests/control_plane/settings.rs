//! The table of manifests, new ones and changes of stored ones, with the API server's verdict, which
//! `dittofs-validate` must know without it.

use anyhow::{Context, Result};
use api_types::{DittoFSShare, DittoServer};
use cluster_tests::manifests::{Row, table};
use cluster_tests::world::none_failed;
use cluster_tests::{Outcome, Pods, World, random, scenario};
use dittofs_validate::{Refusal, Validator};
use http::Request;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::Status;
use serde_json::{Value, json};

/// What the API server has against a manifest, one text for each field.
type Verdict = Vec<String>;

/// Asks the API server, with the strict field validation of `kubectl apply`. Nothing is stored but
/// what was there before.
async fn verdict(world: &World, row: &Row) -> Result<Verdict> {
    let mut manifest = row.new.clone();
    manifest["metadata"]["namespace"] = world.namespace.clone().into();
    let kind = match row.new["kind"].as_str() {
        Some("DittoFSShare") => ApiResource::erase::<DittoFSShare>(&()),
        _ => ApiResource::erase::<DittoServer>(&()),
    };
    let objects = format!(
        "/apis/{}/namespaces/{}/{}",
        kind.api_version, world.namespace, kind.plural
    );
    let request = match &row.old {
        None => Request::post(format!("{objects}?dryRun=All&fieldValidation=Strict")),
        Some(old) => {
            let name = format!("row-{}", random::suffix()?);
            let mut old = old.clone();
            old["metadata"] = json!({"name": name, "namespace": world.namespace});
            let old: DynamicObject = serde_json::from_value(old)?;
            let stored = world
                .objects(&kind)
                .create(&PostParams::default(), &old)
                .await
                .with_context(|| format!("{}: the old object is refused", row.name))?;
            manifest["metadata"] = serde_json::to_value(stored.metadata)?;
            Request::put(format!(
                "{objects}/{name}?dryRun=All&fieldValidation=Strict"
            ))
        }
    };
    let request = request
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&manifest)?)?;
    match world.admin.request::<Value>(request).await {
        Ok(_) => Ok(Vec::new()),
        Err(kube::Error::Api(status)) => said(&status),
        Err(error) => Err(error.into()),
    }
}

fn said(status: &Status) -> Result<Verdict> {
    let mut said: Verdict = if status.code == 400 {
        let (_, fields) = status
            .message
            .split_once("strict decoding error: ")
            .with_context(|| status.message.clone())?;
        let unknown = fields.split(", ").map(|unknown| {
            let path = unknown.split('"').nth(1).unwrap_or_default();
            format!("{path}: {unknown}")
        });
        unknown.collect()
    } else {
        let details = status.details.as_ref().context("no details")?;
        let causes = details.causes.iter();
        causes
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect()
    };
    said.sort();
    Ok(said)
}

fn offline(validator: &Validator, row: &Row) -> Verdict {
    let found = match &row.old {
        None => validator.create(&row.new),
        Some(old) => validator.update(old, &row.new),
    };
    let mut said: Verdict = found.iter().map(Refusal::to_string).collect();
    said.sort();
    said
}

async fn all_the_same(world: &World, rows: &[Row]) -> Result<()> {
    let validator = Validator::new()?;
    let mut failures = Vec::new();
    for row in rows {
        let said = verdict(world, row).await?;
        let expected = match &row.message {
            Some(message) => said.iter().any(|said| said.contains(message.as_str())),
            None => said.is_empty(),
        };
        if !expected {
            failures.push(format!(
                "{}: {said:?}, expected {:?}",
                row.name, row.message
            ));
        }
        let offline = offline(&validator, row);
        if offline != said {
            failures.push(format!(
                "{}: the API server says\n    {}\n  and dittofs-validate\n    {}",
                row.name,
                said.join("\n    "),
                offline.join("\n    ")
            ));
        }
    }
    none_failed(&failures)
}

#[test]
fn every_row_of_the_table_has_its_verdict_with_and_without_a_cluster() -> Outcome {
    scenario("settings", Pods::None, async |world| {
        all_the_same(world, &table()?).await
    })
}
