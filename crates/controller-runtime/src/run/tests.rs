//! The run loop with a scripted reconciler.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{Context, Layers, Scope, Shutdown, testing, watch::guard::Guard};

/// Does what the name of the object says.
#[derive(Default)]
struct Scripted {
    visits: Mutex<HashMap<String, usize>>,
    gone: Mutex<Vec<String>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl Scripted {
    fn visits(&self, name: &str) -> usize {
        self.visits
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl Reconcile for Scripted {
    type Object = ConfigMap;

    async fn reconcile(&self, object: Arc<ConfigMap>) -> Result<Outcome, anyhow::Error> {
        let name = object.metadata.name.clone().unwrap();
        *self.visits.lock().unwrap().entry(name.clone()).or_default() += 1;
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let result = match name.split('-').next().unwrap() {
            "slow" => {
                sleep(Duration::from_secs(5)).await;
                Ok(Outcome::Settled)
            }
            "stuck" => std::future::pending().await,
            "told" => {
                tracing::info!("telling");
                sleep(Duration::from_secs(1)).await;
                tracing::info!("told");
                Ok(Outcome::Settled)
            }
            "wait" => Ok(Outcome::WaitFor(Duration::from_secs(60))),
            "fail" => Err(anyhow::anyhow!("no")),
            "panic" => {
                self.running.fetch_sub(1, Ordering::SeqCst);
                panic!("oh no")
            }
            "fenced" => Err(
                anyhow::Error::from(kube::Error::Service(Box::new(LeaseLost))).context("writing"),
            ),
            _ => Ok(Outcome::Settled),
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn significant(&self, object: &ConfigMap) -> u64 {
        object
            .metadata
            .generation
            .unwrap_or_default()
            .unsigned_abs()
    }

    fn ready(&self, object: &ConfigMap) -> Option<bool> {
        Some(object.metadata.generation == Some(2))
    }

    fn gone(&self, _namespace: &str, name: &str) {
        self.gone.lock().unwrap().push(name.to_owned());
    }
}

struct World {
    reconciler: Arc<Scripted>,
    events: UnboundedSender<Event<Guard<ConfigMap>>>,
    triggers: UnboundedSender<ObjectRef<ConfigMap>>,
    context: Context,
    running: tokio::task::JoinHandle<Result<(), RunError>>,
}

fn start(concurrency: u16) -> World {
    let client = testing::client(Layers::default(), |_, _| async {
        testing::refusal(500, "InternalError")
    });
    let mut context = Context::for_test(client, Scope::Cluster);
    context.concurrency = concurrency;
    let (events, received) = mpsc::unbounded();
    let (triggers, triggered) = mpsc::unbounded();
    let reconciler = Arc::new(Scripted::default());
    let primary = Primary::fed(&context, received.boxed());
    let shutdown = context.shutdown.clone();
    let running = tokio::spawn(run(
        Arc::clone(&reconciler),
        primary,
        vec![triggered.boxed()],
        context.run_options(),
        async move { shutdown.triggered().await },
    ));
    World {
        reconciler,
        events,
        triggers,
        context,
        running,
    }
}

impl World {
    fn send(&self, event: Event<Guard<ConfigMap>>) {
        self.events.unbounded_send(event).unwrap();
    }

    fn list(&self, names: &[&str]) {
        self.send(Event::Init);
        for name in names {
            self.send(Event::InitApply(object(name, 1, 1)));
        }
        self.send(Event::InitDone);
    }

    fn trigger(&self, name: &str) {
        self.triggers
            .unbounded_send(ObjectRef::new(name).within("ns"))
            .unwrap();
    }

    async fn stop(self) -> Result<(), RunError> {
        self.context.shutdown.trigger();
        self.running.await.unwrap()
    }
}

fn object(name: &str, version: u64, generation: i64) -> Guard<ConfigMap> {
    serde_json::from_value(
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name,
        "resourceVersion": version.to_string(), "generation": generation}}),
    )
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_before_everything_is_ready() {
    let world = start(4);
    let gate = world.context.readiness.register("another watch");
    world.list(&["a"]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.reconciler.visits("a"), 0);
    gate.open();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.reconciler.visits("a"), 1);
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_significant_changes_and_triggers_wake() {
    let world = start(4);
    world.list(&["a"]);
    sleep(Duration::from_secs(1)).await;
    world.send(Event::Apply(object("a", 2, 1)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.reconciler.visits("a"), 1, "a change of status only");
    world.send(Event::Apply(object("a", 3, 2)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.reconciler.visits("a"), 2);
    world.trigger("a");
    world.trigger("nobody");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.reconciler.visits("a"), 3);
    assert_eq!(world.reconciler.visits("nobody"), 0);
    world.list(&["a"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        world.reconciler.visits("a"),
        4,
        "the list shows the older generation again"
    );
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_bounded_and_one_object_is_never_visited_twice_at_once() {
    let world = start(2);
    world.list(&["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"]);
    while world.reconciler.visits("slow-1") == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..3 {
        world.trigger("slow-1");
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.reconciler.most_running.load(Ordering::SeqCst), 2);
    let others: usize = (2..=5)
        .map(|number| world.reconciler.visits(&format!("slow-{number}")))
        .sum();
    assert_eq!(others, 4);
    assert_eq!(
        world.reconciler.visits("slow-1"),
        2,
        "triggers during a visit cause one more"
    );
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_back_off_and_hurt_nobody_else() {
    let world = start(4);
    world.list(&["fail", "panic", "ok", "wait"]);
    sleep(Duration::from_secs(100)).await;
    for name in ["fail", "panic"] {
        let visits = world.reconciler.visits(name);
        assert!((5..=9).contains(&visits), "{name} {visits}");
    }
    assert_eq!(world.reconciler.visits("ok"), 1);
    assert_eq!(world.reconciler.visits("wait"), 2);
    let metrics = world.context.metrics.reconciles();
    assert_eq!(metrics.count(ReconcileResult::Ok), 1);
    assert_eq!(metrics.count(ReconcileResult::Waiting), 2);
    assert!(metrics.count(ReconcileResult::Panic) >= 5);
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_line_of_a_visit_names_the_object_and_the_visit() {
    let kept = crate::logs::tests::Kept::default();
    // The tasks of this test run on its own thread.
    let _guard = kept.here();
    let world = start(4);
    world.list(&["told-1", "told-2", "fail", "panic"]);
    sleep(Duration::from_millis(500)).await;
    while world.reconciler.running.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(100)).await;
    }
    world.trigger("told-1");
    sleep(Duration::from_secs(1)).await;
    while world.reconciler.running.load(Ordering::SeqCst) > 0 {
        sleep(Duration::from_millis(100)).await;
    }
    world.stop().await.unwrap();
    let mut ids: HashMap<(String, String), usize> = HashMap::new();
    let mut messages = std::collections::BTreeSet::new();
    for line in kept.lines() {
        let span = &line["span"];
        assert_eq!(
            (&span["name"], &span["kind"], &span["namespace"]),
            (&json!("reconcile"), &json!("ConfigMap"), &json!("ns")),
            "{line}"
        );
        let text = |field: &str| span[field].as_str().unwrap().to_owned();
        let (object, id) = (text("object"), text("id"));
        assert_eq!(id.len(), 16, "{line}");
        *ids.entry((object, id)).or_default() += 1;
        messages.insert(line["message"].as_str().unwrap().to_owned());
    }
    let lines_of = |object: &str| -> Vec<usize> {
        let of = ids.iter().filter(|((name, _), _)| name == object);
        of.map(|(_, lines)| *lines).collect()
    };
    assert_eq!(lines_of("told-1"), [2, 2], "two visits, two lines in each");
    assert_eq!(lines_of("told-2"), [2]);
    for message in ["told", "the reconcile failed", "the reconcile panicked"] {
        assert!(messages.contains(message), "{messages:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_readiness_of_each_object_is_a_metric_until_it_goes() {
    let world = start(4);
    world.list(&["a", "b"]);
    sleep(Duration::from_secs(1)).await;
    let shown = |name: &str, value: u8| {
        let series = format!(
            r#"dittofs_operator_object_ready{{kind="ConfigMap",namespace="ns",name="{name}"}} {value}"#
        );
        world.context.metrics.encode().unwrap().contains(&series)
    };
    assert!(shown("a", 0) && shown("b", 0));
    world.send(Event::Apply(object("a", 2, 2)));
    world.send(Event::Delete(object("b", 3, 1)));
    sleep(Duration::from_secs(1)).await;
    assert!(shown("a", 1) && !shown("a", 0) && !shown("b", 0));
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_forgotten_even_when_it_went_during_its_visit() {
    let world = start(4);
    world.list(&["fail", "slow-1"]);
    sleep(Duration::from_secs(1)).await;
    world.send(Event::Delete(object("fail", 5, 1)));
    world.send(Event::Delete(object("slow-1", 6, 1)));
    sleep(Duration::from_secs(600)).await;
    assert!(world.reconciler.visits("fail") <= 2);
    assert_eq!(world.reconciler.visits("slow-1"), 1);
    let gone = world.reconciler.gone.lock().unwrap().clone();
    assert!(
        gone.iter().filter(|name| *name == "slow-1").count() == 2,
        "{gone:?}"
    );
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_primary_is_left_alone() {
    let world = start(4);
    world.list(&["a"]);
    let mut bad = json!({"metadata": {"name": "bad", "namespace": "ns", "uid": "bad", "resourceVersion": "7"}});
    bad["data"] = json!(1);
    world.send(Event::Apply(serde_json::from_value(bad).unwrap()));
    world.send(Event::Apply(object("b", 8, 1)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (world.reconciler.visits("a"), world.reconciler.visits("b")),
        (1, 1)
    );
    assert_eq!(world.reconciler.visits("bad"), 0);
    world.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_visits_end_but_not_for_ever() {
    let world = start(4);
    world.list(&["slow-1"]);
    sleep(Duration::from_secs(1)).await;
    let reconciler = Arc::clone(&world.reconciler);
    world.stop().await.unwrap();
    assert_eq!(reconciler.running.load(Ordering::SeqCst), 0);

    let world = start(4);
    world.list(&["stuck-1"]);
    sleep(Duration::from_secs(1)).await;
    timeout(Duration::from_secs(11), world.stop())
        .await
        .expect("cut off after 10 s")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_stopped_by_the_fence_ends_the_run() {
    let world = start(4);
    world.list(&["fenced"]);
    let result = timeout(Duration::from_secs(5), world.running)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(result, Err(RunError::LeaseLost(_))));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_primary_watch_ends_the_run() {
    let world = start(4);
    world.list(&["a"]);
    drop(world.events);
    let result = timeout(Duration::from_secs(5), world.running)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(result, Err(RunError::WatchEnded)));
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_heard_before_anything_starts() {
    let world = start(4);
    let shutdown = Shutdown::clone(&world.context.shutdown);
    shutdown.trigger();
    world.running.await.unwrap().unwrap();
}
