//! Login, renewal, refusal: against the real server, with a clock that the test moves.

use std::{sync::Arc, time::Duration};

use adapter_client::{
    Account, Client, Clock, Denial, Error, Limits, NewGroup, NewUser, Refusal, Role, Stage,
    Timeouts, UserChange,
};
use secrecy::SecretString;

use crate::{
    dfs::{self, Dfs, PASSWORD, PATIENT, admin_account, shared},
    proxy::{Fault, Proxy, answer},
    recorder::{Recorder, TestClock},
};

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const PORTS: &str = "/api/v1/adapters/ports";

/// The server's life of a token.
const LIFE: Duration = Duration::from_secs(900);

struct Rig {
    client: Client,
    seen: Arc<Recorder>,
    clock: Arc<TestClock>,
}

fn rig(url: &str, account: Account) -> Rig {
    let seen = Recorder::new();
    let clock = Arc::new(TestClock::default());
    let client = Client::builder(url)
        .transport(seen.clone())
        .clock(clock.clone())
        .jitter(Arc::new(|| 0.5))
        // Requests are counted here: one that is given up and repeated would be one more.
        .timeouts(PATIENT)
        .build()
        .unwrap()
        .with_account(account);
    Rig {
        client,
        seen,
        clock,
    }
}

impl Rig {
    async fn ask(&self) -> Result<usize, Error> {
        self.client
            .adapters()
            .ports()
            .await
            .map(|ports| ports.len())
    }

    /// Fifty callers at once; the errors among their answers.
    async fn storm(&self) -> Vec<Error> {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let client = self.client.clone();
            tasks.spawn(async move { client.adapters().ports().await });
        }
        let results = tasks.join_all().await;
        assert_eq!(results.len(), 50);
        results.into_iter().filter_map(Result::err).collect()
    }
}

/// A user of its own for one test, in the shared server.
async fn user(server: &Dfs, name: &str) -> Account {
    let account = Account::new(name, "first-password");
    let new = NewUser::new(name, "first-password");
    server.admin().users().create(&new).await.unwrap();
    account
}

#[tokio::test]
async fn many_callers_log_in_once() {
    let rig = rig(&shared().await.url, admin_account());
    assert_eq!(rig.storm().await, []);
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (1, 0));
    assert_eq!(rig.seen.count(PORTS), 50);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_without_the_password() {
    let rig = rig(&shared().await.url, admin_account());
    rig.ask().await.unwrap();
    rig.clock
        .advance(LIFE.mul_f64(0.8) - Duration::from_secs(1));
    rig.ask().await.unwrap();
    assert_eq!(rig.seen.count(REFRESH), 0, "not yet due");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(rig.storm().await, []);
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (1, 1));
    // The new token has a whole life of its own.
    rig.clock
        .advance(LIFE.mul_f64(0.8) - Duration::from_secs(1));
    rig.ask().await.unwrap();
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (1, 1));
}

#[tokio::test]
async fn at_the_edge_of_its_life_a_token_is_not_used() {
    let rig = rig(&shared().await.url, admin_account());
    rig.ask().await.unwrap();
    rig.clock.advance(LIFE);
    assert_eq!(rig.storm().await, []);
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (1, 1));
    assert!(
        rig.seen.all().iter().all(|seen| seen.status == 200),
        "nobody used the old one"
    );
}

#[tokio::test]
async fn a_valid_token_outlives_a_renewal_that_fails() {
    let proxy = Proxy::before(shared().await.address()).await;
    let rig = rig(&proxy.url, admin_account());
    rig.ask().await.unwrap();
    rig.clock.advance(LIFE.mul_f64(0.8));
    proxy.spoil(
        REFRESH,
        3,
        answer("500 Internal Server Error", "text/plain", "", "database"),
    );
    rig.ask().await.unwrap();
    rig.ask().await.unwrap();
    assert_eq!(
        rig.seen.count(REFRESH),
        1,
        "one attempt, then not at every call"
    );
    rig.clock.advance(Duration::from_secs(10));
    rig.ask().await.unwrap();
    assert_eq!(rig.seen.count(REFRESH), 2);
    // Without a valid token the failure is the answer.
    rig.clock.advance(LIFE);
    let error = rig.ask().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::ServerError {
                call: "auth.refresh",
                status: 500,
                ..
            }
        ),
        "{error}"
    );
    rig.ask().await.unwrap();
}

