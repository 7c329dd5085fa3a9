//! Worlds for the tests of the pure steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::DittoServer;
use api_types::v1alpha1::AdapterKind;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;
use resources::Instance;
use serde_json::{Value, json};

use crate::observe::{Live, Observed};
use crate::plan::{Plan, plan};
use crate::poll::{Look, Memory};

/// A server called `files` with these fields over a minimal spec.
pub(crate) fn server(spec: Value) -> DittoServer {
    let mut whole = json!({"storage": {"metadataSize": "1Gi"}});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let mut server = DittoServer::new("files", serde_json::from_value(whole).unwrap());
    server.metadata.namespace = Some("media".to_owned());
    server.metadata.uid = Some("uid-1".to_owned());
    server.metadata.generation = Some(1);
    server
}

/// A world in which the server serves, was looked at with these results, and has no children.
pub(crate) fn looked_at(spec: Value, looks: impl IntoIterator<Item = Look>) -> Observed {
    let mut server = server(spec);
    server.status = serde_json::from_value(json!({"conditions": [{
        "type": "Available", "status": "True", "reason": "PodReady", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}))
    .unwrap();
    let mut memory = Memory::default();
    for look in looks {
        memory.take_due(look, 1);
    }
    let live = AdapterKind::ALL.map(|kind| (kind, Live::default()));
    Observed {
        server: Arc::new(server),
        memory,
        live: BTreeMap::from(live),
        isolated: true,
        complaints: BTreeMap::new(),
        unasked: false,
    }
}

/// Stops all writes in `world`.
pub(crate) fn pause(world: &mut Observed) {
    let mut server = world.server.as_ref().clone();
    let paused = [("dittofs.io/paused".to_owned(), "true".to_owned())];
    server.metadata.annotations = Some(paused.into());
    world.server = Arc::new(server);
}

/// The plan for `world`.
pub(crate) fn planned(world: &Observed) -> Plan {
    plan(world, &Instance::of(&world.server).unwrap()).unwrap()
}

/// Puts a Service of the adapter `kind` with these fields of its spec into `world`; with our owner
/// reference.
pub(crate) fn service(world: &mut Observed, kind: AdapterKind, spec: Value) {
    let instance = Instance::of(&world.server).unwrap();
    let mut service = Service {
        spec: Some(serde_json::from_value(spec).unwrap()),
        ..Service::default()
    };
    let meta = service.meta_mut();
    meta.name = Some(api_types::names::adapter("files", kind));
    meta.namespace = Some("media".to_owned());
    meta.uid = Some(format!("uid of {}", kind.as_str()));
    meta.owner_references = Some(vec![instance.owner()]);
    let labels = api_types::labels::standard("files", api_types::labels::Component::Adapter);
    meta.labels = Some(labels);
    let live = world.live.entry(kind).or_default();
    live.service = Some(Arc::new(service));
}
