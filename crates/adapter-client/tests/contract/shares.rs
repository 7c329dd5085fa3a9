//! Shares on real stores.

use std::time::Duration;

use adapter_client::{
    BlockStoreConfig, ByteSize, FsConfig, GoDuration, HealthStatus, MetadataStoreConfig, NewShare,
    NewUser, PermissionLevel, RetentionPolicy, ShareChange, ShareOptions, Tier,
};
use serde_json::Value;

use crate::{
    rig::{Rig, SECRET, conflict, invalid, not_found},
    stores::{self, Kind},
};

/// Every option away from its default.
fn options() -> ShareOptions {
    ShareOptions {
        read_only: Some(true),
        encrypt_data: Some(true),
        default_permission: Some(PermissionLevel::Read),
        blocked_operations: Some(vec!["REMOVE".into()]),
        retention_policy: Some(RetentionPolicy::Ttl),
        retention_ttl: Some(GoDuration(Duration::from_secs(36 * 3600))),
        local_store_size: Some(ByteSize(10_000_000_000)),
        read_buffer_size: Some(ByteSize(64 << 20)),
        quota_bytes: Some(ByteSize(3 << 19)),
        acl_flag_inherited_canonicalization: Some(false),
        access_based_enumeration: Some(true),
        change_notify_disabled: Some(true),
        streams_disabled: Some(true),
        continuous_availability: Some(true),
        allow_mfsymlink: Some(true),
        trash_enabled: Some(true),
        trash_retention_days: Some(7),
        trash_restrict_to_admin: Some(true),
        trash_max_bytes: Some(1 << 30),
        trash_exclude_patterns: Some(vec!["*.tmp".into()]),
    }
}

