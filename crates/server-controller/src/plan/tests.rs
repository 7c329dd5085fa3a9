//! The plan for worlds that are worth a name.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::testing::{
    applied, empty, instance, planned, provisioned, serving, with_pod, with_stateful_set,
};
use crate::validate::validate;

fn template(plan: &Plan) -> &k8s_openapi::api::core::v1::PodTemplateSpec {
    match &plan.children.stateful_set {
        Wish::Apply(set) => &set.spec.as_ref().unwrap().template,
        other => panic!("the StatefulSet shall be applied, not {other:?}"),
    }
}

#[test]
fn secrets_come_first_and_nothing_else_with_them() {
    let plan = planned(&empty(json!({})));
    assert_eq!(plan.make, [Generated::Jwt, Generated::Admin]);
    assert_eq!(plan.children, Plan::nothing().children);
}

#[test]
fn the_pod_is_not_made_before_its_inputs_are_complete() {
    let reference = json!({"name": "mine", "key": "token"});
    let plan = planned(&provisioned(
        json!({"identity": {"jwt": {"secretRef": reference}}}),
    ));
    assert_eq!(plan.children.stateful_set, Wish::Leave);
    assert!(matches!(plan.children.api, Wish::Apply(_)));
}

#[test]
fn a_missing_input_keeps_the_running_pod_and_still_lets_it_be_stopped() {
    let running = with_stateful_set(provisioned(json!({})));
    let before = template(&planned(&running)).clone();
    let mut world = running.clone();
    world.secrets.insert(
        "files-jwt-secret".to_owned(),
        crate::observe::SecretState::Refused(String::new()),
    );
    let mut server = DittoServer::clone(&world.server);
    server.spec.replicas = 0;
    server.spec.image = "other:1".to_owned();
    world.server = Arc::new(server);
    let plan = planned(&world);
    assert_eq!(*template(&plan), before);
    let Wish::Apply(set) = &plan.children.stateful_set else {
        panic!("it shall be stopped")
    };
    assert_eq!(set.spec.as_ref().unwrap().replicas, Some(0));
}

/// A world whose StatefulSet was rendered by an older release: same digest, another field.
fn older_rendering() -> Observed {
    let mut world = with_stateful_set(provisioned(json!({})));
    let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
    let template = &mut set.spec.as_mut().unwrap().template;
    template.spec.as_mut().unwrap().enable_service_links = Some(true);
    let rendering = resources::rendering(&serde_json::to_value(&*template).unwrap());
    set.metadata.annotations = Some([(annotations::RENDERING.to_owned(), rendering)].into());
    world.live.stateful_set = Some(Arc::new(applied(set)));
    world
}

#[test]
fn a_newer_rendering_waits_for_the_next_restart() {
    let world = with_pod(older_rendering(), serving());
    let plan = planned(&world);
    assert!(plan.held_back);
    assert_eq!(
        template(&plan).spec.as_ref().unwrap().enable_service_links,
        Some(true)
    );

    let mut world = world;
    let mut server = DittoServer::clone(&world.server);
    server.spec.image = "other:1".to_owned();
    world.server = Arc::new(server);
    let plan = planned(&world);
    assert!(!plan.held_back);
    assert_eq!(
        template(&plan).spec.as_ref().unwrap().enable_service_links,
        Some(false)
    );
}

#[test]
fn a_template_that_somebody_edited_is_put_right() {
    let mut world = with_pod(with_stateful_set(provisioned(json!({}))), serving());
    let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
    set.spec
        .as_mut()
        .unwrap()
        .template
        .spec
        .as_mut()
        .unwrap()
        .enable_service_links = Some(true);
    world.live.stateful_set = Some(Arc::new(set));
    let plan = planned(&world);
    assert!(!plan.held_back);
    assert_eq!(
        template(&plan).spec.as_ref().unwrap().enable_service_links,
        Some(false)
    );
}

