//! Health, sessions, users and groups.

use std::{sync::Arc, time::Duration};

use adapter_client::{
    Account, Client, Denial, Error, GroupChange, HealthStatus, NewGroup, NewUser, Refusal, Role,
    UserChange,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    recorder::TestClock,
    rig::{Rig, SECRET, conflict, failed, invalid, not_found, protected},
};

pub(crate) async fn server(rig: &Rig) {
    let live = rig.admin.server().health().await.unwrap();
    assert_eq!(live.status, HealthStatus::Healthy);
    assert_eq!(
        (
            live.data.service.as_str(),
            live.data.control_plane_db.as_str()
        ),
        ("dittofs", "reachable")
    );
    let started = live
        .timestamp
        .duration_since(live.data.started_at)
        .as_secs();
    assert!(
        started.unsigned_abs().abs_diff(live.data.uptime.0) <= 1,
        "{live:?}"
    );
    let ready = rig.admin.server().ready().await.unwrap().data;
    assert_eq!(
        (ready.shares, ready.metadata_stores, ready.adapters.running),
        (0, 0, 2)
    );
    let mut types = ready.adapters.types;
    types.sort();
    assert_eq!(types, ["nfs", "smb"]);
    let grace = ready.grace_period.unwrap();
    assert!(!grace.active && grace.expected_clients == 0);
    // Health is never refused; the wrong method is all that there is.
    for path in ["/health", "/health/ready"] {
        let answer = rig.raw("POST", path, None, &Value::Null).await;
        assert_eq!((answer.status, answer.body.as_str()), (405, ""));
    }
}

/// An account whose clock the test moves.
fn aging(rig: &Rig, name: &str) -> (Client, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let client = Client::builder(&rig.server.url)
        .transport(rig.transport())
        .clock(clock.clone())
        .build()
        .unwrap()
        .with_account(Account::new(name, SECRET));
    (client, clock)
}

pub(crate) async fn auth(rig: &Rig) {
    let me = rig.user.auth().me().await.unwrap();
    assert_eq!(
        (me.username.as_str(), &me.role, me.enabled),
        ("user", &Role::User, true)
    );
    assert!(me.last_login.is_some());
    let admin = rig.admin.auth().me().await.unwrap();
    assert_eq!(
        (admin.role, admin.uid, admin.groups),
        (Role::Admin, Some(0), vec!["admins".to_owned()])
    );

    // Login.
    let login = async |name: &str, password: &str| rig.account(name, password).auth().me().await;
    assert_eq!(
        invalid(login("", "").await),
        "Username and password are required"
    );
    for (name, password) in [("nobody", SECRET), ("user", "wrong-password")] {
        let error = login(name, password).await.unwrap_err();
        assert_eq!(
            error,
            Error::Unauthorized {
                call: "auth.login",
                refusal: Refusal::Password,
                detail: "Invalid username or password".into()
            }
        );
    }
    rig.make_user("off").await;
    rig.make_user("gone").await;
    let (off, off_clock) = aging(rig, "off");
    let (gone, gone_clock) = aging(rig, "gone");
    off.auth().me().await.unwrap();
    gone.auth().me().await.unwrap();
    rig.enable_user("off", false).await;
    rig.admin.users().delete("gone").await.unwrap();
    assert_eq!(
        login("off", SECRET).await.unwrap_err().to_string(),
        "auth.login: forbidden (account disabled; needed: nothing): User account is disabled"
    );

    // Renewal: of an account that is disabled, of one that is gone, and without a token.
    off_clock.advance(Duration::from_secs(900));
    gone_clock.advance(Duration::from_secs(900));
    let error = off.auth().me().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Forbidden {
                call: "auth.refresh",
                denial: Denial::Disabled,
                ..
            }
        ),
        "{error:?}"
    );
    let error = gone.auth().me().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorized {
                call: "auth.login",
                refusal: Refusal::Password,
                ..
            }
        ),
        "{error:?}"
    );
    let refresh = |body| async move {
        rig.raw("POST", "/api/v1/auth/refresh", None, &body)
            .await
            .status
    };
    assert_eq!(refresh(json!({})).await, 400);
    // A token for access does not renew.
    assert_eq!(
        refresh(json!({"refresh_token": rig.token("user").await})).await,
        401
    );
    let (fresh, clock) = aging(rig, "user");
    fresh.auth().me().await.unwrap();
    clock.advance(Duration::from_secs(900));
    fresh.auth().me().await.unwrap();

    // Without a token, and with one of somebody who is gone.
    assert_eq!(
        rig.raw("GET", "/api/v1/auth/me", None, &Value::Null)
            .await
            .status,
        401
    );

    // The own password.
    rig.make_user("changer").await;
    let changer = rig.account("changer", SECRET);
    let set = async |password: String| changer.auth().change_password(password.into()).await;
    assert_eq!(
        set("second-password".into()).await.unwrap().username,
        "changer"
    );
    for password in ["short", "", &"x".repeat(73)] {
        let error = set(password.into()).await.unwrap_err();
        let expected = if password.is_empty() { 400 } else { 500 };
        assert!(
            matches!(error, Error::Invalid { status, .. } | Error::ServerError { status, .. } if status == expected),
            "{error:?}"
        );
    }
    let password = SecretString::from("third-password");
    rig.admin
        .users()
        .set_password("changer", &password)
        .await
        .unwrap();
    let error = set("fourth-password".into()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorized {
                refusal: Refusal::Password,
                ..
            }
        ),
        "{error:?}"
    );
    login("changer", "third-password").await.unwrap();
}

