//! A small simulation of the cluster: what a visit's writes make of a world, and what other controllers
//! make of it afterwards. Server-side apply is simplified to "our fields are replaced by those that we
//! send, everybody else's stay", which is what it does to objects that nobody else forces.

use std::sync::Arc;

use api_types::DittoServer;
use api_types::names::Volume;
use controller_runtime::apply::{difference, extract};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use resources::Children;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::MANAGER;
use crate::observe::{Observed, SecretState};
use crate::plan::{ClaimTemplates, Deletion, FINALIZER, Finalizer, Plan, Wish};
use crate::testing::{planned, secret};
use crate::validate::Generated;

/// The writes of a plan that the API server would see, for people.
pub(super) fn writes(world: &Observed, plan: &Plan) -> Vec<String> {
    let Plan {
        make,
        children:
            Children {
                config,
                headless,
                api,
                metrics,
                stateful_set,
                budget,
                policy,
                monitor,
                rule,
            },
        // No cluster of the fuzzed worlds has an operator of databases, and no connection is one text.
        database: _,
        connect: _,
        held_back: _,
        as_it_runs: _,
        unstick,
        grow,
        claim_templates,
        finalizer,
        deletion,
        paused: _,
    } = plan;
    let live = &world.live;
    let mut writes: Vec<String> = make.iter().map(|made| format!("make {made:?}")).collect();
    writes.extend(write_of(config, live.config.as_deref()));
    writes.extend(write_of(headless, live.headless.as_deref()));
    writes.extend(write_of(api, live.api.as_deref()));
    writes.extend(write_of(metrics, live.metrics.as_deref()));
    writes.extend(write_of(budget, live.budget.as_deref()));
    writes.extend(write_of(policy, live.policy.as_deref()));
    writes.extend(write_of(monitor, live.monitor.as_deref()));
    writes.extend(write_of(rule, live.rule.as_deref()));
    let stateful_set = around_pod(stateful_set, plan);
    writes.extend(write_of(&stateful_set, live.stateful_set.as_deref()));
    writes.extend(unstick.then(|| "delete the stuck pod".to_owned()));
    writes.extend(
        grow.iter()
            .map(|growth| format!("grow {:?}", growth.volume)),
    );
    if let ClaimTemplates::Replace(_) = claim_templates {
        writes.push("replace the StatefulSet".to_owned());
    }
    match finalizer {
        Finalizer::Keep => {}
        other => writes.push(format!("finalizer: {other:?}")),
    }
    match deletion {
        None
        | Some(Deletion::AwaitPod | Deletion::AwaitClaims(_) | Deletion::AdminSecretUnreadable) => {
        }
        Some(step) => writes.push(format!("deletion: {step:?}")),
    }
    writes
}

fn write_of<K: Resource<DynamicType = ()> + Serialize>(
    wish: &Wish<K>,
    live: Option<&K>,
) -> Option<String> {
    let kind = K::kind(&());
    match (wish, live) {
        (Wish::Leave, _) | (Wish::Remove, None) => None,
        (Wish::Remove, Some(_)) => Some(format!("remove {kind}")),
        (Wish::Apply(_), None) => Some(format!("create {kind}")),
        (Wish::Apply(desired), Some(live)) => {
            let (desired, live) = (value_of(desired.as_ref()), value_of(live));
            let found = difference(&desired, &live, MANAGER, None)?;
            Some(format!(
                "apply {kind} {}: {found:?}",
                desired["metadata"]["name"]
            ))
        }
    }
}

fn value_of<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()
}

/// One visit, in the order of the controller: the finalizer, the Secrets, the children, storage, and at
/// the end the finalizer again or a step of the deletion. Returns the world after it, and the plan that
/// was carried out.
pub(super) fn visit(mut world: Observed) -> (Observed, Plan) {
    if planned(&world).finalizer == Finalizer::Add {
        set_finalizer(&mut world, true);
    }
    let plan = planned(&world);
    for generated in &plan.make {
        make(&mut world, *generated);
    }
    let plan = planned(&world);
    assert_eq!(plan.make, [], "a Secret that was made is not there");
    carry_out(&mut world, &plan);
    (world, plan)
}

fn make(world: &mut Observed, generated: Generated) {
    match generated {
        Generated::Jwt => secret(
            world,
            "files-jwt-secret",
            &[("jwt-secret", &"k".repeat(43))],
        ),
        Generated::Admin => secret(
            world,
            "files-admin-bootstrap-credentials",
            &[("password", "password-of-admin")],
        ),
    }
}

