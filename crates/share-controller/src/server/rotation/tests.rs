//! What is sent for a new password, and what is said of it, by what the server answers.

use std::future::pending;
use std::sync::{Arc, Mutex};

use adapter_client::{Account, Limits, Transport, TransportError};
use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::plan::tests::{version, wish_of};
use crate::server::{Followed, State};
use crate::stores::Stores;
use crate::world::World;

/// The time of the server, and of its start.
const NOW: &str = "2026-11-22T06:00:00Z";
const BEFORE: &str = "2026-11-22T05:00:00Z";
const AFTER: &str = "2026-11-22T06:00:01Z";

/// What the server does with a store that it shall open.
#[derive(Clone, Copy)]
enum Opens {
    /// It opens, and its name is taken.
    Yes,
    /// PostgreSQL refuses the login.
    No,
    /// The database is silent.
    Never,
}

/// A server, as far as passwords go: what it was sent, and what it answers.
struct Wire {
    opens: Mutex<Opens>,
    started: Mutex<&'static str>,
    sent: Mutex<Vec<(String, Value)>>,
}

impl Wire {
    /// The requests since the last time, without logins.
    fn taken(&self) -> Vec<String> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.into_iter().map(|(request, _)| request).collect()
    }

    /// The configurations that were sent since the last time.
    fn configs(&self) -> Vec<Value> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        // A text in the text, as the server has it (server contract 3.9).
        let configs = sent.iter().filter_map(|(_, body)| body["config"].as_str());
        let configs = configs.map(|config| serde_json::from_str(config).unwrap());
        configs.collect()
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: Limits,
    ) -> Result<Response<Bytes>, TransportError> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        if what == "POST /api/v1/auth/login" {
            let user = json!({"id": "u", "username": "shares", "role": "admin", "enabled": true,
                "must_change_password": false, "created_at": BEFORE});
            return answer(
                200,
                &json!({"access_token": "a", "refresh_token": "r", "expires_in": 900, "user": user}),
            );
        }
        self.sent.lock().unwrap().push((what.clone(), body));
        let opens = *self.opens.lock().unwrap();
        match (what.as_str(), opens) {
            (TRIED, Opens::Yes) => answer(409, &json!({"detail": "it exists"})),
            (TRIED, Opens::No) => answer(400, &json!({"detail": "password authentication failed"})),
            (TRIED, Opens::Never) => pending().await,
            (SENT, _) => answer(
                200,
                &json!({"id": "m", "name": "films", "type": "postgres", "config": {},
                    "created_at": BEFORE, "status": {"status": "healthy", "checked_at": NOW}}),
            ),
            (ASKED, _) => answer(
                200,
                &json!({"status": "healthy", "timestamp": NOW, "data": {"service": "dittofs",
                    "started_at": *self.started.lock().unwrap(), "uptime_sec": 1, "control_plane_db": "reachable"}}),
            ),
            (other, _) => panic!("{other}"),
        }
    }
}

const TRIED: &str = "POST /api/v1/store/metadata";
const SENT: &str = "PUT /api/v1/store/metadata/films";
const ASKED: &str = "GET /health";

fn answer(status: u16, body: &Value) -> Result<Response<Bytes>, TransportError> {
    let kind = if status < 400 { "json" } else { "problem+json" };
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", format!("application/{kind}"));
    Ok(answer.body(Bytes::from(body.to_string())).unwrap())
}

fn server() -> (Arc<Wire>, Client) {
    let wire = Arc::new(Wire {
        opens: Mutex::new(Opens::Yes),
        started: Mutex::new(BEFORE),
        sent: Mutex::default(),
    });
    let client = Client::builder("http://files:8080").transport(wire.clone());
    let account = Account::new("shares", "long-enough");
    (wire, client.build().unwrap().with_account(account))
}

/// A share whose metadata store has a Secret of its own.
fn films(number: u32, password: &str) -> Wish {
    let store = json!({"type": "postgres", "postgres": {"secretRef": {"name": "pg"}}});
    let mut wish = wish_of("films", json!({ "metadataStore": store }));
    if let Ok(Stores {
        metadata: (_, Some(MetadataStoreConfig::Postgres { password: held, .. })),
        ..
    }) = &mut wish.stores
    {
        *held = password.into();
    }
    wish.versions.insert(DATABASE.to_owned(), version(number));
    wish.own_connection = true;
    wish
}

fn key() -> Key {
    Key::new("films").within("media")
}

fn target() -> Target {
    Target {
        namespace: "media".to_owned(),
        name: "files".to_owned(),
        uid: "s1".to_owned(),
        api: serde_json::from_value(json!({"url": "http://files-api:8080", "podName": "files-0"}))
            .unwrap(),
        available_since: BEFORE.to_owned(),
        spec: serde_json::from_value(json!({"storage": {"metadataSize": "1Gi"}})).unwrap(),
        paused: false,
    }
}