pub(crate) async fn users(rig: &Rig) {
    let new = NewUser {
        uid: Some(4001),
        gid: Some(4002),
        groups: vec!["users".into()],
        display_name: "Eve <b>".into(),
        email: "eve@example.org".into(),
        ..NewUser::new("eve", SECRET)
    };
    let eve = rig
        .ask(async |c| c.users().create(&new).await)
        .await
        .unwrap();
    assert_eq!(
        (eve.username.as_str(), &eve.role, eve.uid, eve.gid),
        ("eve", &Role::User, Some(4001), Some(4002))
    );
    assert_eq!(
        (eve.display_name.as_str(), eve.email.as_str()),
        ("Eve <b>", "eve@example.org")
    );
    assert!(eve.enabled && !eve.must_change_password && eve.last_login.is_none());
    let same_uid = NewUser {
        uid: Some(4001),
        ..NewUser::new("other", SECRET)
    };
    for taken in [&new, &same_uid] {
        assert_eq!(
            conflict(rig.admin.users().create(taken).await),
            "User already exists"
        );
    }
    let stranger = NewUser {
        groups: vec!["nothing".into()],
        ..NewUser::new("s", SECRET)
    };
    assert_eq!(
        invalid(rig.admin.users().create(&stranger).await),
        "One or more specified groups do not exist"
    );
    assert_eq!(
        failed(rig.admin.users().create(&NewUser::new("s", "short")).await),
        "Failed to hash password"
    );
    invalid(rig.admin.users().create(&NewUser::new("", SECRET)).await);

    // One's own account, and nobody else's.
    assert_eq!(rig.user.users().get("user").await.unwrap().username, "user");
    let error = rig.operator.users().get("eve").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "users.get: forbidden (role too low; needed: the account itself or role admin): Access denied"
    );
    assert_eq!(
        rig.admin.users().get("eve").await.unwrap().groups,
        ["users"]
    );
    not_found(rig.admin.users().get("nobody").await);
    let all = rig.ask(async |c| c.users().list().await).await.unwrap();
    let mut names: Vec<_> = all.iter().map(|user| user.username.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["admin", "eve", "operator", "user"]);

    let change = UserChange {
        role: Some(Role::Admin),
        groups: Some(Vec::new()),
        uid: Some(4003),
        display_name: Some(String::new()),
        enabled: Some(false),
        ..UserChange::default()
    };
    let eve = rig
        .ask(async |c| c.users().update("eve", &change).await)
        .await
        .unwrap();
    assert_eq!(
        (eve.role, eve.uid, eve.enabled, eve.groups.len()),
        (Role::Admin, Some(4003), false, 0)
    );
    assert!(
        !eve.must_change_password,
        "a role given later burdens nobody"
    );
    not_found(rig.admin.users().update("nobody", &change).await);
    let taken = UserChange {
        uid: Some(0),
        ..UserChange::default()
    };
    failed(rig.admin.users().update("eve", &taken).await);
    let unknown = UserChange {
        role: Some(Role::Other("root".into())),
        ..UserChange::default()
    };
    invalid(rig.admin.users().update("eve", &unknown).await);

    let password = SecretString::from("second-password");
    rig.ask(async |c| c.users().set_password("eve", &password).await)
        .await
        .unwrap();
    assert!(
        rig.admin
            .users()
            .get("eve")
            .await
            .unwrap()
            .must_change_password
    );
    not_found(rig.admin.users().set_password("nobody", &password).await);
    failed(
        rig.admin
            .users()
            .set_password("eve", &SecretString::from("short"))
            .await,
    );
    invalid(
        rig.admin
            .users()
            .set_password("eve", &SecretString::from(""))
            .await,
    );

    rig.ask(async |c| c.users().delete("eve").await)
        .await
        .unwrap();
    not_found(rig.admin.users().delete("eve").await);
    assert_eq!(
        protected(rig.admin.users().delete("admin").await),
        "Cannot delete admin user"
    );
}

