//! A whole controller, and the leader lease.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use controller_runtime::{
    Applier, Events, Fence, Outcome, Primaries, Primary, Reconcile, References, Remembered,
    WatchOptions, Watched, lease, reference_triggers, run,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{events::EventType, reflector::ObjectRef},
};
use serde_json::json;

use crate::{MANAGER, World};

/// Long enough for a machine that stalls for ten seconds to renew it in time.
const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_lease_is_handed_over_on_release() {
    let world = World::new("lease").await;
    let config = |identity: &str| lease::LeaseConfig {
        namespace: world.namespace.clone(),
        name: "leader".into(),
        identity: identity.into(),
        duration: LEASE,
    };
    let (one, two) = (Fence::default(), Fence::default());
    let mut held = lease::Elector::new(world.client(), config("one"), one.clone())
        .acquire()
        .await;
    assert!(one.check().is_ok());
    let waiting =
        tokio::spawn(lease::Elector::new(world.client(), config("two"), two.clone()).acquire());
    assert!(
        tokio::time::timeout(LEASE + Duration::from_secs(2), held.keep())
            .await
            .is_err()
    );
    assert!(one.check().is_ok() && two.check().is_err());
    held.release().await.unwrap();
    assert!(one.check().is_err());
    // Long before it would have run out.
    tokio::time::timeout(LEASE * 2 / 3, waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(two.check().is_ok());
    world.down().await;
}

/// For each ConfigMap `demo*` a Secret that names it, with the data of the
/// Secret that it refers to.
struct Copier {
    applier: Applier,
    primaries: Primaries<ConfigMap>,
    secrets: Watched<Secret>,
    references: References<ConfigMap>,
    events: Events,
    visits: AtomicUsize,
}

#[async_trait::async_trait]
impl Reconcile for Copier {
    type Object = ConfigMap;

    async fn reconcile(&self, object: Arc<ConfigMap>) -> Result<Outcome, anyhow::Error> {
        let (namespace, name) = (
            object.metadata.namespace.clone().unwrap(),
            object.metadata.name.clone().unwrap(),
        );
        if !name.starts_with("demo") {
            return Ok(Outcome::Settled);
        }
        self.visits.fetch_add(1, Ordering::SeqCst);
        assert!(self.primaries.cached(&namespace, &name).is_some());
        self.references.set(
            &ObjectRef::from_obj(&*object),
            [("Secret", namespace.as_str(), "source")],
        );
        let source = self.secrets.get(&namespace, "source").await?;
        let value = source
            .and_then(|source| source.data.clone()?.remove("v"))
            .map_or(json!(""), |value| json!(value));
        let child: Secret = serde_json::from_value(json!({"metadata": {
            "name": format!("{name}-child"), "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "dittofs-operator", "instance": name}},
            "data": {"v": value}}))?;
        let live = self
            .secrets
            .get(&namespace, &format!("{name}-child"))
            .await?;
        self.applier
            .apply(&self.secrets, &child, live.as_deref())
            .await?;
        let reference = object.object_ref(&());
        self.events
            .transition(
                &reference,
                "Ready",
                EventType::Normal,
                "Copied",
                "Copy",
                "copied",
            )
            .await;
        Ok(Outcome::Settled)
    }

    fn significant(&self, object: &ConfigMap) -> u64 {
        object.data.as_ref().map_or(0, |data| data.len() as u64)
    }

    fn gone(&self, namespace: &str, name: &str) {
        self.references
            .remove(&ObjectRef::new(name).within(namespace));
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..1200 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster"]
async fn a_controller_converges_repairs_and_is_silent_when_nothing_changes() {
    let world = World::new("run").await;
    let context = world.context.clone();
    let primary = Primary::<ConfigMap>::new(&context, &[MANAGER]);
    let (secrets, children) =
        Watched::<Secret>::start(&context, WatchOptions::owned(&[MANAGER]), |meta| {
            let owner = meta
                .labels
                .as_ref()
                .and_then(|labels| labels.get("instance"));
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            owner
                .map(|name| ObjectRef::new(name).within(namespace))
                .into_iter()
                .collect()
        });
    let references = References::new();
    let referenced = reference_triggers::<Secret, _, ()>(
        &context,
        WatchOptions::all(),
        references.clone(),
        Remembered::new(),
    );
    let copier = Arc::new(Copier {
        applier: world.applier.clone(),
        primaries: primary.store(),
        secrets,
        references,
        events: context.events(),
        visits: AtomicUsize::new(0),
    });
    let shutdown = context.shutdown.clone();
    let running = tokio::spawn(run(
        Arc::clone(&copier),
        primary,
        vec![children, referenced],
        context.run_options(),
        async move { shutdown.triggered().await },
    ));

    let plain = Client::try_default().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plain.clone(), &world.namespace);
    let api: Api<Secret> = Api::namespaced(plain, &world.namespace);
    maps.create(&PostParams::default(), &world.object("demo", json!({})))
        .await
        .unwrap();
    let value = || async { api.get_opt("demo-child").await.unwrap()?.data?.remove("v") };
    eventually("the child is made", || async { value().await.is_some() }).await;

    let mut source: Secret = world.object("source", json!({"data": {"v": "b25l"}}));
    source.metadata.labels = None;
    api.create(&PostParams::default(), &source).await.unwrap();
    eventually("the source is copied", || async {
        value().await.is_some_and(|value| value.0 == b"one")
    })
    .await;

    let drift = json!({"data": {"v": "YmFk"}});
    api.patch("demo-child", &PatchParams::default(), &Patch::Merge(drift))
        .await
        .unwrap();
    eventually("drift is repaired", || async {
        value().await.is_some_and(|value| value.0 == b"one")
    })
    .await;
    api.delete("demo-child", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the child is made again", || async {
        value().await.is_some()
    })
    .await;

    // News of the last write is still to come.
    let visits = || copier.visits.load(Ordering::SeqCst);
    let (mut last, mut looks) = (visits(), 0);
    while looks < 40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        looks = if visits() == last { looks + 1 } else { 0 };
        last = visits();
    }
    world.counter.reset();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((world.counter.writes(), world.counter.lists()), (0, 0));
    assert_eq!(visits(), last);
    // One for each of the eight changes, and one for each write that meets another version.
    assert!(last <= 12, "{last} visits");

    context.shutdown.trigger();
    running.await.unwrap().unwrap();
    world.down().await;
}
