//! Snapshots, their policies, and the way back.

use std::time::Duration;

use adapter_client::{GoDuration, NewSnapshot, PolicyRules, Snapshot, SnapshotState};

use crate::{
    rig::{Rig, conflict, invalid, not_found},
    stores::{self, Kind},
};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn named(name: &str) -> NewSnapshot {
    NewSnapshot {
        name: name.into(),
        ..NewSnapshot::default()
    }
}

async fn ready(rig: &Rig, share: &str, id: &str) -> Snapshot {
    let snapshot = stores::until("the snapshot is ready", async || {
        let snapshot = rig
            .ask(async |c| c.snapshots().get(share, id).await)
            .await
            .unwrap();
        (snapshot.state != SnapshotState::Creating).then_some(snapshot)
    })
    .await;
    assert_eq!(snapshot.state, SnapshotState::Ready, "{snapshot:?}");
    snapshot
}

async fn put_file(rig: &Rig, name: &str) {
    let file = rig.server.folder.join("file");
    std::fs::write(&file, name.repeat(1000)).unwrap();
    stores::nfs_copy(rig, &file, &format!("/export/{name}")).await;
}

pub(crate) async fn snapshots(rig: &Rig) {
    let admin = rig.admin.snapshots();
    stores::share(rig, "export", Kind::Disk).await;
    put_file(rig, "before").await;
    assert_eq!(
        rig.ask(async |c| c.snapshots().list("export").await)
            .await
            .unwrap(),
        []
    );
    let started = rig
        .ask(async |c| c.snapshots().create("export", &named("first")).await)
        .await
        .unwrap();
    assert_eq!(started.share, "/export");
    let first = ready(rig, "export", &started.snapshot_id).await;
    assert_eq!(
        (first.name.as_str(), first.share.as_str(), first.scheduled),
        ("first", "/export", false)
    );
    assert!(!first.remote_durable && first.dump_bytes > 0, "{first:?}");
    assert_eq!(first.error, "");
    put_file(rig, "after").await;

    not_found(admin.create("nothing", &named("x")).await);
    let retry = |id: &str| NewSnapshot {
        retry_of: Some(id.into()),
        ..NewSnapshot::default()
    };
    not_found(admin.create("export", &retry(NOBODY)).await);
    assert_eq!(
        conflict(admin.create("export", &retry(&first.id)).await),
        "retry target is not in failed state"
    );
    stores::share(rig, "volatile", Kind::Memory).await;
    assert_eq!(
        invalid(admin.create("volatile", &named("x")).await),
        "snapshots require an fs-backed local store"
    );
    not_found(admin.get("export", NOBODY).await);
    assert_eq!(admin.list("nothing").await.unwrap(), []);

    // Each condition of a restore, then the restore.
    let shares = rig.admin.shares();
    assert_eq!(
        conflict(
            rig.ask(async |c| c.snapshots().restore("export", &first.id, true).await)
                .await
        ),
        "share is enabled; disable before restore"
    );
    shares.disable("export").await.unwrap();
    not_found(admin.restore("export", NOBODY, true).await);
    let error = admin.restore("export", &first.id, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "snapshots.restore: refused until a precondition holds: \
         snapshot not remotely durable; pass allow_non_durable=true to force"
    );
    let restored = admin.restore("export", &first.id, true).await.unwrap();
    assert_eq!(
        (restored.snapshot_id.as_str(), restored.share.as_str()),
        (first.id.as_str(), "/export")
    );
    let safety = restored.safety_snapshot_id.unwrap();
    assert!(
        !shares.get("export").await.unwrap().enabled,
        "it stays disabled"
    );
    shares.enable("export").await.unwrap();
    stores::smb(rig, "export", "get before /dev/null").await;
    let all = rig
        .ask(async |c| c.snapshots().list("export").await)
        .await
        .unwrap();
    let ids: Vec<_> = all.iter().map(|snapshot| snapshot.id.as_str()).collect();
    assert_eq!(ids, [safety.as_str(), first.id.as_str()], "newest first");
    assert_eq!((all[0].name.as_str(), all[1].dump_bytes), ("", 0));

    rig.ask(async |c| c.snapshots().delete("export", &first.id).await)
        .await
        .unwrap();
    not_found(admin.delete("export", &first.id).await);

    // With a remote store, and every block found there.
    stores::share(rig, "far", Kind::Remote).await;
    let started = admin.create("far", &NewSnapshot::default()).await.unwrap();
    assert!(ready(rig, "far", &started.snapshot_id).await.remote_durable);
    let unverified = NewSnapshot {
        no_verify: true,
        ..NewSnapshot::default()
    };
    let started = admin.create("far", &unverified).await.unwrap();
    assert!(!ready(rig, "far", &started.snapshot_id).await.remote_durable);
}

pub(crate) async fn snapshot_policies(rig: &Rig) {
    let admin = rig.admin.snapshot_policies();
    stores::share(rig, "export", Kind::Disk).await;
    not_found(admin.get("export").await);
    not_found(admin.run("export").await);
    assert_eq!(
        rig.ask(async |c| c.snapshot_policies().list().await)
            .await
            .unwrap(),
        []
    );
    let rules = PolicyRules {
        interval: GoDuration(Duration::from_secs(86_400)),
        keep_last: 3,
        ttl: Some(GoDuration(Duration::from_secs(7 * 86_400))),
        enabled: false,
        name_prefix: "nightly".into(),
    };
    let policy = rig
        .ask(async |c| c.snapshot_policies().put("export", &rules).await)
        .await
        .unwrap();
    assert_eq!((policy.share.as_str(), policy.enabled), ("/export", false));
    assert_eq!(
        (policy.interval, policy.keep_last, policy.ttl),
        (rules.interval, 3, rules.ttl)
    );
    assert_eq!(
        (policy.name_prefix.as_str(), policy.last_run_at),
        ("nightly", None)
    );
    assert_eq!(
        rig.ask(async |c| c.snapshot_policies().get("export").await)
            .await
            .unwrap(),
        policy
    );
    not_found(admin.put("nothing", &rules).await);
    for bad in [
        PolicyRules {
            interval: GoDuration(Duration::ZERO),
            ..rules.clone()
        },
        PolicyRules {
            name_prefix: "a b".into(),
            ..rules.clone()
        },
    ] {
        assert!(invalid(admin.put("export", &bad).await).starts_with("invalid"));
    }

    let started = rig
        .ask(async |c| c.snapshot_policies().run("export").await)
        .await
        .unwrap();
    let snapshot = ready(rig, "export", &started.snapshot_id).await;
    assert!(
        snapshot.scheduled && snapshot.name.starts_with("nightly"),
        "{snapshot:?}"
    );
    let replaced = PolicyRules {
        ttl: None,
        enabled: true,
        name_prefix: String::new(),
        keep_last: 0,
        ..rules
    };
    let policy = admin.put("export", &replaced).await.unwrap();
    assert!(policy.enabled && policy.last_run_at.is_some(), "{policy:?}");
    assert_eq!(
        (policy.ttl, policy.name_prefix.as_str(), policy.keep_last),
        (None, "", 0)
    );
    assert_eq!(admin.list().await.unwrap(), [policy]);

    rig.ask(async |c| c.snapshot_policies().delete("export").await)
        .await
        .unwrap();
    not_found(admin.delete("export").await);
}