pub(crate) async fn groups(rig: &Rig) {
    let new = NewGroup {
        name: "staff".into(),
        gid: Some(5001),
        description: "all".into(),
    };
    let staff = rig
        .ask(async |c| c.groups().create(&new).await)
        .await
        .unwrap();
    assert_eq!(
        (staff.name.as_str(), staff.gid, staff.description.as_str()),
        ("staff", Some(5001), "all")
    );
    assert!(staff.members.is_empty());
    conflict(rig.admin.groups().create(&new).await);
    let same_gid = NewGroup {
        name: "other".into(),
        ..new.clone()
    };
    conflict(rig.admin.groups().create(&same_gid).await);
    assert_eq!(
        invalid(rig.admin.groups().create(&NewGroup::default()).await),
        "Group name is required"
    );
    let plain = NewGroup {
        name: "plain".into(),
        ..NewGroup::default()
    };
    assert_eq!(rig.admin.groups().create(&plain).await.unwrap().gid, None);

    rig.ask(async |c| c.groups().add_member("staff", "user").await)
        .await
        .unwrap();
    rig.admin
        .groups()
        .add_member("staff", "user")
        .await
        .unwrap();
    not_found(rig.admin.groups().add_member("staff", "nobody").await);
    not_found(rig.admin.groups().add_member("nothing", "user").await);
    invalid(rig.admin.groups().add_member("staff", "").await);
    let members = rig
        .ask(async |c| c.groups().members("staff").await)
        .await
        .unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(
        (members[0].username.as_str(), &members[0].role),
        ("user", &Role::User)
    );
    not_found(rig.admin.groups().members("nothing").await);
    assert_eq!(
        rig.admin.users().get("user").await.unwrap().groups,
        ["staff"]
    );

    let change = GroupChange {
        gid: Some(5002),
        description: Some("few".into()),
    };
    let staff = rig
        .ask(async |c| c.groups().update("staff", &change).await)
        .await
        .unwrap();
    assert_eq!((staff.gid, staff.description.as_str()), (Some(5002), "few"));
    not_found(rig.admin.groups().update("nothing", &change).await);
    let staff = rig
        .ask(async |c| c.groups().get("staff").await)
        .await
        .unwrap();
    assert_eq!(
        (staff.members.as_slice(), staff.gid),
        (["user".to_owned()].as_slice(), Some(5002))
    );
    not_found(rig.admin.groups().get("nothing").await);
    let all = rig.ask(async |c| c.groups().list().await).await.unwrap();
    let gid = |name: &str| all.iter().find(|group| group.name == name).unwrap().gid;
    assert_eq!(
        (gid("admins"), gid("operators"), gid("users"), gid("plain")),
        (Some(0), Some(999), Some(1000), None)
    );

    rig.ask(async |c| c.groups().remove_member("staff", "user").await)
        .await
        .unwrap();
    // Not a member any more, and no such group: both count as done. No such user does not.
    rig.admin
        .groups()
        .remove_member("staff", "user")
        .await
        .unwrap();
    rig.admin
        .groups()
        .remove_member("nothing", "user")
        .await
        .unwrap();
    not_found(rig.admin.groups().remove_member("staff", "nobody").await);
    assert!(
        rig.admin
            .groups()
            .members("staff")
            .await
            .unwrap()
            .is_empty()
    );

    rig.ask(async |c| c.groups().delete("staff").await)
        .await
        .unwrap();
    not_found(rig.admin.groups().delete("staff").await);
    assert_eq!(
        protected(rig.admin.groups().delete("admins").await),
        "Cannot delete system group"
    );
}