#[test]
fn a_pod_stuck_in_an_unwanted_revision_goes_and_one_that_is_fine_or_slow_stays() {
    let stuck = json!({"containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
    let slow = json!({"containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]});
    let world = |pod_status, revision: &str| {
        let mut world = with_pod(with_stateful_set(provisioned(json!({}))), pod_status);
        let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
        set.metadata.uid = Some("uid-set".to_owned());
        set.status.as_mut().unwrap().update_revision = Some(revision.to_owned());
        world.live.stateful_set = Some(Arc::new(set));
        let mut pod = k8s_openapi::api::core::v1::Pod::clone(world.pod.as_ref().unwrap());
        pod.metadata.owner_references = serde_json::from_value(json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "files", "uid": "uid-set", "controller": true,
        }]))
        .unwrap();
        world.pod = Some(Arc::new(pod));
        world
    };
    assert!(planned(&world(stuck.clone(), "rev-2")).unstick);
    assert!(
        !planned(&world(stuck, "rev-1")).unstick,
        "the wanted revision itself is in trouble"
    );
    let mut unmounted = world(slow.clone(), "rev-2");
    unmounted.mount_failure = Some("configmap not found".to_owned());
    assert!(planned(&unmounted).unstick, "its volumes cannot be mounted");
    assert!(!planned(&world(slow, "rev-2")).unstick, "it is only slow");
    assert!(!planned(&world(serving(), "rev-2")).unstick, "it serves");
}

#[test]
fn claim_templates_of_a_live_set_stay() {
    let mut world = with_stateful_set(provisioned(json!({})));
    let mut server = DittoServer::clone(&world.server);
    server.spec.storage.content_size = Some("5Gi".into());
    world.server = Arc::new(server);
    let Wish::Apply(set) = planned(&world).children.stateful_set else {
        panic!("applied")
    };
    let spec = set.spec.unwrap();
    assert_eq!(spec.volume_claim_templates.unwrap().len(), 2);
    let mounts = spec.template.spec.unwrap().containers[0]
        .volume_mounts
        .clone()
        .unwrap();
    assert!(mounts.iter().all(|mount| mount.name != "content"));
}

#[test]
fn what_is_somebody_elses_is_left_alone_and_the_rest_goes_on() {
    let mut world = provisioned(json!({}));
    let mut foreign = resources::api_service(&instance(&world));
    foreign.metadata.labels = None;
    foreign.metadata.owner_references = None;
    world.live.api = Some(Arc::new(foreign));
    let plan = planned(&world);
    assert_eq!(plan.children.api, Wish::Leave);
    assert!(matches!(plan.children.headless, Wish::Apply(_)));
    assert!(matches!(plan.children.stateful_set, Wish::Apply(_)));
    assert_eq!(validate(&world).unwrap().conflicts[0].name, "files-api");
}

#[test]
fn no_pod_starts_with_the_configuration_of_somebody_else() {
    let mut world = provisioned(json!({}));
    world.live.config = Some(Arc::new(ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some("files-config".to_owned()),
            ..Default::default()
        },
        ..ConfigMap::default()
    }));
    let plan = planned(&world);
    assert_eq!(plan.children.config, Wish::Leave);
    assert_eq!(plan.children.stateful_set, Wish::Leave);
}

#[test]
fn a_paused_server_is_left_alone() {
    let mut world = empty(json!({}));
    let mut server = DittoServer::clone(&world.server);
    server.metadata.annotations =
        Some([(annotations::PAUSED.to_owned(), "true".to_owned())].into());
    world.server = Arc::new(server);
    assert_eq!(
        planned(&world),
        Plan {
            paused: true,
            ..Plan::nothing()
        }
    );
}

#[test]
fn a_server_on_its_way_out_gets_nothing_but_its_release() {
    let mut world = empty(json!({}));
    let mut server = DittoServer::clone(&world.server);
    server.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
    );
    server.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    world.server = Arc::new(server);
    assert_eq!(
        planned(&world),
        Plan {
            deletion: Some(Deletion::Release),
            ..Plan::nothing()
        }
    );
}

/// `world` with another spec.
fn with_spec(mut world: Observed, spec: serde_json::Value) -> Observed {
    world.server = Arc::new(crate::testing::server(spec));
    world
}

#[test]
fn the_policy_goes_when_it_is_not_wanted_unless_it_is_somebody_elses() {
    let mut world = provisioned(json!({}));
    let Wish::Apply(policy) = planned(&world).children.policy else {
        panic!("applied")
    };
    world.live.policy = Some(Arc::from(policy));
    let mut world = with_spec(world, json!({"networkPolicy": {"enabled": false}}));
    assert_eq!(planned(&world).children.policy, Wish::Remove);

    let mut foreign = NetworkPolicy::clone(world.live.policy.as_ref().unwrap());
    foreign.metadata.labels = None;
    foreign.metadata.owner_references = None;
    world.live.policy = Some(Arc::new(foreign));
    assert_eq!(planned(&world).children.policy, Wish::Leave);
    assert!(validate(&world).unwrap().conflicts.is_empty());
}

