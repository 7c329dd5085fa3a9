//! What the network and other programs can do to an answer, in front of the real server.

use std::{sync::Arc, time::Duration};

use adapter_client::{
    Client, Error, NfsSettings, NfsSettingsPatch, RetryPolicy, Seconds, Stage, Timeouts, WriteMode,
};

use crate::{
    dfs::{PATIENT, admin_account, free_port, shared},
    proxy::{Fault, Proxy, answer},
};

const PORTS: &str = "/adapters/ports";

/// Short enough for a test, long enough for the login of a busy machine.
const SHORT: Duration = Duration::from_secs(10);

async fn rig(attempts: u32) -> (Proxy, Client) {
    rig_within(attempts, PATIENT).await
}

async fn rig_within(attempts: u32, timeouts: Timeouts) -> (Proxy, Client) {
    let proxy = Proxy::before(shared().await.address()).await;
    let client = client(&proxy.url, attempts, timeouts);
    // The faults are for the calls, not for the login.
    client.auth().me().await.unwrap();
    (proxy, client)
}

fn client(url: &str, attempts: u32, timeouts: Timeouts) -> Client {
    Client::builder(url)
        .timeouts(timeouts)
        .retry(RetryPolicy {
            attempts,
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_secs(2),
        })
        .jitter(Arc::new(|| 0.5))
        .longest_answer(256 * 1024)
        .build()
        .unwrap()
        .with_account(admin_account())
}

async fn fails(client: &Client) -> Error {
    client.adapters().ports().await.unwrap_err()
}