/// Does with `wish` what the work on a share does, once: gives what happened.
async fn work(passwords: &Passwords, client: &Client, wish: &Wish) -> Result<Turn, Error> {
    let mut turn = Turn::default();
    let Ok(Stores {
        metadata: (_, Some(config)),
        ..
    }) = &wish.stores
    else {
        panic!("{:?}", wish.stores)
    };
    let step = Step::UpdateMetadata(config.clone(), wish.versions[DATABASE].clone());
    let result = passwords.carry_out(client, &key(), wish, step).await;
    if let Ok(effect) = result {
        effect(&mut World::default(), &mut turn);
        passwords.remember(&key(), wish, &turn);
        return Ok(turn);
    }
    passwords.remember(&key(), wish, &turn);
    result.map(|_| turn)
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[tokio::test]
async fn a_new_password_is_tried_then_sent_and_due_until_a_later_start() {
    let (wire, client) = server();
    let passwords = Passwords::default();
    let wish = films(2, "new-password");
    let mut turn = work(&passwords, &client, &wish).await.unwrap();
    // The server's clock is read last: a start before that has the old password.
    assert_eq!(wire.taken(), [TRIED, SENT, ASKED]);
    assert_eq!(turn.pushed[DATABASE], version(2));
    assert_eq!(turn.awaited, Some(at(NOW)));
    let said = awaits(&turn, &target()).unwrap();
    assert_eq!(said.reason, Reason::ServerRestartNeeded);
    let command = "kubectl delete pod -n media files-0";
    assert!(said.message.ends_with(command), "{}", said.message);
    assert!(!said.message.contains("new-password"), "{}", said.message);

    for (started, due) in [(BEFORE, true), (NOW, true), (AFTER, false)] {
        *wire.started.lock().unwrap() = started;
        settle(&client, &wish, &mut turn).await.unwrap();
        assert_eq!(awaits(&turn, &target()).is_some(), due, "{started}");
    }
    // Nothing is due: the server is not asked any more.
    wire.taken();
    settle(&client, &wish, &mut turn).await.unwrap();
    assert!(wire.taken().is_empty());
}

#[tokio::test]
async fn the_trial_opens_one_connection_and_the_store_keeps_its_own_number() {
    let (wire, client) = server();
    let wish = films(2, "new-password");
    work(&Passwords::default(), &client, &wish).await.unwrap();
    let configs = wire.configs();
    let [tried, sent] = &configs[..] else {
        panic!("{configs:?}")
    };
    for config in [tried, sent] {
        assert_eq!(config["password"], "new-password");
    }
    assert_eq!(
        (&tried["max_conns"], &tried["min_conns"]),
        (&json!(1), &json!(1))
    );
    assert!(sent.get("max_conns").is_none(), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_password_that_the_server_cannot_use_is_never_sent() {
    let (wire, client) = server();
    let passwords = Passwords::default();
    let wish = films(2, "wrong-password");
    // Tried as often as it is asked for: somebody may mend the role meanwhile.
    for opens in [Opens::No, Opens::Never, Opens::No] {
        *wire.opens.lock().unwrap() = opens;
        let error = work(&passwords, &client, &wish).await.unwrap_err();
        assert_eq!(wire.taken(), [TRIED]);
        let said = refused(&error);
        assert_eq!(said.reason, Reason::StoreRefused);
        assert!(
            said.message.contains("keeps the old ones"),
            "{}",
            said.message
        );
        assert!(!said.message.contains("wrong-password"), "{}", said.message);
    }
    *wire.opens.lock().unwrap() = Opens::Yes;
    work(&passwords, &client, &wish).await.unwrap();
    assert_eq!(wire.taken(), [TRIED, SENT, ASKED]);
}

#[tokio::test]
async fn another_version_with_the_same_password_is_noted_without_a_trial_or_a_start() {
    let (wire, client) = server();
    let passwords = Passwords::default();
    let first = films(2, "new-password");
    work(&passwords, &client, &first).await.unwrap();
    wire.taken();
    // Such as with another label.
    let labelled = films(3, "new-password");
    let turn = work(&passwords, &client, &labelled).await.unwrap();
    assert_eq!(wire.taken(), [SENT]);
    assert_eq!((&turn.pushed[DATABASE], turn.awaited), (&version(3), None));
    let other = films(4, "newer-password");
    let turn = work(&passwords, &client, &other).await.unwrap();
    assert_eq!(wire.taken(), [TRIED, SENT, ASKED]);
    assert!(turn.awaited.is_some());
    // What is not followed any more is forgotten, and what is is not.
    let shares = [(key(), other.clone())].into();
    passwords.retain(&followed(shares));
    work(&passwords, &client, &other).await.unwrap();
    assert_eq!(wire.taken(), [SENT]);
    passwords.retain(&followed(HashMap::new()));
    work(&passwords, &client, &other).await.unwrap();
    assert_eq!(wire.taken(), [TRIED, SENT, ASKED]);
}

fn followed(shares: HashMap<Key, Wish>) -> Shared {
    let shares = shares.into_iter().map(|(key, wish)| {
        let followed = Followed {
            wish: Arc::new(wish),
            dirty: false,
            seen: None,
            corrected: std::collections::BTreeSet::new(),
        };
        (key, followed)
    });
    Shared {
        state: Mutex::new(State {
            target: target(),
            anew: false,
            shares: shares.collect(),
            by_itself: false,
            look: false,
            trouble: None,
        }),
        notify: Notify::new(),
    }
}

#[tokio::test]
async fn a_password_of_the_servers_own_database_is_sent_as_it_is() {
    let (wire, client) = server();
    let mut wish = films(2, "new-password");
    wish.own_connection = false;
    let mut turn = work(&Passwords::default(), &client, &wish).await.unwrap();
    // The server-controller has tried it, and restarts the server.
    assert_eq!(wire.taken(), [SENT]);
    assert_eq!(turn.awaited, None);
    // Nor is anything due any more of a share that has no Secret of its own by now.
    turn.awaited = Some(at(NOW));
    settle(&client, &wish, &mut turn).await.unwrap();
    assert_eq!(turn.awaited, None);
    assert!(wire.taken().is_empty());
}
