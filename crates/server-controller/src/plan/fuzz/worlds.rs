//! Arbitrary worlds: a server whose objects were once made for a spec, and to which things happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::DittoServer;
use api_types::annotations;
use api_types::names::Volume;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::api_server::{applied, claim_of, orphan, others, pod_of, set_finalizer, visit};
use crate::observe::{HeldSecret, Observed, SecretState, Served, secret_names};
use crate::plan::FINALIZER;
use crate::testing::{class, empty, secret};

/// What a spec says.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    metadata: &'static str,
    content: Option<&'static str>,
    class: Option<&'static str>,
    keeps: bool,
    replicas: u8,
    metrics: bool,
    monitored: bool,
    policy: bool,
    dual_stack: bool,
    own_key: bool,
    image: &'static str,
    database: &'static str,
}

impl Spec {
    fn json(&self) -> Value {
        let mut spec = json!({
            "storage": {
                "metadataSize": self.metadata,
                "retentionPolicy": {"whenDeleted": if self.keeps { "Retain" } else { "Delete" }},
            },
            "replicas": self.replicas,
            "metrics": {
                "enabled": self.metrics,
                "serviceMonitor": {"enabled": self.monitored},
                "prometheusRule": {"enabled": self.monitored},
            },
            "networkPolicy": {"enabled": self.policy},
            "image": self.image,
        });
        if let Some(size) = self.content {
            spec["storage"]["contentSize"] = size.into();
        }
        if let Some(class) = self.class {
            spec["storage"]["storageClassName"] = class.into();
        }
        if self.dual_stack {
            spec["service"] = json!({"ipFamilyPolicy": "PreferDualStack"});
        }
        if self.own_key {
            spec["identity"] = json!({"jwt": {"secretRef": {"name": "mine", "key": "key"}}});
        }
        match self.database {
            "percona" => spec["percona"] = json!({"enabled": true}),
            "postgres" => {
                let reference = json!({"name": "database", "key": "password"});
                spec["database"] = json!({"type": "postgres", "postgresSecretRef": reference});
            }
            _ => {}
        }
        spec
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    let storage = (
        select(&["1Gi", "2Gi"][..]),
        select(&[None, None, Some("1Gi"), Some("2Gi")][..]),
        select(&[None, Some("fast"), Some("fast"), Some("slow")][..]),
        any::<bool>(),
    );
    let rest = (
        prop_oneof![3 => Just(1_u8), 1 => Just(0_u8)],
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        select(&["a:1", "a:1", "b:1"][..]),
        select(
            &[
                "sqlite", "sqlite", "sqlite", "sqlite", "postgres", "percona",
            ][..],
        ),
    );
    (storage, rest).prop_map(|((metadata, content, class, keeps), rest)| {
        let (replicas, metrics, monitored, policy, dual_stack, own_key, image, database) = rest;
        Spec {
            metadata,
            content,
            class,
            keeps,
            replicas,
            metrics,
            monitored,
            policy,
            dual_stack,
            own_key,
            image,
            database,
        }
    })
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToChild {
    Nothing,
    Gone,
    /// Somebody else's, with no hint of us.
    Foreign,
    /// Controlled by somebody else, though it carries our labels.
    Controlled,
    /// Ours by its owner, and never applied by us: the predecessor's.
    Inherited,
    /// Being deleted.
    Leaving,
    /// Somebody changed what is ours.
    Tampered,
}

fn to_child() -> impl Strategy<Value = ToChild> {
    use ToChild::{Controlled, Foreign, Gone, Inherited, Leaving, Nothing, Tampered};
    prop_oneof![
        12 => Just(Nothing), 1 => Just(Gone), 1 => Just(Foreign), 1 => Just(Controlled),
        1 => Just(Inherited), 1 => Just(Leaving), 1 => Just(Tampered),
    ]
}

/// What happened to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToClaim {
    Nothing,
    Gone,
    Pending,
    Lost,
    Leaving,
    /// It asked for more and has not got it yet.
    Growing,
    Failed,
    /// It has no label of ours.
    Foreign,
    OfOtherClass,
    /// Another claim of its name, which the status does not know.
    Replaced,
}

fn to_claim() -> impl Strategy<Value = ToClaim> {
    use ToClaim::{
        Failed, Foreign, Gone, Growing, Leaving, Lost, Nothing, OfOtherClass, Pending, Replaced,
    };
    prop_oneof![
        12 => Just(Nothing), 1 => Just(Gone), 1 => Just(Pending), 1 => Just(Lost), 1 => Just(Leaving),
        1 => Just(Growing), 1 => Just(Failed), 1 => Just(Foreign), 1 => Just(OfOtherClass),
        1 => Just(Replaced),
    ]
}

/// What happened to the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToPod {
    Nothing,
    Gone,
    /// In trouble in a revision that is being replaced.
    Stuck,
    /// In trouble in the wanted revision.
    Broken,
    /// Without a controller.
    Orphaned,
    OrphanedAndLeaving,
    Foreign,
    /// Of a StatefulSet of somebody else.
    OfOtherSet,
}

