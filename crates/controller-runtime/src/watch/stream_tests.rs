//! Watches over a scripted API server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures::{StreamExt, channel::mpsc};
use http::{Response, StatusCode};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{core::PartialObjectMeta, runtime::reflector::ObjectRef};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    Context, Layers, Scope,
    seam::Verb,
    testing::{answer, client, refusal},
};

type Lines = mpsc::UnboundedReceiver<Result<String, std::io::Error>>;

/// Lists what is in `items`; a watch sends what the test puts into `feed`.
#[derive(Clone)]
struct Server {
    items: Arc<Mutex<Vec<Value>>>,
    watches: Arc<Mutex<Vec<Lines>>>,
    lists: Arc<AtomicUsize>,
    gets: Arc<AtomicUsize>,
    queries: Arc<Mutex<Vec<String>>>,
    failures: Arc<AtomicUsize>,
}

type Feed = mpsc::UnboundedSender<Result<String, std::io::Error>>;

impl Server {
    fn new(items: Vec<Value>) -> (Self, Feed) {
        let server = Self {
            items: Arc::new(Mutex::new(items)),
            watches: Arc::default(),
            lists: Arc::default(),
            gets: Arc::default(),
            queries: Arc::default(),
            failures: Arc::default(),
        };
        let feed = server.next_watch();
        (server, feed)
    }

    fn next_watch(&self) -> Feed {
        let (feed, lines) = mpsc::unbounded();
        self.watches.lock().unwrap().push(lines);
        feed
    }

    fn context(&self) -> Context {
        let server = self.clone();
        let client = client(Layers::default(), move |request, _| {
            let server = server.clone();
            async move { server.answer(&request) }
        });
        Context::for_test(client, Scope::Namespaces(vec!["ns".into()]))
    }

    fn answer(&self, request: &crate::seam::Request) -> Response<Body> {
        self.queries.lock().unwrap().push(request.query.clone());
        match request.verb {
            Verb::List => {
                self.lists.fetch_add(1, Ordering::SeqCst);
                if self
                    .failures
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok()
                {
                    return refusal(500, "InternalError");
                }
                let items = self.items.lock().unwrap().clone();
                answer(
                    StatusCode::OK,
                    &json!({"metadata": {"resourceVersion": "100"}, "items": items}),
                )
            }
            Verb::Watch => match self.watches.lock().unwrap().pop() {
                Some(lines) => Response::new(Body::from_stream(lines)),
                None => Response::new(Body::from_stream(futures::stream::pending::<
                    Result<String, std::io::Error>,
                >())),
            },
            Verb::Get => {
                self.gets.fetch_add(1, Ordering::SeqCst);
                let name = request.path.rsplit('/').next().unwrap();
                let items = self.items.lock().unwrap();
                items
                    .iter()
                    .find(|item| item["metadata"]["name"] == name)
                    .map_or_else(
                        || refusal(404, "NotFound"),
                        |item| answer(StatusCode::OK, item),
                    )
            }
            other => panic!("{other:?}"),
        }
    }
}

fn item(name: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string(),
        "labels": {MANAGED_BY_SELECTOR.0: MANAGED_BY_SELECTOR.1, "instance": "demo"}}})
}

fn line(kind: &str, object: &Value) -> Result<String, std::io::Error> {
    Ok(format!("{}\n", json!({"type": kind, "object": object})))
}

fn by_name(meta: &ObjectMeta) -> Vec<ObjectRef<ConfigMap>> {
    vec![ObjectRef::new(meta.name.as_deref().unwrap()).within("ns")]
}

async fn next_name(triggers: &mut Triggers<ConfigMap>) -> String {
    timeout(Duration::from_secs(400), triggers.next())
        .await
        .expect("no trigger")
        .unwrap()
        .name
}

