//! Worlds for the tests of the pure steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::DittoServer;
use api_types::names::Volume;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use resources::Instance;
use serde_json::{Value, json};

use crate::apply::Applied;
use crate::observe::{ClassState, HeldSecret, Observed, SecretState};
use crate::plan::{Plan, Wish, plan};
use crate::status::{Surroundings, Visit, status};
use crate::validate::validate;

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

/// A world in which nothing but the server exists.
pub(crate) fn empty(spec: Value) -> Observed {
    let server = server(spec);
    let secrets = crate::observe::secret_names(&server)
        .into_iter()
        .map(|name| (name, SecretState::Missing))
        .collect();
    Observed {
        server: Arc::new(server),
        live: resources::Children::default(),
        served: crate::observe::Served::default(),
        admitted: std::collections::BTreeSet::new(),
        claims: BTreeMap::new(),
        pod: None,
        orphaned_template: None,
        mount_failure: None,
        secrets,
        storage: crate::observe::StorageFacts::default(),
        database: crate::observe::DatabaseFacts::default(),
    }
}

/// A world in which the two generated Secrets exist.
pub(crate) fn provisioned(spec: Value) -> Observed {
    let mut world = empty(spec);
    secret(
        &mut world,
        "files-jwt-secret",
        &[("jwt-secret", &"k".repeat(43))],
    );
    secret(
        &mut world,
        "files-admin-bootstrap-credentials",
        &[("password", "password-of-admin")],
    );
    world
}

/// Puts the adapter NFS at `port` into the status of the server of `world`.
pub(crate) fn adapter(world: &mut Observed, port: u16, enabled: bool) {
    let mut server = DittoServer::clone(&world.server);
    let mut status = serde_json::to_value(server.status.unwrap_or_default()).unwrap();
    status["adapters"] =
        json!([{"type": "nfs", "enabled": enabled, "healthy": enabled, "listenPort": port}]);
    server.status = serde_json::from_value(status).unwrap();
    world.server = Arc::new(server);
}

/// Puts a Secret of the operator into `world`.
pub(crate) fn secret(world: &mut Observed, name: &str, data: &[(&str, &str)]) {
    let labels = api_types::labels::standard("files", api_types::labels::Component::Credentials);
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    let mut secret = Secret {
        data: Some(data),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels = Some(labels);
    let held = Arc::new(HeldSecret::of(secret));
    world
        .secrets
        .insert(name.to_owned(), SecretState::Present(held));
}

/// The plan for `world`.
pub(crate) fn planned(world: &Observed) -> Plan {
    plan(world, &validate(world).unwrap()).unwrap()
}

/// `set` as the API server holds it after we applied it: with our entry of managedFields.
pub(crate) fn applied(mut set: StatefulSet) -> StatefulSet {
    set.metadata.managed_fields = Some(
        serde_json::from_value(json!([{
            "manager": crate::MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:template": {}, "f:replicas": {}}},
        }]))
        .unwrap(),
    );
    set.metadata.generation = Some(1);
    set
}

/// `world` with the StatefulSet that the plan for it wants.
pub(crate) fn with_stateful_set(mut world: Observed) -> Observed {
    let Wish::Apply(set) = planned(&world).children.stateful_set else {
        panic!("the plan wants no StatefulSet");
    };
    world.live.stateful_set = Some(Arc::new(applied(*set)));
    world
}

/// `world` with bound claims and a pod in the given state (status of the pod).
pub(crate) fn with_pod(mut world: Observed, pod_status: Value) -> Observed {
    let spec = world.server.spec.clone();
    for volume in resources::volumes_of(&spec) {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": volume.claim("files"), "uid": format!("uid-{}", volume.name())},
            "status": {"phase": "Bound"},
        }))
        .unwrap();
        world.claims.insert(volume, Arc::new(claim));
    }
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "files-0", "labels": {"controller-revision-hash": "rev-1"}},
        "status": pod_status,
    }))
    .unwrap();
    world.pod = Some(Arc::new(pod));
    if let Some(set) = &world.live.stateful_set {
        let mut set = StatefulSet::clone(set);
        set.status = Some(
            serde_json::from_value(
                json!({"replicas": 1, "observedGeneration": 1, "updateRevision": "rev-1"}),
            )
            .unwrap(),
        );
        world.live.stateful_set = Some(Arc::new(set));
    }
    world
}

/// Status of a pod that serves.
pub(crate) fn serving() -> Value {
    json!({
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "started": true}],
    })
}

/// The status of a visit of `world` whose writes changed nothing.
pub(crate) fn reported(world: &Observed) -> api_types::DittoServerStatus {
    reported_at(world, jiff::Timestamp::UNIX_EPOCH)
}

/// The status of a visit at `now` whose writes changed nothing.
pub(crate) fn reported_at(world: &Observed, now: jiff::Timestamp) -> api_types::DittoServerStatus {
    let validated = validate(world).unwrap();
    let plan = plan(world, &validated).unwrap();
    let applied = Applied {
        live: world.live.clone(),
        failures: Vec::new(),
        storage: crate::apply::storage::StorageOutcome::default(),
    };
    let visit = Visit {
        observed: world,
        validated: &validated,
        plan: &plan,
        applied: &applied,
    };
    let surroundings = Surroundings {
        cluster_domain: "cluster.local".to_owned(),
    };
    status(visit, &surroundings, now)
}

/// Status and reason of a condition, such as `False SecretMissing`.
pub(crate) fn condition(status: &api_types::DittoServerStatus, kind: &str) -> String {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap();
    format!("{} {}", condition.status, condition.reason)
}

/// Puts a claim of the class `fast` into `world`, as the StatefulSet controller makes them, that
/// asks for `size`.
pub(crate) fn claim(world: &mut Observed, volume: Volume, size: &str, status: Value) {
    let claim = serde_json::from_value(json!({
        "metadata": {
            "name": volume.claim("files"), "namespace": "media",
            "uid": format!("uid-{}", volume.name()), "resourceVersion": "1",
            "labels": api_types::labels::standard("files", api_types::labels::Component::Server),
        },
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": size}}},
        "status": status,
    }));
    world.claims.insert(volume, Arc::new(claim.unwrap()));
}

/// Puts what is known of a StorageClass into `world`: that it exists, and whether it lets claims
/// grow; or `None`, that it does not exist.
pub(crate) fn class(world: &mut Observed, name: &str, expandable: Option<bool>) {
    let state = expandable.map_or(ClassState::Missing, |expandable| ClassState::Present {
        expandable,
        waits_for_pod: true,
    });
    world.storage.classes.insert(name.to_owned(), state);
}

/// `world` with changes of the server's spec.
pub(crate) fn respecified(
    mut world: Observed,
    change: impl FnOnce(&mut api_types::DittoServerSpec),
) -> Observed {
    let mut server = DittoServer::clone(&world.server);
    change(&mut server.spec);
    world.server = Arc::new(server);
    world
}

/// A claim of an earlier server of the same name.
pub(crate) fn left_claim(world: &mut Observed) {
    world.claims.insert(
        Volume::ControlPlane,
        Arc::new(PersistentVolumeClaim::default()),
    );
}

/// The instance of `world`.
pub(crate) fn instance(world: &Observed) -> Instance<'_> {
    Instance::of(&world.server).unwrap()
}