pub(crate) async fn shares(rig: &Rig) {
    let admin = rig.admin.shares();
    let simple = stores::share(rig, "simple", Kind::Disk).await;
    assert_eq!(
        (simple.name.as_str(), simple.enabled, simple.read_only),
        ("/simple", true, false)
    );
    assert_eq!(simple.retention_policy, RetentionPolicy::Lru);
    assert!(simple.quota_bytes.is_none() && simple.remote_block_store_id.is_none());
    assert!(simple.acl_flag_inherited_canonicalization && !simple.trash_enabled);

    // Every option arrives, and comes back in its type.
    rig.admin
        .users()
        .create(&NewUser {
            uid: Some(4001),
            ..NewUser::new("owner", SECRET)
        })
        .await
        .unwrap();
    let metadata = MetadataStoreConfig::Memory {};
    rig.admin
        .metadata_stores()
        .create("team", &metadata)
        .await
        .unwrap();
    let remote = BlockStoreConfig::Memory { tier: Tier::Remote };
    rig.admin
        .block_stores()
        .create("far", &remote)
        .await
        .unwrap();
    let new = NewShare {
        name: "/team/data å".into(),
        metadata_store: "team".into(),
        local_block_store: "simple".into(),
        remote_block_store: Some("far".into()),
        owner: Some("owner".into()),
        options: options(),
    };
    let made = rig
        .ask(async |c| c.shares().create(&new).await)
        .await
        .unwrap();
    let name = "team/data å";
    let share = rig.ask(async |c| c.shares().get(name).await).await.unwrap();
    assert_eq!((&share.name, &share.id), (&new.name, &made.id));
    assert_eq!((share.owner_uid, share.owner_gid), (Some(4001), Some(4001)));
    assert_eq!(share.default_permission, PermissionLevel::Read);
    assert_eq!(share.blocked_operations, ["REMOVE"]);
    assert_eq!(share.retention_policy, RetentionPolicy::Ttl);
    assert_eq!(share.retention_ttl, options().retention_ttl);
    assert!(
        share
            .local_store_size
            .unwrap()
            .stands_for(ByteSize(10_000_000_000))
    );
    assert!(
        share
            .read_buffer_size
            .unwrap()
            .stands_for(ByteSize(64 << 20))
    );
    assert!(share.quota_bytes.unwrap().stands_for(ByteSize(3 << 19)));
    assert!(!share.acl_flag_inherited_canonicalization);
    for switch in [
        share.read_only,
        share.encrypt_data,
        share.access_based_enumeration,
        share.change_notify_disabled,
        share.streams_disabled,
        share.continuous_availability,
        share.allow_mfsymlink,
        share.trash_enabled,
        share.trash_restrict_to_admin,
    ] {
        assert!(switch, "{share:?}");
    }
    assert_eq!(
        (share.trash_retention_days, share.trash_max_bytes),
        (7, 1 << 30)
    );
    assert_eq!(share.trash_exclude_patterns, ["*.tmp"]);
    assert_eq!((share.used_bytes, share.usage_percent), (0, 0.0));
    assert!(share.remote_block_store_id.is_some());

    conflict(admin.create(&new).await);
    let with = |change: fn(&mut NewShare)| {
        let mut other = NewShare {
            name: "other".into(),
            owner: None,
            ..new.clone()
        };
        change(&mut other);
        other
    };
    for bad in [
        with(|share| share.metadata_store = "nothing".into()),
        with(|share| share.local_block_store = "nothing".into()),
        with(|share| share.local_block_store = "far".into()),
        with(|share| share.remote_block_store = Some("nothing".into())),
        with(|share| share.owner = Some("nobody".into())),
        with(|share| share.owner = Some("user".into())),
        with(|share| share.options.default_permission = Some(PermissionLevel::Other("all".into()))),
        with(|share| share.options.blocked_operations = Some(vec!["FLY".into()])),
        with(|share| share.options.retention_policy = Some(RetentionPolicy::Other("x".into()))),
        with(|share| share.options.retention_ttl = None),
    ] {
        assert!(!invalid(admin.create(&bad).await).is_empty());
    }
    for root in ["/", "", "//"] {
        assert_eq!(
            invalid(
                admin
                    .create(&NewShare {
                        name: root.into(),
                        ..new.clone()
                    })
                    .await
            ),
            "a share must not be called /"
        );
    }
    assert_eq!(
        rig.raw_admin("GET", "/api/v1/shares/%2F", Value::Null)
            .await,
        400
    );
    not_found(admin.get("nothing").await);
    not_found(admin.get("team").await);

    // Made and not served: only the status tells.
    let broken = NewShare {
        name: "a:b".into(),
        options: ShareOptions::default(),
        ..new.clone()
    };
    let broken = admin.create(&broken).await.unwrap();
    assert_eq!(broken.status.status, HealthStatus::Unknown);
    assert_eq!(
        admin.status("a:b").await.unwrap().status,
        HealthStatus::Unknown
    );
    not_found(admin.enable("a:b").await);
    admin.delete("a:b").await.unwrap();

    let all = rig.ask(async |c| c.shares().list().await).await.unwrap();
    let mut names: Vec<_> = all.iter().map(|share| share.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["/simple", "/team/data å"]);
    let status = rig
        .ask(async |c| c.shares().status("simple").await)
        .await
        .unwrap();
    assert_eq!(status.status, HealthStatus::Healthy);
    not_found(admin.status("nothing").await);

    let disabled = rig
        .ask(async |c| c.shares().disable("simple").await)
        .await
        .unwrap();
    assert!(!disabled.enabled);
    assert!(!admin.disable("/simple").await.unwrap().enabled, "again");
    assert!(
        rig.ask(async |c| c.shares().enable("simple").await)
            .await
            .unwrap()
            .enabled
    );
    not_found(admin.enable("nothing").await);
    not_found(admin.disable("nothing").await);

    // Away and back again; what is not named stays.
    let change = ShareChange {
        remote_block_store: Some(String::new()),
        options: ShareOptions {
            read_only: Some(false),
            quota_bytes: Some(ByteSize(0)),
            retention_policy: Some(RetentionPolicy::Pin),
            trash_enabled: Some(false),
            trash_exclude_patterns: Some(Vec::new()),
            ..ShareOptions::default()
        },
        ..ShareChange::default()
    };
    let changed = rig
        .ask(async |c| c.shares().update(name, &change).await)
        .await
        .unwrap();
    assert!(!changed.read_only && !changed.trash_enabled && changed.quota_bytes.is_none());
    assert!(changed.trash_exclude_patterns.is_empty() && changed.remote_block_store_id.is_none());
    assert_eq!(changed.retention_policy, RetentionPolicy::Pin);
    assert_eq!(
        (changed.default_permission, changed.warnings.len()),
        (PermissionLevel::Read, 0)
    );
    assert!(changed.encrypt_data && changed.updated_at > share.updated_at);
    let elsewhere = FsConfig {
        path: rig.server.folder.join("elsewhere").display().to_string(),
        ..FsConfig::default()
    };
    let elsewhere = rig
        .admin
        .block_stores()
        .create("elsewhere", &BlockStoreConfig::Fs(elsewhere))
        .await
        .unwrap();
    let rebind = ShareChange {
        local_block_store: Some("elsewhere".into()),
        ..ShareChange::default()
    };
    assert_eq!(
        admin
            .update(name, &rebind)
            .await
            .unwrap()
            .local_block_store_id,
        elsewhere.id
    );
    not_found(admin.update("nothing", &change).await);
    let bad = ShareChange {
        local_block_store: Some("nothing".into()),
        ..ShareChange::default()
    };
    invalid(admin.update(name, &bad).await);

    rig.ask(async |c| c.shares().delete(name).await)
        .await
        .unwrap();
    not_found(admin.delete(name).await);
    not_found(admin.get(name).await);
}
