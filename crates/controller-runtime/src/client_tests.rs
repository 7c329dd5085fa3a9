//! The client against a real HTTP server on the loopback interface.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams, WatchParams},
    core::Status,
};
use serde_json::json;

use crate::{
    ApiTimeout, Fence, Layers, LeaseLost, Metrics,
    client::build,
    seam::{After, Before, Chain, Counter, CrashAfter, Seam, Verb},
};

#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<(Method, String, String)>>>,
}

impl Server {
    async fn start(&self) -> http::Uri {
        let server = self.clone();
        let app = Router::new().fallback(any(move |request: Request| {
            let server = server.clone();
            async move { server.answer(request).await }
        }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}").parse().unwrap()
    }

    async fn answer(&self, request: Request) -> Response {
        let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
        let uri = request.uri().to_string();
        self.seen
            .lock()
            .unwrap()
            .push((request.method().clone(), uri.clone(), agent));
        if uri.contains("/slow") {
            // The head comes at once, the body never ends.
            let body = stream::iter([Ok::<_, std::io::Error>("{")]).chain(stream::pending());
            return Response::new(Body::from_stream(body));
        }
        if uri.contains("watch=true") {
            let body = stream::unfold(0, |number| async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let line = json!({"type": "ADDED", "object": {"metadata": {"name": format!("c{number}")}}});
                Some((Ok::<_, std::io::Error>(format!("{line}\n")), number + 1))
            });
            return Response::new(Body::from_stream(body));
        }
        let object = json!({"metadata": {"name": "x", "namespace": "ns"}, "items": []});
        Response::new(Body::from(object.to_string()))
    }

    fn sent(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn connected(layers: Layers) -> (Server, Client) {
    // Only a defect reaches it.
    connected_within(layers, Duration::from_secs(60)).await
}

async fn connected_within(layers: Layers, limit: Duration) -> (Server, Client) {
    let server = Server::default();
    let config = Config::new(server.start().await);
    let client = build(config, "tester/1", layers, limit).unwrap();
    (server, client)
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "ns")
}

fn config_map() -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "x", "namespace": "ns"}})).unwrap()
}

