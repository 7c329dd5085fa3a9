//! Leader election against a scripted API server and a clock that tests move.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::{
    Fence, Layers, LeaseLost,
    clock::testing::TokioClock,
    seam,
    testing::{answer, client, refusal},
};

/// The Lease as the API server keeps it.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    /// Times at which a write was accepted, and from whom.
    writes: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// The network of one contender.
#[derive(Clone, Default)]
struct Network {
    frozen: Arc<AtomicBool>,
    loses_answers: Arc<AtomicBool>,
}

impl Server {
    fn client(&self, network: Network) -> Client {
        let server = self.clone();
        client(Layers::default(), move |request, body| {
            let (server, network) = (server.clone(), network.clone());
            async move {
                if network.frozen.load(Ordering::SeqCst) {
                    return std::future::pending().await;
                }
                let answer = server.answer(&request, body);
                if network.loses_answers.load(Ordering::SeqCst) && request.is_write {
                    return std::future::pending().await;
                }
                answer
            }
        })
    }

    fn answer(&self, request: &seam::Request, mut body: Value) -> Response<Body> {
        let mut lease = self.lease.lock().unwrap();
        match (request.verb, lease.as_ref()) {
            (seam::Verb::Get, None) => return refusal(404, "NotFound"),
            (seam::Verb::Get, Some(lease)) => return answer(StatusCode::OK, lease),
            (seam::Verb::Create, Some(_)) => return refusal(409, "AlreadyExists"),
            (seam::Verb::Update, Some(lease))
                if lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] =>
            {
                return refusal(409, "Conflict");
            }
            (seam::Verb::Create, None) | (seam::Verb::Update, Some(_)) => {}
            other => panic!("{other:?}"),
        }
        let mut writes = self.writes.lock().unwrap();
        let holder = body["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        writes.push((Instant::now(), holder));
        body["metadata"]["resourceVersion"] = json!(writes.len().to_string());
        *lease = Some(body.clone());
        answer(StatusCode::OK, &body)
    }

    fn spec(&self) -> Value {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"].clone()
    }
}

fn config(identity: &str) -> LeaseConfig {
    LeaseConfig {
        namespace: "ns".into(),
        name: "lease".into(),
        identity: identity.into(),
        duration: Duration::from_secs(15),
    }
}