#[test]
fn a_service_that_we_made_dual_stack_goes_back_to_a_single_one() {
    let policy = |world: &Observed| match planned(world).children.api {
        Wish::Apply(service) => service.spec.unwrap().ip_family_policy,
        other => panic!("the Service shall be applied, not {other:?}"),
    };
    let mut world = provisioned(json!({"service": {"ipFamilyPolicy": "PreferDualStack"}}));
    let Wish::Apply(mut service) = planned(&world).children.api else {
        panic!("applied")
    };
    service.metadata.managed_fields = serde_json::from_value(json!([{
        "manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:ipFamilyPolicy": {}}},
    }]))
    .unwrap();
    world.live.api = Some(Arc::from(service));
    let mut world = with_spec(world, json!({}));
    assert_eq!(policy(&world).as_deref(), Some("SingleStack"));

    let mut back = Service::clone(world.live.api.as_ref().unwrap());
    back.spec.as_mut().unwrap().ip_family_policy = Some("SingleStack".to_owned());
    let before = world.live.api.replace(Arc::new(back));
    assert_eq!(policy(&world), None, "what is set back is given up");
    world.live.api = before;

    let mut others = Service::clone(world.live.api.as_ref().unwrap());
    others.metadata.managed_fields = None;
    world.live.api = Some(Arc::new(others));
    assert_eq!(policy(&world), None, "what others set stays");
}

#[test]
fn a_metrics_service_goes_with_metrics_unless_it_is_somebody_elses() {
    let mut world = provisioned(json!({"metrics": {"enabled": true}}));
    let Wish::Apply(service) = planned(&world).children.metrics else {
        panic!("applied")
    };
    world.live.metrics = Some(Arc::from(service.clone()));
    let mut server = DittoServer::clone(&world.server);
    server.spec.metrics = None;
    world.server = Arc::new(server);
    assert_eq!(planned(&world).children.metrics, Wish::Remove);
    let mut foreign = *service;
    foreign.metadata.owner_references = None;
    foreign.metadata.labels = None;
    world.live.metrics = Some(Arc::new(foreign));
    assert_eq!(planned(&world).children.metrics, Wish::Leave);
}

#[test]
fn a_port_that_an_adapter_has_is_not_rolled_out_and_the_running_api_stays_reachable() {
    let mut world = with_pod(with_stateful_set(provisioned(json!({}))), serving());
    let before = planned(&world);
    let Wish::Apply(service) = before.children.api.clone() else {
        panic!("applied")
    };
    world.live.api = Some(Arc::from(service));
    let mut server = DittoServer::clone(&world.server);
    server.status = Some(crate::testing::reported(&world));
    server.spec.control_plane.port = 12049;
    world.server = Arc::new(server);
    assert_ne!(template(&planned(&world)), template(&before));

    crate::testing::adapter(&mut world, 12049, true);
    let held = planned(&world);
    assert_eq!(template(&held), template(&before));
    assert_eq!(held.children.api, Wish::Leave);
    let status = crate::testing::reported(&world);
    assert!(status.api.as_ref().unwrap().url.ends_with(":8080"));
    let ready = crate::testing::condition(&status, "ConfigReady");
    assert_eq!(ready, "False PortConflict");

    crate::testing::adapter(&mut world, 12050, true);
    assert_ne!(template(&planned(&world)), template(&before));
    let url = crate::testing::reported(&world).api.unwrap().url;
    assert!(url.ends_with(":12049"), "{url}");
}

#[test]
fn the_policy_isolates_the_pod_only_once_clients_of_its_adapters_are_admitted() {
    let mut world = provisioned(json!({}));
    crate::testing::adapter(&mut world, 12049, true);
    assert_eq!(planned(&world).children.policy, Wish::Leave);
    let mut admitted = world.clone();
    admitted.admitted.insert(AdapterKind::Nfs);
    assert!(matches!(planned(&admitted).children.policy, Wish::Apply(_)));
    crate::testing::adapter(&mut world, 12049, false);
    let Wish::Apply(policy) = planned(&world).children.policy else {
        panic!("no client needs an adapter that is off")
    };
    world.live.policy = Some(Arc::from(policy));
    crate::testing::adapter(&mut world, 12049, true);
    assert!(
        matches!(planned(&world).children.policy, Wish::Apply(_)),
        "one that exists is kept as it shall be"
    );
}