fn to_pod() -> impl Strategy<Value = ToPod> {
    use ToPod::{Broken, Foreign, Gone, Nothing, OfOtherSet, Orphaned, OrphanedAndLeaving, Stuck};
    prop_oneof![
        6 => Just(Nothing), 2 => Just(Gone), 2 => Just(Stuck), 1 => Just(Broken), 2 => Just(Orphaned),
        1 => Just(OrphanedAndLeaving), 1 => Just(Foreign), 1 => Just(OfOtherSet),
    ]
}

/// What happened to a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToSecret {
    Nothing,
    Missing,
    Refused,
    /// A key is missing.
    Incomplete,
    Foreign,
}

fn to_secret() -> impl Strategy<Value = ToSecret> {
    use ToSecret::{Foreign, Incomplete, Missing, Nothing, Refused};
    prop_oneof![
        12 => Just(Nothing), 1 => Just(Missing), 1 => Just(Refused), 1 => Just(Incomplete),
        1 => Just(Foreign),
    ]
}

/// Everything that makes a world.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// The spec that the objects were made for; absent for a new server.
    before: Option<Spec>,
    now: Spec,
    /// Only the sizes differ between the two specs.
    grows: bool,
    children: [ToChild; 9],
    claims: [ToClaim; 3],
    pod: ToPod,
    secrets: [ToSecret; 4],
    expandable: Option<bool>,
    older_rendering: bool,
    /// The StatefulSet was deleted without its pod.
    orphaned: bool,
    paused: bool,
    taken_over: bool,
    leaving: bool,
    held: bool,
}

pub(super) fn recipe() -> impl Strategy<Value = Recipe> {
    let specs = (prop::option::weighted(0.85, spec()), spec(), any::<bool>());
    let objects = (
        prop::array::uniform9(to_child()),
        prop::array::uniform3(to_claim()),
        to_pod(),
        prop::array::uniform4(to_secret()),
        select(&[Some(true), Some(true), Some(false), None][..]),
    );
    let server = (
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.6),
    );
    (specs, objects, server).prop_map(|((before, now, grows), objects, server)| {
        let (children, claims, pod, secrets, expandable) = objects;
        let (older_rendering, orphaned, paused, taken_over, leaving, held) = server;
        Recipe {
            before,
            now,
            grows,
            children,
            claims,
            pod,
            secrets,
            expandable,
            older_rendering,
            orphaned,
            paused,
            taken_over,
            leaving,
            held,
        }
    })
}

impl Recipe {
    /// The world.
    pub(super) fn world(&self) -> Observed {
        let mut now = self.now.clone();
        let mut world = match &self.before {
            None => monitored(empty(now.json())),
            Some(before) => {
                let mut before = before.clone();
                if self.grows {
                    let (metadata, content) = (now.metadata, now.content);
                    now = Spec {
                        metadata,
                        ..before.clone()
                    };
                    now.content = before.content.and(content.or(before.content));
                    // What grows was smaller before.
                    before.metadata = "1Gi";
                    before.content = before.content.map(|_| "1Gi");
                }
                respecified(&settled(&before), &now)
            }
        };
        if self.older_rendering {
            render_older(&mut world);
        }
        if self.orphaned {
            orphan(&mut world);
        }
        self.to_children(&mut world);
        self.to_claims(&mut world);
        self.to_pod(&mut world);
        self.to_secrets(&mut world);
        class(&mut world, "fast", self.expandable);
        self.to_server(&mut world);
        world
    }

    fn to_children(&self, world: &mut Observed) {
        let [
            config,
            headless,
            api,
            metrics,
            set,
            budget,
            policy,
            monitor,
            rule,
        ] = self.children;
        let live = &mut world.live;
        happen(&mut live.config, config, |object| object.data = None);
        happen(&mut live.headless, headless, |object| object.spec = None);
        happen(&mut live.api, api, |object| object.spec = None);
        happen(&mut live.metrics, metrics, |object| object.spec = None);
        happen(&mut live.budget, budget, |object| object.spec = None);
        happen(&mut live.policy, policy, |object| object.spec = None);
        happen(&mut live.monitor, monitor, |object| object.spec = json!({}));
        happen(&mut live.rule, rule, |object| object.spec = json!({}));
        happen(&mut live.stateful_set, set, |object| {
            object.spec.as_mut().unwrap().replicas = Some(7);
        });
    }

