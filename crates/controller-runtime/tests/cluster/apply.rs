//! Children and status written once, repaired, and never by accident.

use std::collections::BTreeMap;

use controller_runtime::{Applied, Applier, ApplyError, Made, apply::Deleted};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{MANAGER, World};

fn labels() -> Value {
    json!({"app": "dittofs-server", "instance": "demo"})
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn children_of_every_kind_settle_after_one_write() {
    let world = World::new("settle").await;
    world
        .settles::<ConfigMap>(world.object("a", json!({"data": {"k": "v", "empty": ""}})))
        .await;
    world
        .settles::<Secret>(world.object("a", json!({"type": "Opaque", "data": {"k": "c2VjcmV0"}})))
        .await;
    let ports = json!([{"name": "api", "port": 8080, "targetPort": "api"}, {"name": "d", "port": 53, "protocol": "UDP"}]);
    world
        .settles::<Service>(
            world.object("a", json!({"spec": {"selector": labels(), "ports": ports}})),
        )
        .await;
    let headless = json!({"spec": {"clusterIP": "None", "selector": labels(), "publishNotReadyAddresses": true,
        "ports": [{"name": "api", "port": 8080}]}});
    world
        .settles::<Service>(world.object("headless", headless))
        .await;
    let policy = json!({"spec": {"podSelector": {"matchLabels": labels()}, "policyTypes": ["Ingress"], "ingress": [
        {"ports": [{"port": 8080}], "from": [{"podSelector": {}}]}]}});
    world
        .settles::<NetworkPolicy>(world.object("a", policy))
        .await;
    let budget = json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels()}}});
    world
        .settles::<PodDisruptionBudget>(world.object("a", budget))
        .await;
    let set = json!({"spec": {
        "replicas": 0, "serviceName": "headless", "selector": {"matchLabels": labels()},
        "template": {"metadata": {"labels": labels()}, "spec": {
            "containers": [{"name": "dfs", "image": "x", "ports": [{"containerPort": 8080}],
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}}],
            "volumes": [{"name": "tmp", "emptyDir": {}}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "content"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}]}});
    world.settles::<StatefulSet>(world.object("a", set)).await;
    world.down().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn drift_is_repaired_and_unwanted_fields_go() {
    let world = World::new("drift").await;
    let watched = world.watched::<ConfigMap>().await;
    let namespace = world.namespace.clone();
    let desired: ConfigMap = world.object("a", json!({"data": {"k": "v", "old": "x"}}));
    world.applier.apply(&watched, &desired, None).await.unwrap();

    let api: Api<ConfigMap> = Api::namespaced(world.client(), &namespace);
    let patch = json!({"data": {"k": "theirs", "foreign": "stays"}});
    let drifted = api
        .patch("a", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    let repaired = world
        .applier
        .apply(&watched, &desired, Some(&drifted))
        .await
        .unwrap();
    assert!(matches!(repaired, Applied::Changed(_)));
    assert_eq!(repaired.object().data.as_ref().unwrap()["k"], "v");

    let less: ConfigMap = world.object("a", json!({"data": {"k": "v"}}));
    let live = watched.get(&namespace, "a").await.unwrap();
    let done = world
        .applier
        .apply(&watched, &less, live.as_deref())
        .await
        .unwrap();
    let expected = BTreeMap::from([
        ("foreign".to_owned(), "stays".to_owned()),
        ("k".to_owned(), "v".to_owned()),
    ]);
    assert_eq!(done.object().data, Some(expected));
    world.counter.reset();
    let live = watched.get(&namespace, "a").await.unwrap();
    assert!(
        !world
            .applier
            .apply(&watched, &less, live.as_deref())
            .await
            .unwrap()
            .is_write()
    );
    assert_eq!(world.counter.writes(), 0);
    world.down().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_write_never_hits_another_version_and_never_resurrects() {
    let world = World::new("conflict").await;
    let watched = world.watched::<ConfigMap>().await;
    let api: Api<ConfigMap> = Api::namespaced(world.client(), &world.namespace);
    let first: ConfigMap = world.object("a", json!({"data": {"k": "1"}}));
    let second: ConfigMap = world.object("a", json!({"data": {"k": "2"}}));
    let old = world
        .applier
        .apply(&watched, &first, None)
        .await
        .unwrap()
        .object()
        .clone();
    api.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"x": "y"}})),
    )
    .await
    .unwrap();
    let stale = world
        .applier
        .apply(&watched, &second, Some(&old))
        .await
        .unwrap_err();
    assert!(stale.is_conflict(), "{stale:?}");

    let live = api.get("a").await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = world
        .applier
        .apply(&watched, &second, Some(&live))
        .await
        .unwrap_err();
    assert!(gone.is_conflict(), "{gone:?}");
    assert!(api.get_opt("a").await.unwrap().is_none());

    // Recreated: the UID is another one even if the version were right.
    let new = api.create(&PostParams::default(), &first).await.unwrap();
    let mut mixed = live.clone();
    mixed
        .metadata
        .resource_version
        .clone_from(&new.metadata.resource_version);
    let replaced = world
        .applier
        .apply(&watched, &second, Some(&mixed))
        .await
        .unwrap_err();
    assert!(replaced.is_conflict(), "{replaced:?}");
    let deleted = world.applier.delete(&watched, &mixed).await.unwrap_err();
    assert!(deleted.is_conflict(), "{deleted:?}");
    assert_eq!(
        world.applier.delete(&watched, &new).await.unwrap(),
        Deleted::Accepted
    );
    assert_eq!(
        world.applier.delete(&watched, &new).await.unwrap(),
        Deleted::Absent
    );
    assert!(watched.get(&world.namespace, "a").await.unwrap().is_none());
    world.down().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn creation_leaves_an_existing_object_and_refusals_say_why() {
    let world = World::new("create").await;
    let watched = world.watched::<Secret>().await;
    let secret: Secret = world.object("a", json!({"data": {"k": "c2VjcmV0"}}));
    assert!(matches!(
        world.applier.create(&watched, &secret).await.unwrap(),
        Made::Created(_)
    ));
    let other: Secret = world.object("a", json!({"data": {"k": "b3RoZXI="}}));
    assert!(matches!(
        world.applier.create(&watched, &other).await.unwrap(),
        Made::Existed
    ));
    let live = watched.get(&world.namespace, "a").await.unwrap().unwrap();
    assert_eq!(live.data, secret.data);

    let services = world.watched::<Service>().await;
    let wrong: Service = world.object("wrong", json!({"spec": {"ports": [{"port": 0}]}}));
    let refused = world
        .applier
        .apply(&services, &wrong, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, ApplyError::Invalid { message, .. } if message.contains("port")),
        "{refused:?}"
    );
    world.down().await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn status_is_written_once_and_only_our_part_of_it() {
    let world = World::new("status").await;
    let watched = world.watched::<Service>().await;
    let service: Service = world.object("a", json!({"spec": {"ports": [{"port": 80}]}}));
    let live = world
        .applier
        .apply(&watched, &service, None)
        .await
        .unwrap()
        .object()
        .clone();
    let condition = json!({"type": "Ready", "status": "True", "reason": "Yes", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"conditions": [condition]});
    let written = world
        .applier
        .apply_status_value(&watched, status.clone(), &live)
        .await
        .unwrap();
    assert!(matches!(written, Applied::Changed(_)));
    world.counter.reset();
    let live = watched.get(&world.namespace, "a").await.unwrap().unwrap();
    let fresh = Applier::new(world.client(), MANAGER);
    assert!(
        !fresh
            .apply_status_value(&watched, status, &live)
            .await
            .unwrap()
            .is_write()
    );
    assert!(
        !fresh
            .apply(&watched, &service, Some(&live))
            .await
            .unwrap()
            .is_write()
    );
    assert_eq!(world.counter.writes(), 0);
    let gone = fresh
        .apply_status_value(&watched, json!({}), &live)
        .await
        .unwrap();
    assert!(
        gone.object()
            .status
            .as_ref()
            .unwrap()
            .conditions
            .as_ref()
            .is_none_or(Vec::is_empty)
    );
    world.down().await;
}