async fn quiet(triggers: &mut Triggers<ConfigMap>) {
    assert!(
        timeout(Duration::from_secs(5), triggers.next())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_fills_while_its_triggers_are_polled_and_opens_readiness() {
    let (server, feed) = Server::new(vec![
        item("a", 5),
        json!({"metadata": item("bad", 6)["metadata"], "data": 3}),
    ]);
    let context = server.context();
    let (watched, mut triggers) =
        Watched::<ConfigMap>::start(&context, WatchOptions::owned(&[]), by_name);
    assert_eq!(context.readiness.missing(), ["configmaps"]);
    assert_eq!(next_name(&mut triggers).await, "a");
    assert_eq!(next_name(&mut triggers).await, "bad");
    quiet(&mut triggers).await;
    assert!(watched.is_synced() && context.readiness.is_ready());
    assert!(watched.cached("ns", "a").is_some() && watched.cached("ns", "bad").is_none());
    assert!(
        server.queries.lock().unwrap()[0]
            .contains("labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddittofs-operator")
    );

    feed.unbounded_send(line("ADDED", &item("b", 101))).unwrap();
    assert_eq!(next_name(&mut triggers).await, "b");
    feed.unbounded_send(line("DELETED", &item("a", 103)))
        .unwrap();
    assert_eq!(next_name(&mut triggers).await, "a");
    assert!(watched.cached("ns", "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_object_is_read_by_name_once() {
    let (server, _feed) = Server::new(vec![]);
    let context = server.context();
    let (watched, mut triggers) =
        Watched::<ConfigMap>::start(&context, WatchOptions::owned(&[]), by_name);
    quiet(&mut triggers).await;
    assert!(watched.get("ns", "a").await.unwrap().is_none());
    server.items.lock().unwrap().push(item("a", 105));
    assert!(watched.get("ns", "a").await.unwrap().is_some());
    assert!(watched.get("ns", "a").await.unwrap().is_some());
    assert_eq!(server.gets.load(Ordering::SeqCst), 2);
    let mut bare = item("bare", 106);
    bare["metadata"]["labels"] = json!({});
    server.items.lock().unwrap().push(bare);
    assert!(
        watched
            .get("ns", "bare")
            .await
            .unwrap()
            .unwrap()
            .metadata
            .labels
            .as_ref()
            .is_none_or(|l| l.is_empty())
    );
    let mut bad = item("bad", 107);
    bad["data"] = json!(1);
    server.items.lock().unwrap().push(bad);
    assert!(matches!(
        watched.get("ns", "bad").await,
        Err(kube::Error::SerdeError(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_failing_list_is_tried_again_with_growing_pauses() {
    let (server, _feed) = Server::new(vec![item("a", 5)]);
    server.failures.store(6, Ordering::SeqCst);
    let context = server.context();
    let (_, mut triggers) =
        Watched::<ConfigMap>::start(&context, WatchOptions::owned(&[]), by_name);
    let start = Instant::now();
    assert_eq!(next_name(&mut triggers).await, "a");
    let taken = start.elapsed();
    assert!(
        taken > Duration::from_secs(20) && taken < Duration::from_secs(150),
        "{taken:?}"
    );
    assert_eq!(server.lists.load(Ordering::SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_expires_again_and_again_makes_no_storm_of_lists() {
    let (server, feed) = Server::new(vec![item("a", 5)]);
    let expired = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "status": "Failure"});
    feed.unbounded_send(line("ERROR", &expired)).unwrap();
    for _ in 0..500 {
        server
            .next_watch()
            .unbounded_send(line("ERROR", &expired))
            .unwrap();
    }
    let context = server.context();
    let (_, mut triggers) =
        Watched::<ConfigMap>::start(&context, WatchOptions::owned(&[]), by_name);
    assert_eq!(next_name(&mut triggers).await, "a");
    let _ = timeout(Duration::from_secs(600), triggers.next()).await;
    assert!(
        server.lists.load(Ordering::SeqCst) < 50,
        "{:?}",
        server.lists
    );
}

#[tokio::test(start_paused = true)]
async fn an_optional_kind_holds_nobody_up() {
    let (server, _feed) = Server::new(vec![]);
    server.failures.store(usize::MAX, Ordering::SeqCst);
    let context = server.context();
    let (watched, mut triggers) =
        Watched::<ConfigMap>::start(&context, WatchOptions::owned(&[]).optional(), by_name);
    assert!(context.readiness.is_ready());
    quiet(&mut triggers).await;
    assert!(!watched.is_synced());
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_wake_those_who_refer_to_them() {
    let (server, feed) = Server::new(vec![item("s1", 5), item("s2", 6)]);
    let context = server.context();
    let references = References::<ConfigMap>::new();
    references.set(&ObjectRef::new("p").within("ns"), [("Secret", "ns", "s1")]);
    let read = Remembered::new();
    let remember = |version: u64| {
        let read: &Remembered<u64> = &read;
        let answer: Secret = serde_json::from_value(item("s1", version)).unwrap();
        read.keep(&read.ask("ns", "s1"), &answer.metadata, version);
    };
    remember(5);
    assert!(read.current("ns", "s1").is_none(), "not before the list");
    let mut triggers =
        reference_triggers::<Secret, _, _>(&context, WatchOptions::all(), references, read.clone());
    assert_eq!(next_name(&mut triggers).await, "p");
    quiet(&mut triggers).await;
    assert!(context.readiness.is_ready());
    remember(5);
    feed.unbounded_send(line("MODIFIED", &item("s2", 101)))
        .unwrap();
    quiet(&mut triggers).await;
    assert!(read.current("ns", "s1").is_some());
    feed.unbounded_send(line("DELETED", &item("s1", 102)))
        .unwrap();
    assert_eq!(next_name(&mut triggers).await, "p");
    assert!(read.current("ns", "s1").is_none());
    remember(103);

    // After a gap nothing is known about deletions: everyone looks again.
    server.items.lock().unwrap().clear();
    let expired = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "status": "Failure"});
    feed.unbounded_send(line("ERROR", &expired)).unwrap();
    assert_eq!(next_name(&mut triggers).await, "p");
    assert!(read.current("ns", "s1").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_of_metadata_holds_no_secret() {
    let mut secret = item("s", 5);
    secret["data"] = json!({"k": "c2VjcmV0"});
    let (server, _feed) = Server::new(vec![secret]);
    let context = server.context();
    let (watched, mut triggers) =
        Watched::<PartialObjectMeta<Secret>>::start(&context, WatchOptions::owned(&[]), by_name);
    assert_eq!(next_name(&mut triggers).await, "s");
    let stored = serde_json::to_value(&*watched.cached("ns", "s").unwrap()).unwrap();
    assert!(stored.get("data").is_none(), "{stored}");
}