fn contender(server: &Server, identity: &str) -> (Elector, Fence, Network) {
    let network = Network::default();
    let fence = Fence::new(Arc::new(TokioClock::new()));
    let elector = Elector::new(
        server.client(network.clone()),
        config(identity),
        fence.clone(),
    );
    (elector, fence, network)
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_acquired_and_renewed_every_third_of_its_duration() {
    let server = Server::default();
    let (elector, fence, _) = contender(&server, "a");
    assert_eq!(fence.check(), Err(LeaseLost));
    let mut held = elector.acquire().await;
    assert_eq!(fence.check(), Ok(()));
    assert!(timeout(Duration::from_secs(61), held.keep()).await.is_err());
    assert_eq!(fence.check(), Ok(()));
    let writes = server.writes.lock().unwrap().clone();
    assert_eq!(writes.len(), 13);
    let spec = server.spec();
    assert_eq!(
        (&spec["holderIdentity"], &spec["leaseDurationSeconds"]),
        (&json!("a"), &json!(15))
    );
    assert_eq!(spec["leaseTransitions"], json!(0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_every_write_before_another_can_take_it() {
    let server = Server::default();
    let (first, first_fence, network) = contender(&server, "a");
    let (second, second_fence, _) = contender(&server, "b");
    let mut held = first.acquire().await;
    let lost = tokio::spawn(async move { held.keep().await });
    sleep(Duration::from_secs(12)).await;
    network.frozen.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let taken = tokio::spawn(second.acquire());
    let mut closed_at = None;
    while second_fence.check().is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nobody took over"
        );
        if first_fence.check().is_err() {
            closed_at.get_or_insert(start.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(first_fence.check(), Err(LeaseLost));
    let closed_at = closed_at.unwrap();
    assert!(closed_at <= Duration::from_secs(10), "{closed_at:?}");
    assert!(start.elapsed() >= closed_at + Duration::from_secs(4));
    assert_eq!(lost.await.unwrap(), LeaseLost);
    taken.await.unwrap();
    assert_eq!(server.spec()["leaseTransitions"], json!(1));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_wakes_up_without_the_right_to_write() {
    let server = Server::default();
    let (elector, fence, _) = contender(&server, "a");
    let mut held = elector.acquire().await;
    // The whole process sleeps: nothing is polled, only time passes.
    advance(Duration::from_secs(11)).await;
    assert_eq!(fence.check(), Err(LeaseLost));
    assert_eq!(held.keep().await, LeaseLost);
    assert_eq!(server.writes.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_contenders_never_both_hold_it() {
    let server = Server::default();
    let mut fences = Vec::new();
    let mut networks = Vec::new();
    for identity in ["a", "b", "c"] {
        let network = Network::default();
        let fence = Fence::new(Arc::new(TokioClock::new()));
        fences.push(fence.clone());
        networks.push(network.clone());
        let server = server.clone();
        tokio::spawn(async move {
            loop {
                let client = server.client(network.clone());
                Elector::new(client, config(identity), fence.clone())
                    .acquire()
                    .await
                    .keep()
                    .await;
            }
        });
    }
    let mut holders = std::collections::BTreeSet::new();
    for step in 0_usize..6000 {
        // Each contender's network freezes and loses answers for a while in turn.
        let phase = step / 150;
        for (index, network) in networks.iter().enumerate() {
            network.frozen.store(phase % 4 == index, Ordering::SeqCst);
            network
                .loses_answers
                .store((phase / 2) % 5 == index, Ordering::SeqCst);
        }
        sleep(Duration::from_millis(100)).await;
        let open: Vec<usize> = (0..3)
            .filter(|index| fences[*index].check().is_ok())
            .collect();
        assert!(open.len() <= 1, "{open:?} at step {step}");
        holders.extend(open);
    }
    assert!(holders.len() >= 2, "the lease never moved");
}

#[tokio::test(start_paused = true)]
async fn release_hands_over_at_once() {
    let server = Server::default();
    let (first, first_fence, _) = contender(&server, "a");
    let (second, _, _) = contender(&server, "b");
    let held = first.acquire().await;
    let waiting = tokio::spawn(second.acquire());
    sleep(Duration::from_secs(1)).await;
    held.release().await.unwrap();
    assert_eq!(first_fence.check(), Err(LeaseLost));
    let start = Instant::now();
    waiting.await.unwrap();
    assert!(start.elapsed() <= config("b").look_every());
    assert_eq!(server.spec()["holderIdentity"], json!("b"));
}

/// The process is told to stop right after a renewal whose answer it never got.
#[tokio::test(start_paused = true)]
async fn release_hands_over_although_the_answer_to_the_last_renewal_was_lost() {
    let server = Server::default();
    let (elector, _, network) = contender(&server, "a");
    let mut held = elector.acquire().await;
    network.loses_answers.store(true, Ordering::SeqCst);
    assert!(
        timeout(Duration::from_millis(5100), held.keep())
            .await
            .is_err()
    );
    assert_eq!(server.writes.lock().unwrap().len(), 2);
    network.loses_answers.store(false, Ordering::SeqCst);
    held.release().await.unwrap();
    assert_eq!(server.spec()["holderIdentity"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn release_leaves_a_lease_alone_that_another_process_took() {
    let server = Server::default();
    let (elector, _, _) = contender(&server, "a");
    let held = elector.acquire().await;
    {
        let mut lease = server.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("b");
        lease["metadata"]["resourceVersion"] = json!("99");
    }
    held.release().await.unwrap();
    assert_eq!(server.spec()["holderIdentity"], json!("b"));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_is_no_loss() {
    let server = Server::default();
    let (elector, fence, network) = contender(&server, "a");
    let mut held = elector.acquire().await;
    let keeping = tokio::spawn(async move { held.keep().await });
    sleep(Duration::from_millis(4900)).await;
    network.loses_answers.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(200)).await;
    network.loses_answers.store(false, Ordering::SeqCst);
    for _ in 0..300 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(fence.check(), Ok(()));
    }
    assert!(!keeping.is_finished());
}

#[tokio::test(start_paused = true)]
async fn someone_elses_write_is_noticed_at_the_next_renewal() {
    let server = Server::default();
    let (elector, fence, _) = contender(&server, "a");
    let mut held = elector.acquire().await;
    {
        let mut lease = server.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("99");
    }
    assert_eq!(held.keep().await, LeaseLost);
    assert_eq!(fence.check(), Err(LeaseLost));
}

#[test]
fn no_two_processes_have_the_same_identity() {
    assert_ne!(identity(), identity());
}