fn protocol(error: &Error) -> &str {
    match error {
        Error::Protocol {
            call: "adapters.ports",
            detail,
        } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_that_dfs_does_not_give_are_named() {
    let (proxy, client) = rig(3).await;
    let cases = [
        (
            answer(
                "200 OK",
                "text/html",
                "",
                "<html><h1>Welcome</h1>\x1b[2J</html>",
            ),
            "expected JSON with status 200, got text/html: Welcome [2J",
        ),
        (
            answer("200 OK", "application/json", "", "[{\"type\":\"nfs\""),
            "in [0]: EOF while parsing an object at line 1 column 14",
        ),
        (
            answer("200 OK", "application/json", "", "[]garbage"),
            "something follows the JSON of the answer",
        ),
        (
            answer("200 OK", "application/json", "", "\u{0}\u{1}"),
            "in the answer: expected value at line 1 column 1",
        ),
        (
            answer("200 OK", "application/json", "", ""),
            "in the answer: EOF while parsing a value at line 1 column 0",
        ),
        (
            answer("204 No Content", "application/json", "", ""),
            "in the answer: EOF while parsing a value at line 1 column 0",
        ),
        (
            answer("404 Not Found", "text/plain", "", "404 page not found\n"),
            "the server has no route GET /api/v1/adapters/ports (404 404 page not found)",
        ),
        (
            answer(
                "302 Found",
                "text/plain",
                "Location: http://elsewhere/\r\n",
                "",
            ),
            "status 302",
        ),
        (
            Fault::Change(|body| body.replace("\"enabled\"", "\"_\"")),
            "in [0]: missing field `enabled`",
        ),
        (
            Fault::Change(|body| body.replace("\"port\":", "\"port\":\"x\",\"_\":")),
            "in [0].port: invalid type: string \"x\", expected i64",
        ),
    ];
    for (fault, expected) in cases {
        proxy.spoil(PORTS, 1, fault);
        let error = fails(&client).await;
        assert!(protocol(&error).starts_with(expected), "{error}");
    }
    assert_eq!(proxy.left(), 0, "not one of them was repeated");
    client.adapters().ports().await.unwrap();
}

#[tokio::test]
async fn no_list_of_adapters_is_not_an_empty_one() {
    let (proxy, client) = rig(1).await;
    let null = answer("200 OK", "application/json", "", "null");
    proxy.spoil("/api/v1/adapters", 1, null);
    let error = client.adapters().list().await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert_eq!(client.adapters().list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn unknown_fields_do_not_matter() {
    let (proxy, client) = rig(1).await;
    proxy.spoil(
        PORTS,
        1,
        Fault::Change(|body| body.replace("{\"type\"", "{\"new\":[{}],\"type\"")),
    );
    assert_eq!(client.adapters().ports().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_http_is_no_server() {
    let (proxy, client) = rig(3).await;
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "HTTP/9.9 200\r\n\r\n",
    ] {
        proxy.spoil(PORTS, 1, Fault::Answer(garbage.into()));
        let error = fails(&client).await;
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
    }
    assert_eq!(proxy.left(), 0);
}

#[tokio::test]
async fn endless_bodies_are_cut() {
    let (proxy, client) = rig(1).await;
    let huge = "x".repeat(300 * 1024);
    for status in ["200 OK", "500 Internal Server Error", "403 Forbidden"] {
        proxy.spoil(PORTS, 1, answer(status, "application/json", "", &huge));
        assert_eq!(
            protocol(&fails(&client).await),
            "answer longer than 262144 bytes"
        );
    }
    // Long but allowed: the error stays short.
    proxy.spoil(
        PORTS,
        1,
        answer(
            "500 Internal Server Error",
            "text/plain",
            "",
            &huge[..200_000],
        ),
    );
    let Error::ServerError { detail, .. } = fails(&client).await else {
        panic!()
    };
    assert_eq!(detail.chars().count(), 401);
}

#[tokio::test]
async fn answers_that_break_off_are_told_from_answers_that_do_not_come() {
    let (proxy, client) = rig(1).await;
    for (fault, expected) in [
        (Fault::Swallow, Stage::Answer),
        (Fault::Reset, Stage::Answer),
        (Fault::Cut(20), Stage::Answer),
        (Fault::Cut(160), Stage::Body),
    ] {
        proxy.spoil(PORTS, 1, fault.clone());
        let error = fails(&client).await;
        assert!(
            matches!(error, Error::Unreachable { stage, .. } if stage == expected),
            "{fault:?}: {error}"
        );
        assert!(error.is_outcome_unknown());
    }
}

#[tokio::test]
async fn reads_are_repeated_and_writes_that_are_no_repetition_are_not() {
    let (proxy, client) = rig(3).await;
    proxy.spoil(PORTS, 1, Fault::Cut(160));
    proxy.spoil(
        PORTS,
        1,
        answer("502 Bad Gateway", "text/html", "", "<h1>Bad Gateway</h1>"),
    );
    assert_eq!(client.adapters().ports().await.unwrap().len(), 2);
    proxy.spoil(PORTS, 3, Fault::Reset);
    assert!(matches!(fails(&client).await, Error::Unreachable { .. }));
    assert_eq!(proxy.left(), 0);
    // 500 is the server's own word: it is not asked again at once.
    proxy.spoil(
        PORTS,
        2,
        answer(
            "500 Internal Server Error",
            "application/problem+json",
            "",
            r#"{"title":"Internal Server Error","status":500,"detail":"Failed to list adapters"}"#,
        ),
    );
    for _ in 0..2 {
        assert_eq!(
            fails(&client).await,
            Error::ServerError {
                call: "adapters.ports",
                status: 500,
                detail: "Failed to list adapters".into()
            }
        );
    }
    // A user is made once, although nobody heard of it.
    proxy.spoil("/users", 1, Fault::Swallow);
    let new = adapter_client::NewUser::new("made-once", "password-1");
    let error = client.users().create(&new).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(matches!(
        client.users().create(&new).await,
        Err(Error::Conflict { .. })
    ));
    // Its removal is repeated, and that nothing is left to remove means that it is done.
    proxy.spoil("/users/made-once", 1, Fault::Swallow);
    client.users().delete("made-once").await.unwrap();
    assert!(
        client
            .users()
            .delete("made-once")
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_its_time() {
    let timeouts = Timeouts {
        quick: SHORT,
        ..PATIENT
    };
    let (proxy, client) = rig_within(3, timeouts).await;
    proxy.spoil(PORTS, 1, Fault::Delay(Duration::from_secs(60)));
    let start = std::time::Instant::now();
    let error = fails(&client).await;
    assert!(
        matches!(
            error,
            Error::Unreachable {
                stage: Stage::Answer,
                ..
            }
        ),
        "{error}"
    );
    assert!(start.elapsed() >= SHORT);
    // It was not asked again.
    assert!(start.elapsed() < SHORT * 3, "{:?}", start.elapsed());
    // Latency below the limit does no harm.
    proxy.spoil(PORTS, 1, Fault::Delay(Duration::from_millis(500)));
    client.adapters().ports().await.unwrap();
}

#[tokio::test]
async fn too_many_requests_wait_as_long_as_the_server_says() {
    let (proxy, client) = rig(2).await;
    let refusal = |after: &str| {
        answer(
            "429 Too Many Requests",
            "text/plain",
            &format!("Retry-After: {after}\r\n"),
            "slow down",
        )
    };
    proxy.spoil(PORTS, 1, refusal("1"));
    let start = std::time::Instant::now();
    client.adapters().ports().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    // More than it is worth waiting for here: the caller decides.
    proxy.spoil(PORTS, 1, refusal("3600"));
    let limited = |seconds| Error::RateLimited {
        call: "adapters.ports",
        retry_after: seconds,
        detail: "slow down".into(),
    };
    assert_eq!(
        fails(&client).await,
        limited(Some(Duration::from_secs(3600)))
    );
    // Unreadable: the own delays.
    proxy.spoil(PORTS, 2, refusal("Wed, 21 Oct 2015 07:28:00 GMT"));
    assert_eq!(fails(&client).await, limited(None));
    // A limit on the login is not a refused password.
    let other = client.with_account(admin_account());
    proxy.spoil("/auth/login", 1, refusal("3600"));
    assert!(matches!(
        fails(&other).await,
        Error::RateLimited {
            call: "auth.login",
            ..
        }
    ));
    other.adapters().ports().await.unwrap();
}

#[tokio::test]
async fn connections_are_used_again() {
    let (proxy, client) = rig(1).await;
    for _ in 0..20 {
        client.adapters().ports().await.unwrap();
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn nobody_there_is_told_from_a_name_that_does_not_exist() {
    let nobody = client(&format!("http://127.0.0.1:{}", free_port()), 1, PATIENT);
    let Error::Unreachable {
        stage: Stage::Connect,
        detail,
        ..
    } = nobody.server().health().await.unwrap_err()
    else {
        panic!()
    };
    assert!(detail.contains("refused"), "{detail}");
    let nowhere = client("http://no-such-host.invalid:1", 1, PATIENT);
    let error = nowhere.server().health().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                stage: Stage::Connect,
                ..
            }
        ),
        "{error}"
    );
    assert!(!error.is_outcome_unknown());
}

#[tokio::test]
async fn settings_out_of_range_are_named_one_by_one() {
    let (_proxy, client) = rig(1).await;
    let patch = NfsSettingsPatch {
        lease_time: Some(Seconds(1)),
        max_version: Some("5".into()),
        ..NfsSettingsPatch::default()
    };
    let error = client
        .adapters()
        .patch_settings::<NfsSettings>(&patch, WriteMode::DryRun)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "adapter_settings.patch: refused with 422: One or more settings are outside valid range \
         (lease_time must be between 10 and 3600; max_version must be one of: [3 4.0 4.1])"
    );
}

/// Whatever proxies put in the way, no markup and no control character gets
/// into a message, and no secret that we sent comes back in one.
#[tokio::test]
async fn texts_of_others_are_cleaned() {
    let (proxy, client) = rig(1).await;
    let nasty = "<script>alert(1)</script>no \x1b[31mentry\u{202e}\r\nfor admin-password-1<br>";
    proxy.spoil(
        "/auth/login",
        1,
        answer("503 Service Unavailable", "text/html", "", nasty),
    );
    let other = client.with_account(admin_account());
    let error = other.adapters().ports().await.unwrap_err();
    assert_eq!(
        error,
        Error::ServerError {
            call: "auth.login",
            status: 503,
            detail: "no [31mentry for ***".into()
        }
    );
    // Tokens in an answer that cannot be understood are not quoted.
    proxy.spoil(
        "/auth/login",
        1,
        Fault::Change(|body| body.replace("\"expires_in\":900", "\"expires_in\":\"eyJhbGci\"")),
    );
    let error = other.adapters().ports().await.unwrap_err();
    assert_eq!(
        error,
        Error::Protocol {
            call: "auth.login",
            detail: "in expires_in: not as expected".into()
        }
    );
}
