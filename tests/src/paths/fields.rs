//! The fields of the spec, and what each is set to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use api_types::DittoServer;
use dittofs_validate::Validator;
use kube::CustomResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{SERVER, merge};

/// A field, or a section, that is set, changed and unset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Path below the spec, such as `pod.labels`.
    pub at: String,
    /// What the rest of the spec says, from the beginning to the end.
    #[serde(default)]
    pub with: Value,
    /// What it does hides what other fields do.
    #[serde(default)]
    pub alone: bool,
    /// A change waits for the next restart.
    #[serde(default)]
    pub waits: bool,
    /// The volumes know what it was: without it, the server is not as a fresh one.
    #[serde(default)]
    pub remembered: bool,
    /// What it is set to.
    pub a: Value,
    /// What it is changed to; null where it can have only one value.
    pub b: Value,
}

/// The specs that a server has one after the other.
#[derive(Clone, Debug)]
pub struct Steps {
    /// What changes, for people.
    pub name: String,
    /// Set.
    pub a: Value,
    /// Changed.
    pub b: Value,
    /// Unset.
    pub unset: Value,
    /// Only one server of the cluster can have its second spec at a time.
    pub exclusive: bool,
    /// The volumes of the server know what was unset.
    pub remembered: bool,
}

impl Steps {
    /// The steps of all `changes` at once.
    pub(super) fn of(changes: &[&Change]) -> Self {
        let names: Vec<&str> = changes.iter().map(|change| change.at.as_str()).collect();
        let waits = changes.iter().any(|change| change.waits);
        let spec = |step: &str, value: fn(&Change) -> &Value| {
            let mut spec = smallest();
            if waits {
                let annotations = json!({"example.org/step": step});
                merge_part(&mut spec, json!({"pod": {"annotations": annotations}}));
            }
            for change in changes {
                merge_part(&mut spec, change.with.clone());
            }
            for change in changes {
                merge_part(&mut spec, change.part(value(change)));
            }
            spec
        };
        Steps {
            name: names.join(" and "),
            a: spec("a", |change| &change.a),
            b: spec("b", |change| &change.b),
            unset: spec("unset", |_| &Value::Null),
            exclusive: changes.iter().any(|change| change.is_exclusive()),
            remembered: changes.iter().any(|change| change.remembered),
        }
    }

    /// Whether the API server would take every step.
    pub(super) fn are_taken(&self, validator: &Validator) -> bool {
        let [a, b, unset] = [&self.a, &self.b, &self.unset].map(manifest);
        let refused = [
            validator.create(&a),
            validator.create(&b),
            validator.create(&unset),
            validator.update(&a, &b),
            validator.update(&b, &unset),
        ];
        refused.iter().all(Vec::is_empty)
    }
}

/// The smallest spec.
pub(super) fn smallest() -> Value {
    json!({"storage": {"metadataSize": "16Mi", "controlPlaneSize": "16Mi"}})
}

/// A node port belongs to one Service of the cluster: no second server can have it.
const EXCLUSIVE: &str = "service.nodePort";

impl Change {
    pub(super) fn is_exclusive(&self) -> bool {
        self.at == EXCLUSIVE
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> Steps {
        Steps::of(&[self])
    }

    fn spec(&self, value: &Value) -> Value {
        let mut spec = smallest();
        for part in [self.with.clone(), self.part(value)] {
            merge_part(&mut spec, part);
        }
        spec
    }

    /// The field with `value`, in its sections; nothing for null.
    fn part(&self, value: &Value) -> Value {
        if value.is_null() {
            return Value::Null;
        }
        let sections = self.at.rsplit('.');
        sections.fold(value.clone(), |inner, name| json!({ name: inner }))
    }
}

fn merge_part(spec: &mut Value, part: Value) {
    if !part.is_null() {
        merge(spec, part);
    }
}

/// A server with this spec, for the offline validation.
pub(super) fn manifest(spec: &Value) -> Value {
    json!({"apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoServer",
        "metadata": {"name": SERVER}, "spec": spec})
}

/// A change that the API server refuses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Path of the field below the spec.
    pub at: String,
    /// What the spec says before, over the smallest one.
    pub from: Value,
    /// The change.
    pub to: Value,
    /// Part of the refusal.
    pub message: String,
}

/// A field that cannot be used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unusable {
    at: String,
    /// Fields in it that can.
    #[serde(default)]
    but: Vec<String>,
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    changes: Vec<Change>,
    refused: Vec<Refused>,
    unusable: Vec<Unusable>,
}

fn table() -> Result<Table> {
    serde_saphyr::from_str(include_str!("fields.yaml")).context("fields.yaml")
}

/// The changes that the API server refuses.
///
/// # Errors
/// When the table cannot be read.
pub fn refused() -> Result<Vec<Refused>> {
    Ok(table()?.refused)
}