fn carry_out(world: &mut Observed, plan: &Plan) {
    let Children {
        config,
        headless,
        api,
        metrics,
        stateful_set,
        budget,
        policy,
        monitor,
        rule,
    } = &plan.children;
    let live = &mut world.live;
    let before = live.stateful_set.clone();
    write(&mut live.config, config);
    write(&mut live.headless, headless);
    write(&mut live.api, api);
    write(&mut live.metrics, metrics);
    write(&mut live.budget, budget);
    write(&mut live.policy, policy);
    write(&mut live.monitor, monitor);
    write(&mut live.rule, rule);
    write(&mut live.stateful_set, &around_pod(stateful_set, plan));
    if live.stateful_set.is_some() {
        world.orphaned_template = None;
    }
    if plan.unstick {
        world.pod = None;
    }
    for growth in &plan.grow {
        let mut claim = PersistentVolumeClaim::clone(&growth.claim);
        let resources = claim.spec.as_mut().unwrap().resources.as_mut().unwrap();
        let requests = resources.requests.as_mut().unwrap();
        requests.insert(
            "storage".to_owned(),
            serde_json::from_value(json!(growth.size)).unwrap(),
        );
        world.claims.insert(growth.volume, Arc::new(claim));
    }
    // As in the controller: a StatefulSet that was written just now has something to roll out first.
    if matches!(plan.claim_templates, ClaimTemplates::Replace(_))
        && before == world.live.stateful_set
    {
        orphan(world);
    }
    match &plan.deletion {
        Some(step) => delete(world, step),
        None if plan.finalizer == Finalizer::Remove => set_finalizer(world, false),
        None => {}
    }
}

/// The StatefulSet that is written: the one that restarts no pod, as the API server would tell.
fn around_pod(wish: &Wish<StatefulSet>, plan: &Plan) -> Wish<StatefulSet> {
    match (wish, &plan.as_it_runs) {
        (Wish::Apply(_), Some(as_it_runs)) => Wish::Apply(as_it_runs.clone()),
        (wish, _) => wish.clone(),
    }
}

/// The StatefulSet goes, and leaves its pod behind.
pub(super) fn orphan(world: &mut Observed) {
    let set = world.live.stateful_set.take();
    if let Some(pod) = &mut world.pod {
        Arc::make_mut(pod).metadata.owner_references = None;
        let spec = set.and_then(|set| set.spec.clone());
        world.orphaned_template = spec.map(|spec| spec.template);
    }
}

fn write<K>(live: &mut Option<Arc<K>>, wish: &Wish<K>)
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned,
{
    match wish {
        Wish::Leave => {}
        Wish::Remove => *live = None,
        Wish::Apply(desired) => {
            *live = Some(Arc::new(applied(desired.as_ref(), live.as_deref())));
        }
    }
}

/// What the API server holds after `desired` was applied over `live`.
pub(super) fn applied<K>(desired: &K, live: Option<&K>) -> K
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let desired = value_of(desired);
    let live = live.map_or(Value::Null, value_of);
    if !live.is_null() && difference(&desired, &live, MANAGER, None).is_none() {
        return serde_json::from_value(live).unwrap();
    }
    let owned = extract(&live, MANAGER, None).unwrap_or(Value::Null);
    let mut stored = without(&live, &owned).unwrap_or_else(|| json!({}));
    overlay(&mut stored, &desired);
    let mut fields = fields_v1(&desired);
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|name, _| !["f:apiVersion", "f:kind"].contains(&name.as_str()));
        if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !["f:name", "f:namespace"].contains(&name.as_str()));
        }
    }
    let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
    let changed = stored.get("spec") != live.get("spec");
    let metadata = &mut stored["metadata"];
    metadata["uid"] = match &live["metadata"]["uid"] {
        Value::Null => format!("uid-{}", K::kind(&())).into(),
        uid => uid.clone(),
    };
    metadata["generation"] = (generation + i64::from(changed)).into();
    metadata["managedFields"] = json!([{
        "manager": MANAGER, "operation": "Apply", "apiVersion": K::api_version(&()),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    }]);
    serde_json::from_value(stored).unwrap()
}

/// `value` without what is in `owned`.
fn without(value: &Value, owned: &Value) -> Option<Value> {
    match (value, owned) {
        (Value::Null, _) => None,
        (value, Value::Null) => Some(value.clone()),
        (Value::Object(fields), Value::Object(owned)) => {
            let left: Map<String, Value> = fields
                .iter()
                .filter_map(|(name, value)| {
                    let identity = ["apiVersion", "kind", "name", "namespace"];
                    match owned.get(name) {
                        Some(_) if identity.contains(&name.as_str()) => {
                            Some((name.clone(), value.clone()))
                        }
                        Some(owned) => Some((name.clone(), without(value, owned)?)),
                        None => Some((name.clone(), value.clone())),
                    }
                })
                .collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        _ => None,
    }
}

fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                overlay(base.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn fields_v1(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (format!("f:{name}"), fields_v1(value)))
            .collect::<Map<String, Value>>()
            .into(),
        _ => json!({}),
    }
}