    fn to_claims(&self, world: &mut Observed) {
        for (volume, what) in Volume::ALL.into_iter().zip(self.claims) {
            let Some(claim) = world.claims.get_mut(&volume) else {
                continue;
            };
            let claim = Arc::make_mut(claim);
            let status = |status: Value| serde_json::from_value(status).unwrap();
            match what {
                ToClaim::Nothing => {}
                ToClaim::Gone => {
                    world.claims.remove(&volume);
                }
                ToClaim::Pending => claim.status = status(json!({"phase": "Pending"})),
                ToClaim::Lost => claim.status = status(json!({"phase": "Lost"})),
                ToClaim::Leaving => claim.metadata.deletion_timestamp = now(),
                ToClaim::Growing | ToClaim::Failed => {
                    let storage = json!({"requests": {"storage": "2Gi"}});
                    claim.spec.as_mut().unwrap().resources =
                        serde_json::from_value(storage).unwrap();
                    let mut present = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
                    if what == ToClaim::Failed {
                        let failed = json!([{"type": "ControllerResizeError", "status": "True"}]);
                        present["conditions"] = failed;
                    }
                    claim.status = status(present);
                }
                ToClaim::Foreign => claim.metadata.labels = None,
                ToClaim::OfOtherClass => {
                    claim.spec.as_mut().unwrap().storage_class_name = Some("other".to_owned());
                }
                ToClaim::Replaced => claim.metadata.uid = Some("another".to_owned()),
            }
        }
    }

