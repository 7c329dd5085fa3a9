//! A kind whose CRD comes and goes, over a scripted API server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures::{StreamExt, channel::mpsc};
use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    Context, Layers, Scope,
    seam::{Request, Verb},
    testing::{answer, client, refusal},
};

const CRD: &str = "configmaps.example.org";

type Feed = mpsc::UnboundedSender<Result<String, std::io::Error>>;

/// An API server with or without the CRD; ConfigMaps stand for its objects.
#[derive(Clone, Default)]
struct Server {
    /// The CRD that a list shows.
    crd: Arc<Mutex<Option<Value>>>,
    serves: Arc<AtomicBool>,
    lists: Arc<AtomicUsize>,
    queries: Arc<Mutex<Vec<String>>>,
    crd_watch: Arc<Mutex<Option<Feed>>>,
}

impl Server {
    fn context(&self) -> Context {
        let server = self.clone();
        let client = client(Layers::default(), move |request, _| {
            let server = server.clone();
            async move { server.answer(&request) }
        });
        Context::for_test(client, Scope::Namespaces(vec!["ns".into()]))
    }

    fn answer(&self, request: &Request) -> Response<Body> {
        let of_crd = request.path.contains("customresourcedefinitions");
        if of_crd {
            self.queries.lock().unwrap().push(request.query.clone());
        }
        match (request.verb, of_crd) {
            (Verb::List, true) => list(self.crd.lock().unwrap().clone().into_iter().collect()),
            (Verb::Watch, true) => {
                let (feed, lines) = mpsc::unbounded();
                *self.crd_watch.lock().unwrap() = Some(feed);
                Response::new(Body::from_stream(lines))
            }
            (Verb::List, false) => {
                self.lists.fetch_add(1, Ordering::SeqCst);
                if self.serves.load(Ordering::SeqCst) {
                    list(vec![object()])
                } else {
                    refusal(404, "NotFound")
                }
            }
            _ => Response::new(Body::from_stream(futures::stream::pending::<
                Result<String, std::io::Error>,
            >())),
        }
    }

    /// Tells the watch of CRDs something.
    fn tell(&self, kind: &str, crd: &Value) {
        let feed = self.crd_watch.lock().unwrap();
        let line = json!({"type": kind, "object": crd}).to_string() + "\n";
        feed.as_ref().unwrap().unbounded_send(Ok(line)).unwrap();
    }
}

fn list(items: Vec<Value>) -> Response<Body> {
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "10"}, "items": items});
    answer(StatusCode::OK, &list)
}

fn crd(uid: &str, version: u64) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": CRD, "uid": uid, "resourceVersion": version.to_string()}})
}

fn object() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "child", "namespace": "ns", "resourceVersion": "5", "uid": "uid-child",
        "labels": {"app.kubernetes.io/managed-by": "dittofs-operator"}}})
}

fn start(context: &Context) -> (Installable<ConfigMap>, Triggers<ConfigMap>) {
    Installable::start(
        context,
        CRD,
        WatchOptions::owned(&["m"]),
        |meta| vec![ObjectRef::new(meta.name.as_deref().unwrap_or_default()).within("ns")],
        || vec![ObjectRef::new("everybody").within("ns")],
    )
}

/// Names of those woken until `done`.
async fn woken(
    triggers: &mut Triggers<ConfigMap>,
    mut done: impl FnMut(&[String]) -> bool,
) -> Vec<String> {
    let mut names = Vec::new();
    while !done(&names) {
        let next = timeout(Duration::from_secs(600), triggers.next()).await;
        names.push(next.expect("nobody is woken").unwrap().name);
    }
    names
}

/// Polls the triggers for this long; nobody may be woken.
async fn idle(triggers: &mut Triggers<ConfigMap>, time: Duration) {
    let next = timeout(time, triggers.next()).await;
    assert!(next.is_err(), "somebody was woken: {next:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_crd_the_process_is_ready_and_asks_nothing_more() {
    let server = Server::default();
    let context = server.context();
    let (kind, mut triggers) = start(&context);
    assert!(!context.readiness.is_ready());
    idle(&mut triggers, Duration::from_secs(3600)).await;
    assert!(context.readiness.is_ready());
    assert!(kind.served().is_none());
    assert_eq!(server.lists.load(Ordering::SeqCst), 0, "no polling");
    let queries = server.queries.lock().unwrap();
    assert!(
        queries
            .iter()
            .all(|query| query.contains("metadata.name%3Dconfigmaps.example.org")),
        "{queries:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_is_there_from_the_beginning_holds_readiness_until_its_objects_are_known() {
    let server = Server::default();
    *server.crd.lock().unwrap() = Some(crd("a", 1));
    server.serves.store(true, Ordering::SeqCst);
    let context = server.context();
    let (kind, mut triggers) = start(&context);
    woken(&mut triggers, |names| names.len() == 2).await;
    assert!(context.readiness.is_ready());
    assert!(kind.served().unwrap().cached("ns", "child").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_is_installed_later_is_used_as_soon_as_it_is_served() {
    let server = Server::default();
    let context = server.context();
    let (kind, mut triggers) = start(&context);
    idle(&mut triggers, Duration::from_secs(60)).await;
    let begin = Instant::now();
    server.tell("ADDED", &crd("a", 11));
    // The API server announces it before it serves it.
    idle(&mut triggers, Duration::from_millis(300)).await;
    assert!(kind.served().is_none());
    server.serves.store(true, Ordering::SeqCst);
    let names = woken(&mut triggers, |names| {
        names.contains(&"everybody".to_owned())
    })
    .await;
    assert!(names.contains(&"child".to_owned()));
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert!(kind.served().is_some());
    // Later news of the CRD change nothing.
    let lists = server.lists.load(Ordering::SeqCst);
    server.tell("MODIFIED", &crd("a", 12));
    idle(&mut triggers, Duration::from_secs(60)).await;
    assert_eq!(server.lists.load(Ordering::SeqCst), lists);
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_does_not_serve_our_version_makes_no_storm_and_holds_nobody_up() {
    let server = Server::default();
    *server.crd.lock().unwrap() = Some(crd("a", 1));
    let context = server.context();
    let (kind, mut triggers) = start(&context);
    idle(&mut triggers, Duration::from_secs(3600)).await;
    assert!(context.readiness.is_ready() && kind.served().is_none());
    let lists = server.lists.load(Ordering::SeqCst);
    assert!((2..60).contains(&lists), "{lists} lists in an hour");
}

#[tokio::test(start_paused = true)]
async fn with_the_crd_its_objects_are_forgotten_also_while_it_is_being_deleted() {
    let server = Server::default();
    *server.crd.lock().unwrap() = Some(crd("a", 1));
    server.serves.store(true, Ordering::SeqCst);
    let context = server.context();
    let (kind, mut triggers) = start(&context);
    woken(&mut triggers, |names| names.len() == 2).await;

    let mut leaving = crd("a", 11);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    server.tell("MODIFIED", &leaving);
    let names = woken(&mut triggers, |names| names.len() == 2).await;
    assert_eq!(names, ["child", "everybody"]);
    assert!(kind.served().is_none());
    server.tell("DELETED", &leaving);
    let lists = server.lists.load(Ordering::SeqCst);
    idle(&mut triggers, Duration::from_secs(3600)).await;
    assert_eq!(server.lists.load(Ordering::SeqCst), lists, "no polling");

    server.tell("ADDED", &crd("b", 20));
    woken(&mut triggers, |names| {
        names.contains(&"everybody".to_owned())
    })
    .await;
    assert!(kind.served().unwrap().cached("ns", "child").is_some());
}
