//! Where a scenario ends, without what differs from run to run, so that two runs can be compared.

use std::collections::BTreeMap;

use anyhow::Result;
use api_types::DittoServer;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::{Map, Value, json};

use crate::children::kinds;
use crate::{Child, SERVER, World};

/// The server's status and every object of the namespace, normalised, by kind and name.
#[derive(Clone, Debug, PartialEq)]
pub struct EndState(BTreeMap<String, Value>);

impl EndState {
    /// The state of `world` now. Addresses, UIDs, versions, times and random values are left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of(world: &World) -> Result<Self> {
        let servers = ApiResource::erase::<DittoServer>(&());
        let server = world.objects(&servers).get_opt(SERVER).await?;
        let names = Names {
            namespace: world.namespace.clone(),
            uid: server.as_ref().and_then(ResourceExt::uid),
            digest: digest(world).await?,
        };
        let mut found = BTreeMap::new();
        for kind in kinds() {
            for object in world.objects(&kind).list(&ListParams::default()).await? {
                let name = object.name_any();
                if name != "kube-root-ca.crt" {
                    found.insert(
                        format!("{} {name}", kind.kind),
                        names.hidden_in(normalised(&kind.kind, object)?)?,
                    );
                }
            }
        }
        if let Some(mut server) = server {
            let mut status = server.data["status"].take();
            forget(&mut status, &["lastTransitionTime", "uid"]);
            found.insert("DittoServer status".to_owned(), names.hidden_in(status)?);
            let server = names.hidden_in(normalised("DittoServer", server)?)?;
            found.insert("DittoServer".to_owned(), server);
        }
        Ok(EndState(found))
    }

    /// What differs from `expected`, one line each; empty when nothing does.
    #[must_use]
    pub fn differences(&self, expected: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for key in self
            .0
            .keys()
            .chain(expected.0.keys().filter(|key| !self.0.contains_key(*key)))
        {
            match (expected.0.get(key), self.0.get(key)) {
                (Some(expected), Some(found)) => differ(key, expected, found, &mut lines),
                (Some(_), None) => lines.push(format!("{key} is missing")),
                (None, _) => lines.push(format!("{key} is surplus")),
            }
        }
        lines
    }
}

/// An object of `kind` without what differs from run to run: for comparing a child with itself, too.
///
/// # Errors
/// When it is not JSON.
pub fn normalised(kind: &str, object: DynamicObject) -> Result<Value> {
    let meta = &object.metadata;
    let managers: Vec<Value> = meta
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| entry.manager.as_deref() == Some(server_controller::MANAGER))
        .map(|entry| json!([entry.operation, entry.subresource, entry.fields_v1]))
        .collect();
    let mut owners = serde_json::to_value(&meta.owner_references)?;
    for owner in owners.as_array_mut().into_iter().flatten() {
        if owner["kind"] != "DittoServer" {
            owner["uid"] = "…".into();
        }
    }
    let mut rest = object.data;
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("status");
        // Items of a list do not name their kind.
        fields.remove("kind");
        fields.remove("apiVersion");
        if let Some(Value::Object(secret)) = fields.get_mut("data")
            && kind == "Secret"
        {
            lengths(secret);
        }
    }
    if let Some(spec) = rest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("volumeName");
        for address in ["clusterIP", "clusterIPs"] {
            if spec
                .get(address)
                .is_some_and(|value| value != "None" && *value != json!(["None"]))
            {
                spec.insert(address.to_owned(), "…".into());
            }
        }
        for port in spec
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if !port["nodePort"].is_null() {
                port["nodePort"] = "…".into();
            }
        }
    }
    Ok(json!({
        "labels": meta.labels,
        "annotations": meta.annotations,
        "owners": owners,
        "finalizers": meta.finalizers,
        "generation": meta.generation,
        "managers": managers,
        "rest": rest,
    }))
}

/// Values of a Secret by their length: they are random.
fn lengths(data: &mut Map<String, Value>) {
    for value in data.values_mut() {
        *value = value.as_str().unwrap_or_default().len().into();
    }
}

pub(crate) fn forget(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Object(object) => {
            object.retain(|key, _| !fields.contains(&key.as_str()));
            object.values_mut().for_each(|value| forget(value, fields));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| forget(value, fields)),
        _ => {}
    }
}

/// Text that differs from run to run and is part of other text.
struct Names {
    namespace: String,
    uid: Option<String>,
    digest: Option<String>,
}

impl Names {
    fn hidden_in(&self, mut value: Value) -> Result<Value> {
        // It is made of the digest, among others.
        rendering(&mut value);
        let mut text = serde_json::to_string(&value)?.replace(&self.namespace, "<namespace>");
        if let Some(uid) = &self.uid {
            text = text.replace(uid, "<uid of the server>");
        }
        if let Some(digest) = &self.digest {
            text = text.replace(digest, "<digest>");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

pub(crate) fn rendering(object: &mut Value) {
    if let Some(annotation) = object.pointer_mut("/annotations/dittofs.io~1rendering") {
        *annotation = "…".into();
    }
}

/// The restart digest of the live StatefulSet; it hangs on the random JWT key.
async fn digest(world: &World) -> Result<Option<String>> {
    let set = world
        .objects(&Child::StatefulSet.resource())
        .get_opt(&Child::StatefulSet.name(SERVER))
        .await?;
    let pointer = "/spec/template/metadata/annotations/dittofs.io~1restart-digest";
    Ok(set.and_then(|set| {
        set.data
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    }))
}

pub(crate) fn differ(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for key in expected
                .keys()
                .chain(found.keys().filter(|key| !expected.contains_key(*key)))
            {
                let null = Value::Null;
                let sides = (
                    expected.get(key).unwrap_or(&null),
                    found.get(key).unwrap_or(&null),
                );
                differ(&format!("{path}.{key}"), sides.0, sides.1, lines);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                differ(&format!("{path}[{index}]"), expected, found, lines);
            }
        }
        _ if expected == found => {}
        _ => lines.push(format!("{path} is {found}, not {expected}")),
    }
}