/// A change for every field of the spec that can change.
///
/// # Errors
/// When a field has neither values nor a reason, or a field that is named does not exist.
pub fn changes() -> Result<Vec<Change>> {
    let Table {
        mut changes,
        refused,
        unusable,
    } = table()?;
    let schema = schema()?;
    let leaves = leaves(&schema);
    let mut covered = BTreeSet::new();
    for change in &changes {
        covered.extend(change.changed(&schema));
    }
    let excused = |leaf: &str| {
        let below = |at: &str| leaf == at || leaf.starts_with(&format!("{at}."));
        refused.iter().any(|field| below(&field.at))
            || unusable.iter().any(|field| {
                let but = field.but.iter().map(|name| format!("{}.{name}", field.at));
                below(&field.at) && !but.into_iter().any(|but| below(&but))
            })
    };
    let validator = Validator::new()?;
    let mut missing = Vec::new();
    for (leaf, schema) in &leaves {
        if covered.contains(leaf) || excused(leaf) {
            continue;
        }
        match generated(&validator, leaf, schema) {
            Some(change) => changes.push(change),
            None => missing.push(leaf.as_str()),
        }
    }
    if !missing.is_empty() {
        bail!(
            "tests/src/paths/fields.yaml has no two values, and no reason, for {} fields of the spec:\n  {}",
            missing.len(),
            missing.join("\n  ")
        );
    }
    let unknown: Vec<&str> = (refused.iter().map(|field| &field.at))
        .chain(unusable.iter().map(|field| &field.at))
        .filter(|at| !leaves.keys().any(|leaf| leaf.starts_with(at.as_str())))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        bail!("fields.yaml names fields that do not exist: {unknown:?}");
    }
    Ok(changes)
}

/// The schema of the spec.
fn schema() -> Result<Value> {
    let crd = serde_json::to_value(DittoServer::crd())?;
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .cloned()
        .context("the CRD has no spec")
}

/// Every leaf of the spec with its schema; lists and their items share a path.
fn leaves(schema: &Value) -> BTreeMap<String, Value> {
    fn walk(schema: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
        match (schema["properties"].as_object(), &schema["items"]) {
            (Some(fields), _) if !fields.is_empty() => {
                for (name, schema) in fields {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(schema, &path, found);
                }
            }
            (_, items) if items.is_object() => walk(items, path, found),
            _ => {
                found.insert(path.to_owned(), schema.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(schema, "", &mut found);
    found
}

impl Change {
    /// The leaves whose values differ between the two.
    fn changed(&self, schema: &Value) -> Vec<String> {
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        values(schema, &self.part(&self.a), "", &mut a);
        values(schema, &self.part(&self.b), "", &mut b);
        let leaves: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        leaves
            .into_iter()
            .filter(|leaf| a.get(*leaf) != b.get(*leaf))
            .cloned()
            .collect()
    }
}

fn values(schema: &Value, value: &Value, path: &str, found: &mut BTreeMap<String, Vec<Value>>) {
    if value.is_null() {
        return;
    }
    match (value, schema["properties"].as_object()) {
        (Value::Object(fields), Some(known)) if !known.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                values(&schema["properties"][name], value, &path, found);
            }
        }
        (Value::Array(items), _) => {
            for item in items {
                values(&schema["items"], item, path, found);
            }
            // An empty list is a value too.
            found.entry(path.to_owned()).or_default();
        }
        _ => found
            .entry(path.to_owned())
            .or_default()
            .push(value.clone()),
    }
}

/// A change of a field that can be set alone to values that its schema tells.
fn generated(validator: &Validator, leaf: &str, schema: &Value) -> Option<Change> {
    let candidates: Vec<Value> = match (schema["enum"].as_array(), schema["type"].as_str()) {
        (Some(values), _) => values.clone(),
        (None, Some("boolean")) => vec![json!(true), json!(false)],
        (None, Some("integer")) => {
            let bound = |bound: &str| schema[bound].as_f64().map(|bound| json!(bound as i64));
            [bound("minimum"), bound("maximum")]
                .into_iter()
                .flatten()
                .collect()
        }
        _ => Vec::new(),
    };
    let default = schema.get("default");
    let mut change = Change {
        at: leaf.to_owned(),
        with: Value::Null,
        alone: false,
        waits: false,
        remembered: false,
        a: Value::Null,
        b: Value::Null,
    };
    // A value that is not the default changes something.
    let (defaults, others): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .filter(|value| validator.create(&manifest(&change.spec(value))).is_empty())
        .partition(|value| Some(value) == default);
    let mut values = others.into_iter().chain(defaults);
    change.a = values.next()?;
    change.b = values.next()?;
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::none_failed;

    #[test]
    fn every_field_of_the_spec_has_two_values_or_a_reason() -> Result<(), crate::Failure> {
        changes()?;
        Ok(())
    }

    #[test]
    fn every_step_of_a_change_is_taken() -> Result<(), crate::Failure> {
        let validator = Validator::new().context("the schema cannot be read")?;
        let mut failures = Vec::new();
        for change in changes()? {
            let steps = change.steps();
            let [a, b, unset] = [&steps.a, &steps.b, &steps.unset].map(manifest);
            let found = [
                validator.create(&a),
                validator.create(&b),
                validator.update(&a, &b),
                validator.update(&b, &unset),
            ];
            for refusal in found.into_iter().flatten() {
                failures.push(format!("{}: {refusal}", change.at));
            }
        }
        Ok(none_failed(&failures)?)
    }
}