    fn to_pod(&self, world: &mut Observed) {
        let set = world.live.stateful_set.clone().unwrap_or_default();
        let Some(pod) = &mut world.pod else { return };
        let pod: &mut Pod = Arc::make_mut(pod);
        let trouble = serde_json::from_value(json!({"containerStatuses": [{"name": "dittofs",
            "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}]}));
        match self.pod {
            ToPod::Nothing => {}
            ToPod::Gone => world.pod = None,
            ToPod::Stuck => {
                *pod = pod_of(&set, "older");
                pod.status = trouble.unwrap();
            }
            ToPod::Broken => pod.status = trouble.unwrap(),
            ToPod::Orphaned => pod.metadata.owner_references = None,
            ToPod::OrphanedAndLeaving => {
                pod.metadata.owner_references = None;
                pod.metadata.deletion_timestamp = now();
            }
            ToPod::Foreign => {
                pod.metadata.owner_references = None;
                pod.metadata.labels = None;
            }
            ToPod::OfOtherSet => {
                for owner in pod.metadata.owner_references.iter_mut().flatten() {
                    owner.uid = "other".to_owned();
                }
                pod.status = trouble.unwrap();
            }
        }
    }

    fn to_secrets(&self, world: &mut Observed) {
        for (state, what) in world.secrets.values_mut().zip(self.secrets) {
            match (what, &mut *state) {
                (ToSecret::Missing, _) => *state = SecretState::Missing,
                (ToSecret::Refused, _) => *state = SecretState::Refused("no".to_owned()),
                (ToSecret::Incomplete, SecretState::Present(secret)) => {
                    *secret = Arc::new(HeldSecret::of(Secret {
                        metadata: secret.object.metadata.clone(),
                        ..Secret::default()
                    }));
                }
                (ToSecret::Foreign, SecretState::Present(secret)) => {
                    Arc::make_mut(secret).object.metadata.labels = None;
                }
                _ => {}
            }
        }
    }

    fn to_server(&self, world: &mut Observed) {
        set_finalizer(world, self.held);
        let mut server = DittoServer::clone(&world.server);
        let annotations = server.metadata.annotations.get_or_insert_default();
        if self.paused {
            annotations.insert(annotations::PAUSED.to_owned(), "true".to_owned());
        }
        if self.taken_over {
            annotations.insert(annotations::TAKEN_OVER.to_owned(), "1".to_owned());
        }
        if self.leaving {
            server.metadata.deletion_timestamp = now();
        }
        world.server = Arc::new(server);
    }
}

/// A world that came to rest with `spec`: everything is there, and the pod serves.
fn settled(spec: &Spec) -> Observed {
    let mut world = with_inputs(monitored(empty(spec.json())));
    world = others(visit(world).0);
    let volumes = resources::volumes_of(&world.server.spec);
    for volume in volumes {
        let size = resources::size_of(&world.server.spec, volume).unwrap();
        world
            .claims
            .insert(volume, Arc::new(claim_of(volume, &size.0)));
    }
    let mut server = DittoServer::clone(&world.server);
    let claims: Vec<Value> = world
        .claims
        .values()
        .map(|claim| json!({"name": claim.metadata.name, "uid": claim.metadata.uid}))
        .collect();
    server.status = serde_json::from_value(json!({"storage": {"claims": claims}})).unwrap();
    world.server = Arc::new(server);
    if let Some(set) = world.live.stateful_set.clone()
        && spec.replicas == 1
    {
        let revision = set.status.clone().unwrap().update_revision.unwrap();
        world.pod = Some(Arc::new(pod_of(&set, &revision)));
    }
    others(visit(world).0)
}

/// `world` in a cluster with the Prometheus operator.
fn monitored(mut world: Observed) -> Observed {
    world.served = Served {
        monitors: true,
        rules: true,
    };
    world
}

/// `world` with another spec, and the inputs that it asks for.
fn respecified(world: &Observed, spec: &Spec) -> Observed {
    let mut world = world.clone();
    let mut server = DittoServer::clone(&world.server);
    server.spec = serde_json::from_value(spec.json()).unwrap();
    world.server = Arc::new(server);
    with_inputs(world)
}

/// Every Secret that a person makes; the generated ones are missing where they were not made.
fn with_inputs(mut world: Observed) -> Observed {
    let mut known: BTreeMap<String, SecretState> = std::mem::take(&mut world.secrets);
    let long = "x".repeat(40);
    for name in secret_names(&world.server) {
        match known.remove(&name) {
            Some(state) => {
                world.secrets.insert(name, state);
            }
            None if name.starts_with("files-") => {
                world.secrets.insert(name, SecretState::Missing);
            }
            None => {
                let keys = ["key", "host", "port", "database", "user", "password"];
                secret(&mut world, &name, &keys.map(|key| (key, long.as_str())));
            }
        }
        // The user's own Secrets begin as missing in an empty world.
    }
    for (name, state) in &mut world.secrets {
        if !name.starts_with("files-") && matches!(state, SecretState::Missing) {
            let mut made = empty(json!({}));
            let keys = ["key", "host", "port", "database", "user", "password"];
            secret(&mut made, name, &keys.map(|key| (key, long.as_str())));
            *state = made.secrets.remove(name).unwrap();
        }
    }
    // A deletion looks at the administrator's Secret even if the spec does not name it.
    if let Some(admin) = known.remove("files-admin-bootstrap-credentials") {
        world
            .secrets
            .insert("files-admin-bootstrap-credentials".to_owned(), admin);
    }
    world
}

/// The StatefulSet as an older release would have written it: same digest, another field.
fn render_older(world: &mut Observed) {
    let Some(set) = world.live.stateful_set.as_deref() else {
        return;
    };
    let mut older = StatefulSet::clone(set);
    let template = &mut older.spec.as_mut().unwrap().template;
    template.spec.as_mut().unwrap().enable_service_links = Some(true);
    let rendering = resources::rendering(&serde_json::to_value(&*template).unwrap());
    let notes = older.metadata.annotations.get_or_insert_default();
    notes.insert(annotations::RENDERING.to_owned(), rendering);
    let status = older.status.take();
    older.metadata.managed_fields = None;
    let mut older = applied(&older, Some(set));
    older.status = status;
    if let Some(status) = &mut older.status {
        status.observed_generation = older.metadata.generation;
    }
    world.live.stateful_set = Some(Arc::new(older));
}

fn now() -> Option<Time> {
    Some(Time(jiff::Timestamp::UNIX_EPOCH))
}

fn happen<K: Resource<DynamicType = ()> + Clone>(
    live: &mut Option<Arc<K>>,
    what: ToChild,
    tamper: impl Fn(&mut K),
) {
    let Some(object) = live else { return };
    let object = Arc::make_mut(object);
    match what {
        ToChild::Nothing => {}
        ToChild::Gone => *live = None,
        ToChild::Foreign => {
            let meta: &mut ObjectMeta = object.meta_mut();
            meta.labels = None;
            meta.owner_references = None;
            meta.managed_fields = None;
        }
        ToChild::Controlled => {
            for owner in object.meta_mut().owner_references.iter_mut().flatten() {
                owner.uid = "somebody".to_owned();
            }
        }
        ToChild::Inherited => object.meta_mut().managed_fields = None,
        ToChild::Leaving => object.meta_mut().deletion_timestamp = now(),
        ToChild::Tampered => tamper(object),
    }
}

/// Whether `server` carries our finalizer.
pub(super) fn is_held(server: &DittoServer) -> bool {
    let mut finalizers = server.metadata.finalizers.iter().flatten();
    finalizers.any(|name| name == FINALIZER)
}
