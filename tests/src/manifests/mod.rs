//! The table of good and bad manifests: what is taken, what is refused and with which words.
//!
//! Every row is judged twice, by the API server and by `dittofs-validate`, and both must say the same.

pub mod bounds;
pub mod predecessor;
pub mod shares;
pub mod violations;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{SERVER, manifest_in};

/// Namespace of the manifests of the table.
pub(crate) const NAMESPACE: &str = "table";

/// A spec, and what the API server says to it, as `settings.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Setting {
    /// What it is about.
    pub name: String,
    /// The spec that is stored before; absent for a new object.
    pub old: Option<Value>,
    /// The spec.
    pub spec: Value,
    /// Part of the refusal; absent when the spec is taken.
    pub message: Option<String>,
}

/// A manifest, what is stored before it, and what is said to it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub name: String,
    /// The manifest that is stored before; absent for a new object.
    pub old: Option<Value>,
    /// The manifest.
    pub new: Value,
    /// Part of the refusal; absent when it is taken.
    pub message: Option<String>,
}

/// The specs of `settings.json`.
///
/// # Errors
/// When it cannot be read.
pub fn settings() -> Result<Vec<Setting>> {
    serde_json::from_str(include_str!("settings.json")).context("settings.json")
}

/// Every row there is.
///
/// # Errors
/// When `settings.json` cannot be read.
pub fn table() -> Result<Vec<Row>> {
    let refused = |name: String, new: Value, message: &str| Row {
        name,
        old: None,
        new,
        message: Some(message.to_owned()),
    };
    let mut rows: Vec<Row> = settings()?
        .into_iter()
        .map(|row| Row {
            name: row.name,
            old: row.old.map(whole),
            new: whole(row.spec),
            message: row.message,
        })
        .collect();
    rows.extend(violations::all().into_iter().map(|violation| {
        let server = violation.name.as_deref().unwrap_or(SERVER);
        let name = format!("{server} {}", violation.spec);
        let new = manifest_in(NAMESPACE, server, violation.spec);
        refused(name, new, violation.message)
    }));
    rows.extend(bounds::all().into_iter().map(|(spec, path)| {
        let name = spec.to_string();
        refused(name, manifest_in(NAMESPACE, SERVER, spec), path)
    }));
    rows.extend(predecessor::all().into_iter().map(|spec| Row {
        name: format!("predecessor {spec}"),
        old: None,
        new: whole(spec),
        message: None,
    }));
    let stored = json!({"storage": {"storageClassName": "expandable", "metadataSize": "1Gi",
        "contentSize": "1Gi", "controlPlaneSize": "1Gi"}});
    rows.extend(violations::changes().into_iter().map(|(storage, message)| {
        let old = manifest_in(NAMESPACE, SERVER, stored.clone());
        let mut new = old.clone();
        crate::world::merge(&mut new, json!({"spec": {"storage": storage}}));
        Row {
            name: format!("change {storage}"),
            old: Some(old),
            new,
            message: Some(message.to_owned()),
        }
    }));
    rows.extend(
        violations::changed_databases()
            .into_iter()
            .map(|(before, after, message)| {
                let of = |database: Value| manifest_in(NAMESPACE, SERVER, database);
                Row {
                    name: format!("change {before} to {after}"),
                    old: Some(of(before)),
                    new: of(after),
                    message: message.map(str::to_owned),
                }
            }),
    );
    rows.extend(unknown_fields());
    rows.extend(shares::all());
    Ok(rows)
}

/// Fields that the schema does not know, which strict field validation refuses.
fn unknown_fields() -> impl Iterator<Item = Row> {
    let specs = [
        (json!({"nfsport": 2049}), "unknown field \"spec.nfsport\""),
        (
            json!({"storage": {"metadataSze": "1Gi", "contentSze": "1Gi"}}),
            "unknown field \"spec.storage.contentSze\"",
        ),
        (
            json!({"pod": {"env": [{"name": "A", "vale": "x"}]}}),
            "unknown field \"spec.pod.env[0].vale\"",
        ),
    ];
    let mut rows: Vec<Row> = specs
        .into_iter()
        .map(|(spec, message)| Row {
            name: spec.to_string(),
            old: None,
            new: manifest_in(NAMESPACE, SERVER, spec),
            message: Some(message.to_owned()),
        })
        .collect();
    let mut beside = manifest_in(NAMESPACE, SERVER, json!({}));
    beside["data"] = json!({});
    rows.push(Row {
        name: "a field beside the spec".to_owned(),
        old: None,
        new: beside,
        message: Some("unknown field \"data\"".to_owned()),
    });
    rows.into_iter()
}

fn whole(spec: Value) -> Value {
    let mut manifest = manifest_in(NAMESPACE, SERVER, json!({}));
    manifest["spec"] = spec;
    manifest
}

#[cfg(test)]
mod tests {
    use dittofs_validate::{Refusal, Validator};

    use super::*;
    use crate::world::none_failed;

    #[test]
    fn every_row_of_the_table_has_its_verdict_without_a_cluster() -> Result<(), crate::Failure> {
        let validator = Validator::new().context("the schema cannot be read")?;
        let mut failures = Vec::new();
        for row in table()? {
            let found = match &row.old {
                None => validator.create(&row.new),
                Some(old) => {
                    let flaws = validator.create(old);
                    if !flaws.is_empty() {
                        failures.push(format!(
                            "{}: the old object is refused: {flaws:?}",
                            row.name
                        ));
                    }
                    validator.update(old, &row.new)
                }
            };
            let said: Vec<String> = found.iter().map(Refusal::to_string).collect();
            let expected = match &row.message {
                Some(message) => said.iter().any(|said| said.contains(message.as_str())),
                None => said.is_empty(),
            };
            if !expected {
                let message = &row.message;
                failures.push(format!("{}: {said:?}, expected {message:?}", row.name));
            }
        }
        Ok(none_failed(&failures)?)
    }
}