#[tokio::test]
async fn fifty_refused_tokens_cost_one_renewal() {
    let proxy = Proxy::before(shared().await.address()).await;
    let rig = rig(&proxy.url, admin_account());
    rig.ask().await.unwrap();
    proxy.spoil(
        PORTS,
        50,
        answer(
            "401 Unauthorized",
            "text/plain",
            "",
            "Invalid or expired token\n",
        ),
    );
    assert_eq!(rig.storm().await, []);
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (1, 1));
    assert_eq!(rig.seen.count(PORTS), 101);
}

/// A restart with another signing secret makes all tokens foreign; the real
/// server says so.
#[tokio::test]
async fn after_another_signing_secret_fifty_callers_log_in_once() {
    let mut server = Dfs::start().await;
    let rig = rig(&server.url, admin_account());
    rig.ask().await.unwrap();
    server.restart_with_secret("t").await;
    assert_eq!(rig.storm().await, []);
    assert_eq!((rig.seen.count(LOGIN), rig.seen.count(REFRESH)), (2, 1));
}

#[tokio::test]
async fn a_new_token_that_is_refused_again_ends_the_call() {
    let proxy = Proxy::before(shared().await.address()).await;
    let rig = rig(&proxy.url, admin_account());
    proxy.spoil(
        PORTS,
        4,
        answer("401 Unauthorized", "text/plain", "", "<b>no</b>\x07"),
    );
    for expected in [2, 4] {
        let error = rig.ask().await.unwrap_err();
        assert_eq!(
            error,
            Error::Unauthorized {
                call: "adapters.ports",
                refusal: Refusal::Token,
                detail: "no".into()
            }
        );
        assert_eq!(rig.seen.count(PORTS), expected);
    }
    assert_eq!(rig.seen.count(LOGIN), 1, "the password was good");
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again_until_it_changes() {
    let server = shared().await;
    let rig = rig(&server.url, Account::new("admin", "wrong-password"));
    let errors = rig.storm().await;
    assert_eq!(errors.len(), 50);
    for error in errors {
        assert_eq!(
            error,
            Error::Unauthorized {
                call: "auth.login",
                refusal: Refusal::Password,
                detail: "Invalid username or password".into()
            }
        );
    }
    rig.clock.advance(Duration::from_secs(86_400));
    rig.ask().await.unwrap_err();
    rig.client
        .set_account(Account::new("admin", "wrong-password"));
    rig.ask().await.unwrap_err();
    assert_eq!(rig.seen.all().len(), 1, "one login and nothing else");
    rig.client.forget_refusal();
    rig.ask().await.unwrap_err();
    assert_eq!(rig.seen.count(LOGIN), 2);
    rig.client.set_account(admin_account());
    rig.ask().await.unwrap();
    assert_eq!(rig.client.user().unwrap().role, Role::Admin);
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_once_by_fifty_callers() {
    let port = dfs::free_port();
    let rig = rig(&format!("http://127.0.0.1:{port}"), admin_account());
    let errors = rig.storm().await;
    assert_eq!(errors.len(), 50);
    for error in errors {
        assert!(
            matches!(
                error,
                Error::Unreachable {
                    call: "auth.login",
                    stage: Stage::Connect,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(rig.seen.count(LOGIN), 3, "one login with its repetitions");
}

#[tokio::test]
async fn a_disabled_account_is_forbidden_and_comes_back() {
    let server = shared().await;
    let rig = rig(&server.url, user(server, "disabled").await);
    rig.ask().await.unwrap();
    let enabled = |enabled| UserChange {
        enabled: Some(enabled),
        ..UserChange::default()
    };
    let admin = server.admin();
    admin
        .users()
        .update("disabled", &enabled(false))
        .await
        .unwrap();
    // Its token is good until it is renewed.
    rig.ask().await.unwrap();
    rig.clock.advance(LIFE.mul_f64(0.8));
    for _ in 0..2 {
        let error = rig.ask().await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Forbidden {
                    denial: Denial::Disabled,
                    ..
                }
            ),
            "{error}"
        );
    }
    admin
        .users()
        .update("disabled", &enabled(true))
        .await
        .unwrap();
    rig.ask().await.unwrap();
}

#[tokio::test]
async fn accounts_share_connections_and_nothing_else() {
    let server = shared().await;
    let rig = rig(&server.url, admin_account());
    let other = rig.client.with_account(user(server, "second").await);
    rig.ask().await.unwrap();
    let error = other.adapters().list().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "adapters.list: forbidden (role too low; needed: role operator or admin): \
         Insufficient permissions"
    );
    assert_eq!(other.user().unwrap().username, "second");
    assert_eq!(rig.client.adapters().list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_account_that_must_change_its_password_can_do_that_and_goes_on() {
    let server = shared().await;
    let admin = server.admin();
    let new = NewUser {
        role: Role::Admin,
        ..NewUser::new("burnt", "first-password")
    };
    assert!(
        admin
            .users()
            .create(&new)
            .await
            .unwrap()
            .must_change_password
    );
    let rig = rig(&server.url, Account::new("burnt", "first-password"));
    let error = rig.ask().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Forbidden {
                denial: Denial::MustChangePassword,
                ..
            }
        ),
        "{error}"
    );
    let user = rig
        .client
        .auth()
        .change_password(SecretString::from("second-password"))
        .await
        .unwrap();
    assert!(!user.must_change_password);
    rig.ask().await.unwrap();
    // The session knows the new password, not only the new token.
    rig.client
        .auth()
        .change_password(SecretString::from("third-password"))
        .await
        .unwrap();
    rig.ask().await.unwrap();
    assert_eq!(rig.seen.count(LOGIN), 1);
    let stale = server
        .client()
        .with_account(Account::new("burnt", "second-password"));
    assert!(matches!(
        stale.auth().me().await,
        Err(Error::Unauthorized {
            refusal: Refusal::Password,
            ..
        })
    ));
}

#[tokio::test]
async fn a_password_that_someone_changed_is_noticed_when_it_is_needed() {
    let server = shared().await;
    let rig = rig(&server.url, user(server, "rotated").await);
    rig.ask().await.unwrap();
    server
        .admin()
        .users()
        .set_password("rotated", &SecretString::from("another-one"))
        .await
        .unwrap();
    // Tokens and refresh tokens outlive the password.
    rig.clock.advance(LIFE);
    rig.ask().await.unwrap();
    let error = rig
        .client
        .auth()
        .change_password(SecretString::from("x".repeat(10)))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorized {
                refusal: Refusal::Password,
                ..
            }
        ),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("first-password"));
    rig.client
        .set_account(Account::new("rotated", "another-one"));
    rig.ask().await.unwrap();
    assert_eq!(rig.seen.count(LOGIN), 2);
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_secret() {
    let rig = rig(&shared().await.url, admin_account());
    rig.ask().await.unwrap();
    let printed = format!(
        "{:?} {:?} {:?}",
        rig.client,
        admin_account(),
        NewUser::new("a", PASSWORD)
    );
    assert!(
        !printed.contains(PASSWORD) && !printed.contains("eyJ"),
        "{printed}"
    );
}

#[tokio::test]
async fn calls_that_need_an_account_send_nothing_without_one() {
    let client = Client::builder("http://127.0.0.1:1").build().unwrap();
    assert!(matches!(
        client.adapters().list().await,
        Err(Error::Unauthorized {
            refusal: Refusal::NoAccount,
            ..
        })
    ));
}

/// The delay that the server asks for passes on the client's own clock, also for a call that is
/// never repeated otherwise: 429 says that it was not carried out.
#[tokio::test]
async fn the_servers_wish_to_wait_is_kept_by_the_clock() {
    let proxy = Proxy::before(shared().await.address()).await;
    let rig = rig(&proxy.url, admin_account());
    rig.ask().await.unwrap();
    let limited = |seconds| {
        answer(
            "429 Too Many Requests",
            "text/plain",
            &format!("Retry-After: {seconds}\r\n"),
            "",
        )
    };
    proxy.spoil("/groups", 1, limited(4));
    let group = NewGroup {
        name: "made-later".into(),
        ..NewGroup::default()
    };
    let before = rig.clock.now();
    rig.client.groups().create(&group).await.unwrap();
    assert_eq!(rig.clock.now() - before, Duration::from_secs(4));
    assert_eq!(rig.seen.count("/api/v1/groups"), 2);
    rig.client.groups().delete("made-later").await.unwrap();
    // Longer than a call may take at all: the caller decides, and nothing is waited for.
    proxy.spoil("/groups", 1, limited(3600));
    let before = rig.clock.now();
    let error = rig.client.groups().list().await.unwrap_err();
    assert!(
        matches!(error, Error::RateLimited { retry_after: Some(after), .. } if after.as_secs() == 3600),
        "{error}"
    );
    assert_eq!(rig.clock.now(), before);
}

/// Each class of calls has the time that belongs to it, from the first byte to the last.
#[tokio::test]
async fn every_class_of_calls_has_its_own_time() {
    let server = shared().await;
    let seen = Recorder::new();
    let timeouts = Timeouts {
        quick: Duration::from_secs(21),
        slow: Duration::from_secs(22),
        restore: Duration::from_secs(23),
        drain: Duration::from_secs(24),
        ..Timeouts::default()
    };
    let client = Client::builder(&server.url)
        .transport(seen.clone())
        .clock(Arc::new(TestClock::default()))
        .timeouts(timeouts)
        .longest_answer(4321)
        .build()
        .unwrap()
        .with_account(admin_account());
    client.adapters().ports().await.unwrap();
    client.metadata_stores().list().await.unwrap();
    client
        .snapshots()
        .restore("nothing", "x", true)
        .await
        .unwrap_err();
    client.system().drain_uploads().await.unwrap();
    let limits = |seconds| Limits {
        total: Duration::from_secs(seconds),
        body: 4321,
    };
    // The login has its own.
    assert_eq!(seen.limits(), [21, 21, 22, 23, 24].map(limits));
}

/// Whoever renews may go away in the middle of it; those who wait do it again.
#[tokio::test]
async fn a_caller_who_goes_away_while_it_logs_in_holds_nobody_up() {
    let proxy = Proxy::before(shared().await.address()).await;
    let rig = rig(&proxy.url, admin_account());
    proxy.spoil(LOGIN, 1, Fault::Delay(Duration::from_secs(3600)));
    let client = rig.client.clone();
    let first = tokio::spawn(async move { client.adapters().ports().await });
    while proxy.left() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = rig.client.clone();
    let second = tokio::spawn(async move { client.adapters().ports().await });
    first.abort();
    assert_eq!(second.await.unwrap().unwrap().len(), 2);
}

/// Tokens that were asked for with the account before are not used for the one after.
#[tokio::test]
async fn an_account_that_changes_during_a_login_wins() {
    let server = shared().await;
    let proxy = Proxy::before(server.address()).await;
    let rig = rig(&proxy.url, admin_account());
    let successor = user(server, "successor").await;
    proxy.spoil(LOGIN, 1, Fault::Delay(Duration::from_secs(1)));
    let client = rig.client.clone();
    let call = tokio::spawn(async move { client.adapters().list().await });
    while proxy.left() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.client.set_account(successor);
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            Error::Forbidden {
                denial: Denial::Role,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(rig.client.user().unwrap().username, "successor");
    assert_eq!(rig.seen.count(LOGIN), 2);
}