#[tokio::test]
async fn requests_carry_the_user_agent_and_are_counted() {
    let metrics = Metrics::new();
    let layers = Layers {
        metrics: Some(metrics.api()),
        ..Layers::default()
    };
    let (server, client) = connected(layers).await;
    config_maps(&client).get("x").await.unwrap();
    assert_eq!(server.seen.lock().unwrap()[0].2, "tester/1");
    assert!(
        metrics
            .encode()
            .unwrap()
            .contains(r#"api_requests_total{verb="get",code="2xx"} 1"#)
    );
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_is_given_up() {
    let limit = Duration::from_millis(300);
    let (_, client) = connected_within(Layers::default(), limit).await;
    let start = Instant::now();
    let error = config_maps(&client).get("slow").await.unwrap_err();
    assert!(start.elapsed() >= limit);
    let kube::Error::Service(error) = error else {
        panic!("{error}")
    };
    assert!(error.is::<ApiTimeout>());
}

#[tokio::test]
async fn a_watch_outlives_the_time_limit_of_requests() {
    let limit = Duration::from_secs(2);
    let (_, client) = connected_within(Layers::default(), limit).await;
    let start = Instant::now();
    let mut events = config_maps(&client)
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    while start.elapsed() < limit * 3 / 2 {
        events.next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_closed_fence_stops_writes_but_neither_reads_nor_leases() {
    let fence = Fence::default();
    let layers = Layers {
        fence: Some(fence.clone()),
        ..Layers::default()
    };
    let (server, client) = connected(layers).await;
    let api = config_maps(&client);
    let error = api
        .create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    assert!(LeaseLost::is_cause_of(&error));
    assert_eq!(server.sent(), 0);

    api.get("x").await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client.clone(), "ns");
    leases
        .create(&PostParams::default(), &Lease::default())
        .await
        .unwrap();
    assert_eq!(server.sent(), 2);

    fence.extend(Duration::MAX);
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap();
    fence.close();
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    assert_eq!(server.sent(), 3);
}

/// Closes over the fence's loss while a request waits.
struct Loses(Fence);

#[async_trait::async_trait]
impl Seam for Loses {
    async fn before(&self, request: &crate::seam::Request) -> Before {
        if request.is_write {
            self.0.cut();
        }
        Before::Pass
    }
}

#[tokio::test]
async fn a_write_that_passed_the_fence_and_waits_is_not_sent_once_the_lease_is_lost() {
    let fence = Fence::default();
    fence.extend(Duration::MAX);
    let layers = Layers {
        fence: Some(fence.clone()),
        seam: Some(Arc::new(Loses(fence))),
        ..Layers::default()
    };
    let (server, client) = connected(layers).await;
    let api = config_maps(&client);
    api.get("x").await.unwrap();
    assert_eq!(server.sent(), 1);
    let error = api.create(&PostParams::default(), &config_map()).await;
    assert!(error.is_err());
    assert_eq!(server.sent(), 1, "over the connection of before");
    api.get("x").await.unwrap_err();
    assert_eq!(server.sent(), 1, "over a new connection");
}

#[tokio::test]
async fn a_counter_tells_writes_and_lists_apart() {
    let counter = Arc::new(Counter::new());
    let (_, client) = connected(Layers {
        seam: Some(counter.clone()),
        ..Layers::default()
    })
    .await;
    let api = config_maps(&client);
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap();
    api.get("x").await.unwrap();
    api.list(&ListParams::default()).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client.clone(), "ns");
    leases
        .create(&PostParams::default(), &Lease::default())
        .await
        .unwrap();
    assert_eq!(
        (counter.writes(), counter.lists(), counter.of(Verb::Get)),
        (1, 1, 1)
    );
    counter.reset();
    assert_eq!((counter.writes(), counter.counts().len()), (0, 0));
}

#[tokio::test]
async fn after_a_crash_nothing_reaches_the_server() {
    let crash = Arc::new(CrashAfter::writes(1));
    let (server, client) = connected(Layers {
        seam: Some(crash.clone()),
        ..Layers::default()
    })
    .await;
    let api = config_maps(&client);
    api.get("x").await.unwrap();
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap();
    assert!(!crash.crashed());
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    api.get("x").await.unwrap_err();
    assert!(crash.crashed());
    assert_eq!(server.sent(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_an_error_although_the_server_did_its_work() {
    let crash = Arc::new(CrashAfter::losing_the_answer_of(2));
    let (server, client) = connected(Layers {
        seam: Some(crash),
        ..Layers::default()
    })
    .await;
    let api = config_maps(&client);
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    api.create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    assert_eq!(server.sent(), 2);
}

/// Fails writes with 503 and delays everything.
struct Weather;

#[async_trait::async_trait]
impl Seam for Weather {
    async fn before(&self, request: &crate::seam::Request) -> Before {
        if request.is_write {
            let status = Status::failure("not now", "ServiceUnavailable").with_code(503);
            Before::Answer(StatusCode::SERVICE_UNAVAILABLE, status.boxed())
        } else {
            Before::Delay(Duration::from_millis(50))
        }
    }
}

#[tokio::test]
async fn seams_combine_and_can_answer_or_delay() {
    let counter = Arc::new(Counter::new());
    let chain = Chain::new(vec![counter.clone(), Arc::new(Weather)]);
    let (server, client) = connected(Layers {
        seam: Some(Arc::new(chain)),
        ..Layers::default()
    })
    .await;
    let api = config_maps(&client);
    let error = api
        .create(&PostParams::default(), &config_map())
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 503));
    let start = Instant::now();
    api.get("x").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!((server.sent(), counter.writes()), (1, 1));
    assert_eq!(
        Chain::default()
            .after(&test_request(), StatusCode::OK)
            .await,
        After::Pass
    );
}

fn test_request() -> crate::seam::Request {
    crate::seam::Request::of(&http::Request::new(()))
}
