//! What a server is made of, in a form in which two servers with the same spec are equal.

use std::collections::BTreeMap;

use anyhow::Result;
use api_types::DittoServer;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::World;
use crate::children::kinds;
use crate::end_state::{differ, forget, normalised, rendering};

/// The objects of a namespace, read once.
pub(super) struct Snapshot {
    servers: BTreeMap<String, DynamicObject>,
    objects: Vec<(String, DynamicObject)>,
}

/// One server's status and children, by kind and name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State(BTreeMap<String, Value>);

impl Snapshot {
    pub(super) async fn of(world: &World) -> Result<Self> {
        let list = |kind: ApiResource| async move {
            let api = world.objects(&kind);
            anyhow::Ok(api.list(&ListParams::default()).await?.items)
        };
        let servers = list(ApiResource::erase::<DittoServer>(&())).await?;
        let mut objects = Vec::new();
        for kind in kinds() {
            let name = kind.kind.clone();
            let found = list(kind).await?;
            objects.extend(found.into_iter().map(|object| (name.clone(), object)));
        }
        Ok(Snapshot {
            servers: servers
                .into_iter()
                .map(|server| (server.name_any(), server))
                .collect(),
            objects,
        })
    }

    /// Whether the status of every server speaks of its present generation.
    pub(super) fn is_observed(&self) -> bool {
        self.servers.values().all(|server| {
            let seen = server.data.pointer("/status/observedGeneration");
            seen.and_then(Value::as_i64) == server.metadata.generation
        })
    }

    /// The state of the server `name`.
    ///
    /// Left out, because it tells two servers or two points in time apart and nothing else:
    /// - the server's name, UID and namespace; UIDs, versions, generations and times of every object;
    /// - addresses and ports that the cluster gives, unless the spec names them;
    /// - values of generated Secrets, but not their length, and the digests that hang on them;
    /// - entries of managedFields that are not the controller's.
    pub(super) fn state(&self, name: &str) -> Result<State> {
        let mut found = BTreeMap::new();
        let Some(server) = self.servers.get(name) else {
            return Ok(State(found));
        };
        let wanted_port = server.data.pointer("/spec/service/nodePort");
        let uid = server.uid().unwrap_or_default();
        let digest = server
            .data
            .pointer("/status/configHash")
            .and_then(Value::as_str);
        let hidden = |value: &Value| -> Result<Value> {
            let mut text = serde_json::to_string(value)?
                .replace(&uid, "<uid>")
                .replace(name, "<server>");
            if let Some(digest) = digest.filter(|digest| !digest.is_empty()) {
                text = text.replace(digest, "<digest>");
            }
            Ok(serde_json::from_str(&text)?)
        };
        for (kind, object) in &self.objects {
            let called = object.name_any();
            if !called.contains(name) {
                continue;
            }
            let mut value = normalised(kind, object.clone())?;
            rendering(&mut value);
            forget(&mut value, &["generation"]);
            given_ports(&mut value, wanted_port);
            found.insert(
                format!("{kind} {}", called.replace(name, "<server>")),
                hidden(&value)?,
            );
        }
        let meta = normalised("DittoServer", server.clone())?;
        let mut status = json!({
            "finalizers": meta["finalizers"],
            "managers": meta["managers"],
            "status": server.data.get("status"),
        });
        forget(
            &mut status,
            &["lastTransitionTime", "uid", "observedGeneration"],
        );
        found.insert("DittoServer".to_owned(), hidden(&status)?);
        Ok(State(found))
    }
}

impl State {
    /// What differs from `expected`, one line each.
    pub(super) fn differences(&self, expected: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let surplus = self.0.keys().filter(|key| !expected.0.contains_key(*key));
        for key in expected.0.keys().chain(surplus) {
            match (expected.0.get(key), self.0.get(key)) {
                (Some(expected), Some(found)) => differ(key, expected, found, &mut lines),
                (Some(_), None) => lines.push(format!("{key} is missing")),
                (None, _) => lines.push(format!("{key} is surplus")),
            }
        }
        lines
    }
}

fn given_ports(service: &mut Value, wanted: Option<&Value>) {
    let Some(spec) = service
        .pointer_mut("/rest/spec")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(number) = port.get_mut("nodePort")
            && Some(&*number) != wanted
        {
            *number = "…".into();
        }
    }
    if let Some(number) = spec.get_mut("healthCheckNodePort") {
        *number = "…".into();
    }
}
