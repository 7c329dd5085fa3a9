//! A table of specs, new ones and changes of stored ones, with the API server's verdict.

use anyhow::{Context, Result};
use api_types::DittoServer;
use cluster_tests::world::none_failed;
use cluster_tests::{Outcome, Pods, World, scenario};
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

/// A spec, and what the API server says to it.
#[derive(Deserialize)]
pub(crate) struct Row {
    name: String,
    /// The spec that is stored before; absent for a new object.
    old: Option<Value>,
    spec: Value,
    /// Part of the refusal; absent when the spec is taken.
    pub(crate) message: Option<String>,
}

/// The table.
pub(crate) fn rows() -> Result<Vec<Row>> {
    serde_json::from_str(include_str!("settings.json")).context("settings.json")
}

async fn verdict(world: &World, number: usize, row: &Row) -> Result<Option<String>> {
    let api = world.objects(&ApiResource::erase::<DittoServer>(&()));
    let manifest = |spec: &Value| -> Result<DynamicObject> {
        Ok(serde_json::from_value(json!({
            "apiVersion": "dittofs.dittofs.com/v1alpha1",
            "kind": "DittoServer",
            "metadata": {"name": format!("row-{number}")},
            "spec": spec,
        }))?)
    };
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = match &row.old {
        None => api.create(&dry, &manifest(&row.spec)?).await,
        Some(old) => {
            let stored = api
                .create(&PostParams::default(), &manifest(old)?)
                .await
                .with_context(|| format!("{}: the old object is refused", row.name))?;
            let mut changed = manifest(&row.spec)?;
            changed.metadata = stored.metadata;
            let name = format!("row-{number}");
            api.replace(&name, &dry, &changed).await
        }
    };
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn every_row_of_the_table_has_its_verdict() -> Outcome {
    scenario("settings", Pods::None, async |world| {
        let mut failures = Vec::new();
        for (number, row) in rows()?.iter().enumerate() {
            let said = verdict(world, number, row).await?;
            let expected = match (&said, &row.message) {
                (Some(said), Some(message)) => said.contains(message.as_str()),
                (said, message) => said.is_none() == message.is_none(),
            };
            if !expected {
                failures.push(format!(
                    "{}: {said:?}, expected {:?}",
                    row.name, row.message
                ));
            }
        }
        none_failed(&failures)
    })
}