pub(super) fn set_finalizer(world: &mut Observed, present: bool) {
    let mut server = DittoServer::clone(&world.server);
    let finalizers = server.metadata.finalizers.get_or_insert_default();
    finalizers.retain(|name| name != FINALIZER);
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    world.server = Arc::new(server);
}

fn now() -> Option<Time> {
    Some(Time(jiff::Timestamp::UNIX_EPOCH))
}

fn delete(world: &mut Observed, step: &Deletion) {
    match step {
        Deletion::RemoveStatefulSet => {
            if let Some(set) = &mut world.live.stateful_set {
                Arc::make_mut(set).metadata.deletion_timestamp = now();
            }
        }
        Deletion::RemovePod => {
            if let Some(pod) = &mut world.pod {
                Arc::make_mut(pod).metadata.deletion_timestamp = now();
            }
        }
        Deletion::RemoveClaims(volumes) => {
            for volume in volumes {
                if let Some(claim) = world.claims.get_mut(volume) {
                    Arc::make_mut(claim).metadata.deletion_timestamp = now();
                }
            }
        }
        // No cluster of the fuzzed worlds has an operator of databases.
        Deletion::RemoveDatabase => unreachable!("there is no database cluster"),
        Deletion::RemoveAdminSecret => {
            let name = "files-admin-bootstrap-credentials".to_owned();
            world.secrets.insert(name, SecretState::Missing);
            set_finalizer(world, false);
        }
        Deletion::Release => set_finalizer(world, false),
        Deletion::AwaitPod | Deletion::AwaitClaims(_) | Deletion::AdminSecretUnreadable => {}
    }
}

/// What the garbage collector, the StatefulSet controller and the storage driver do meanwhile.
pub(super) fn others(mut world: Observed) -> Observed {
    let leaving = |deletion: &Option<Time>| deletion.is_some();
    if world
        .pod
        .as_deref()
        .is_some_and(|pod| leaving(&pod.metadata.deletion_timestamp))
    {
        world.pod = None;
    }
    if world
        .live
        .stateful_set
        .as_deref()
        .is_some_and(|set| leaving(&set.metadata.deletion_timestamp))
    {
        world.live.stateful_set = None;
        if world.pod.as_deref().is_some_and(is_controlled) {
            world.pod = None;
        }
    }
    if world.pod.is_none() {
        world
            .claims
            .retain(|_, claim| !leaving(&claim.metadata.deletion_timestamp));
    }
    for claim in world.claims.values_mut() {
        expand(Arc::make_mut(claim));
    }
    roll(&mut world);
    world
}

fn is_controlled(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true))
}

/// A bound claim gets what it asks for.
fn expand(claim: &mut PersistentVolumeClaim) {
    let requests = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.clone());
    if let (Some(status), Some(requests)) = (&mut claim.status, requests)
        && status.phase.as_deref() == Some("Bound")
    {
        status.capacity = Some(requests);
        status.conditions = None;
    }
}

/// The StatefulSet controller sees the newest template, adopts a pod without a controller, and
/// replaces one of an older revision.
fn roll(world: &mut Observed) {
    let Some(set) = &mut world.live.stateful_set else {
        return;
    };
    let Some(uid) = set.metadata.uid.clone() else {
        return;
    };
    let set = Arc::make_mut(set);
    let template = value_of(&set.spec.as_ref().unwrap().template);
    let revision = resources::rendering(&template);
    set.status = serde_json::from_value(json!({
        "replicas": 1, "observedGeneration": set.metadata.generation, "updateRevision": revision,
    }))
    .unwrap();
    let ours = |pod: &Pod| {
        pod.metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.uid == uid)
    };
    if let Some(pod) = &mut world.pod
        && (!is_controlled(pod) || ours(pod))
    {
        *pod = Arc::new(pod_of(set, &revision));
    }
}

/// A pod of `set` that serves in `revision`.
pub(super) fn pod_of(set: &StatefulSet, revision: &str) -> Pod {
    let mut labels = api_types::labels::selected("files", api_types::labels::Component::Server);
    labels.insert("controller-revision-hash".to_owned(), revision.to_owned());
    serde_json::from_value(json!({
        "metadata": {"name": "files-0", "namespace": "media", "uid": "uid-pod", "labels": labels, "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "files", "uid": set.metadata.uid, "controller": true,
        }]},
        "status": crate::testing::serving(),
    }))
    .unwrap()
}

/// A claim that the StatefulSet controller makes for `volume`.
pub(super) fn claim_of(volume: Volume, size: &str) -> PersistentVolumeClaim {
    let labels = api_types::labels::standard("files", api_types::labels::Component::Server);
    serde_json::from_value(json!({
        "metadata": {"name": volume.claim("files"), "namespace": "media", "uid": format!("uid-{}", volume.name()), "labels": labels},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": size}}},
        "status": {"phase": "Bound", "capacity": {"storage": size}},
    }))
    .unwrap()
}
