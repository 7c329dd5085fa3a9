//! Who may do what with a share, from where, and how much.

use std::time::Duration;

use adapter_client::{
    ByteSize, Error, GranteeType, KerberosLevel, NetgroupMemberType, NewGroup, NfsOptionsChange,
    PermissionLevel, QuotaLimits, QuotaOf, Seconds, SidGrant, Squash,
};
use serde_json::{Value, json};

use crate::{
    rig::{Rig, conflict, invalid, not_found},
    stores::{self, Kind},
};

const SID: &str = "S-1-5-21-1-2-3-1001";

pub(crate) async fn permissions(rig: &Rig) {
    let admin = rig.admin.permissions();
    stores::share(rig, "export", Kind::Memory).await;
    let list = async || {
        rig.ask(async |c| c.permissions().list("export").await)
            .await
            .unwrap()
    };
    // The server writes null.
    assert_eq!(list().await, []);
    not_found(admin.list("nothing").await);

    let write = PermissionLevel::ReadWrite;
    rig.ask(async |c| c.permissions().set_user("export", "user", &write).await)
        .await
        .unwrap();
    rig.ask(async |c| {
        c.permissions()
            .set_group("export", "users", &PermissionLevel::Read)
            .await
    })
    .await
    .unwrap();
    let grant = SidGrant {
        level: PermissionLevel::Admin,
        is_group: false,
        display_name: "Eve".into(),
    };
    rig.ask(async |c| c.permissions().set_sid("export", SID, &grant).await)
        .await
        .unwrap();
    let all = list().await;
    let of = |kind| {
        all.iter()
            .find(|permission| permission.kind == kind)
            .unwrap()
    };
    assert_eq!(all.len(), 3);
    let (user, group, sid) = (
        of(GranteeType::User),
        of(GranteeType::Group),
        of(GranteeType::Sid),
    );
    assert_eq!(
        (user.name.as_str(), &user.level, &user.sid),
        ("user", &write, &None)
    );
    assert_eq!(
        (group.name.as_str(), &group.level),
        ("users", &PermissionLevel::Read)
    );
    assert_eq!(
        (sid.name.as_str(), sid.sid.as_deref(), sid.is_group),
        ("Eve", Some(SID), Some(false))
    );
    // In place of what there is.
    admin
        .set_user("export", "user", &PermissionLevel::None)
        .await
        .unwrap();
    assert_eq!(list().await.len(), 3);

    not_found(admin.set_user("nothing", "user", &write).await);
    not_found(admin.set_user("export", "nobody", &write).await);
    not_found(admin.set_group("nothing", "users", &write).await);
    not_found(admin.set_group("export", "nobody", &write).await);
    not_found(admin.set_sid("nothing", SID, &grant).await);
    assert_eq!(
        invalid(admin.set_sid("export", "S-1", &grant).await),
        "Invalid SID"
    );
    // The server stores any word; this crate does not send it.
    let word = PermissionLevel::Other("<b>all</b>".into());
    let error = admin.set_user("export", "user", &word).await.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid { status: 400, detail, .. } if !detail.contains('<')),
        "{error}"
    );
    invalid(admin.set_group("export", "users", &word).await);
    invalid(
        admin
            .set_sid(
                "export",
                SID,
                &SidGrant {
                    level: word,
                    ..grant.clone()
                },
            )
            .await,
    );
    for path in ["users/user", "groups/users"] {
        let path = format!("/api/v1/shares/%2Fexport/permissions/{path}");
        assert_eq!(rig.raw_admin("PUT", &path, json!({"level": ""})).await, 400);
    }

    odd_names(rig).await;
    for _ in 0..2 {
        rig.ask(async |c| c.permissions().remove_user("export", "user").await)
            .await
            .unwrap();
        rig.ask(async |c| c.permissions().remove_group("export", "users").await)
            .await
            .unwrap();
        rig.ask(async |c| c.permissions().remove_sid("export", SID).await)
            .await
            .unwrap();
    }
    invalid(admin.remove_sid("export", "nonsense").await);
    assert_eq!(list().await, []);
}

/// Names that must be encoded in a path reach the object that they name, or are refused: the server
/// decodes some parts of some paths itself, and others not at all.
async fn odd_names(rig: &Rig) {
    let admin = rig.admin.permissions();
    let level = PermissionLevel::Read;
    for name in ["o d%41d å", "plus+@(x)!"] {
        rig.make_user(name).await;
        assert_eq!(rig.admin.users().get(name).await.unwrap().username, name);
        let group = NewGroup {
            name: name.into(),
            ..NewGroup::default()
        };
        rig.admin.groups().create(&group).await.unwrap();
        rig.admin.groups().add_member(name, name).await.unwrap();
        admin.set_user("export", name, &level).await.unwrap();
        admin.set_group("export", name, &level).await.unwrap();
        let all = admin.list("export").await.unwrap();
        assert_eq!(
            all.iter()
                .filter(|permission| permission.name == name)
                .count(),
            2
        );
        admin.remove_user("/export", name).await.unwrap();
        admin.remove_group("/export", name).await.unwrap();
        let all = admin.list("export").await.unwrap();
        assert!(
            all.iter().all(|permission| permission.name != name),
            "{all:?}"
        );
        rig.admin.groups().remove_member(name, name).await.unwrap();
    }
    for share in ["50%41 off", "team/data", "100%"] {
        stores::share(rig, share, Kind::Memory).await;
        let name = format!("/{share}");
        assert_eq!(rig.admin.shares().get(share).await.unwrap().name, name);
        admin.set_user(share, "user", &level).await.unwrap();
        assert_eq!(admin.list(&name).await.unwrap().len(), 1);
        // Not both at once: this would end as success without an effect.
        assert!(
            invalid(admin.remove_user(share, "plus (x)").await).contains("cannot stand in a path")
        );
        admin.remove_user(share, "user").await.unwrap();
        rig.admin.shares().delete(share).await.unwrap();
    }
}

pub(crate) async fn nfs_options(rig: &Rig) {
    let admin = rig.admin.nfs_options();
    stores::share(rig, "export", Kind::Memory).await;
    let fresh = rig
        .ask(async |c| c.nfs_options().get("export").await)
        .await
        .unwrap();
    assert_eq!(
        (&fresh.squash, fresh.anonymous_uid, fresh.netgroup.as_str()),
        (&Squash::None, None, "")
    );
    assert!(fresh.allow_auth_sys && !fresh.require_kerberos && !fresh.disable_readdirplus);
    assert_eq!(fresh.min_kerberos_level, KerberosLevel::Authentication);
    not_found(admin.get("nothing").await);

    rig.admin.netgroups().create("lan").await.unwrap();
    let change = NfsOptionsChange {
        squash: Some(Squash::AllToGuest),
        anonymous_uid: Some(7),
        anonymous_gid: Some(8),
        allow_auth_sys: Some(false),
        require_kerberos: Some(true),
        min_kerberos_level: Some(KerberosLevel::Privacy),
        netgroup: Some("lan".into()),
        disable_readdirplus: Some(true),
    };
    let all = rig
        .ask(async |c| c.nfs_options().patch("export", &change).await)
        .await
        .unwrap();
    assert_eq!(admin.get("export").await.unwrap(), all);
    assert_eq!(
        (all.squash, all.anonymous_uid, all.anonymous_gid),
        (Squash::AllToGuest, Some(7), Some(8))
    );
    assert!(!all.allow_auth_sys && all.require_kerberos && all.disable_readdirplus);
    assert_eq!(
        (all.min_kerberos_level, all.netgroup.as_str()),
        (KerberosLevel::Privacy, "lan")
    );
    let only = NfsOptionsChange {
        netgroup: Some(String::new()),
        ..NfsOptionsChange::default()
    };
    let all = admin.patch("export", &only).await.unwrap();
    assert_eq!((all.netgroup.as_str(), all.anonymous_uid), ("", Some(7)));
    not_found(admin.patch("nothing", &only).await);
    let squash = NfsOptionsChange {
        squash: Some(Squash::Other("bogus".into())),
        ..only.clone()
    };
    assert!(invalid(admin.patch("export", &squash).await).starts_with("Invalid squash: bogus"));
    let nowhere = NfsOptionsChange {
        netgroup: Some("nope".into()),
        ..only
    };
    assert_eq!(
        invalid(admin.patch("export", &nowhere).await),
        "Netgroup not found: nope"
    );
}

pub(crate) async fn netgroups(rig: &Rig) {
    let admin = rig.admin.netgroups();
    assert_eq!(
        rig.ask(async |c| c.netgroups().list().await).await.unwrap(),
        []
    );
    let lan = rig
        .ask(async |c| c.netgroups().create("lan").await)
        .await
        .unwrap();
    assert_eq!((lan.name.as_str(), lan.members.len()), ("lan", 0));
    conflict(admin.create("lan").await);
    invalid(admin.create("").await);

    let kinds = [
        (NetgroupMemberType::Ip, "10.0.0.1", "10.0.0.x"),
        (NetgroupMemberType::Cidr, "10.0.0.0/8", "10.0.0.0/64"),
        (NetgroupMemberType::Hostname, "*.example.org", ""),
    ];
    for (kind, value, nonsense) in &kinds {
        let member = rig
            .ask(async |c| c.netgroups().add_member("lan", kind, value).await)
            .await
            .unwrap();
        assert_eq!((&member.kind, member.value.as_str()), (kind, *value));
        invalid(admin.add_member("lan", kind, nonsense).await);
    }
    invalid(
        admin
            .add_member("lan", &NetgroupMemberType::Other("mac".into()), "0:0")
            .await,
    );
    not_found(
        admin
            .add_member("nothing", &NetgroupMemberType::Ip, "10.0.0.1")
            .await,
    );
    // Nothing keeps an address from being there twice.
    let twice = admin
        .add_member("lan", &NetgroupMemberType::Ip, "10.0.0.1")
        .await
        .unwrap();
    let lan = rig
        .ask(async |c| c.netgroups().get("lan").await)
        .await
        .unwrap();
    assert_eq!(lan.members.len(), 4);
    not_found(admin.get("nothing").await);
    assert_eq!(admin.list().await.unwrap(), [lan]);

    rig.ask(async |c| c.netgroups().remove_member("lan", &twice.id).await)
        .await
        .unwrap();
    admin.remove_member("lan", &twice.id).await.unwrap();
    not_found(admin.remove_member("nothing", &twice.id).await);
    assert_eq!(admin.get("lan").await.unwrap().members.len(), 3);

    stores::share(rig, "export", Kind::Memory).await;
    let netgroup = |name: &str| NfsOptionsChange {
        netgroup: Some(name.into()),
        ..NfsOptionsChange::default()
    };
    rig.admin
        .nfs_options()
        .patch("export", &netgroup("lan"))
        .await
        .unwrap();
    conflict(admin.delete("lan").await);
    rig.admin
        .nfs_options()
        .patch("export", &netgroup(""))
        .await
        .unwrap();
    rig.ask(async |c| c.netgroups().delete("lan").await)
        .await
        .unwrap();
    not_found(admin.delete("lan").await);
}

pub(crate) async fn quotas(rig: &Rig) {
    let admin = rig.admin.quotas();
    stores::share(rig, "export", Kind::Disk).await;
    let limits = QuotaLimits {
        limit_bytes: ByteSize(10_000_000_000),
        soft_bytes: ByteSize(1 << 30),
        limit_files: 1000,
        soft_files: 900,
        grace: Seconds(3600),
    };
    let owners = [QuotaOf::User(0), QuotaOf::Group(0), QuotaOf::DefaultUser];
    for (of, scope) in owners.into_iter().zip(["user", "group", "default-user"]) {
        let quota = rig
            .ask(async |c| c.quotas().put("export", of, &limits).await)
            .await
            .unwrap();
        assert_eq!(
            (quota.share_name.as_str(), quota.scope.as_str()),
            ("/export", scope)
        );
        assert_eq!(quota.identity_id, (of != QuotaOf::DefaultUser).then_some(0));
        assert!(quota.limit_bytes.unwrap().stands_for(limits.limit_bytes));
        assert!(quota.soft_bytes.unwrap().stands_for(limits.soft_bytes));
        assert_eq!(
            (quota.limit_files, quota.soft_files, quota.grace),
            (1000, 900, Seconds(3600))
        );
        assert_eq!(
            (Duration::from(quota.grace), quota.grace_started_at),
            (Duration::from_secs(3600), None)
        );
    }
    assert_eq!(
        rig.ask(async |c| c.quotas().list("export").await)
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(admin.list("nothing").await.unwrap(), []);

    // What clients use is counted at once.
    let file = rig.server.folder.join("file");
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    stores::nfs_copy(rig, &file, "/export/file").await;
    let used = stores::until("the use is counted", async || {
        let quota = rig
            .ask(async |c| c.quotas().get("export", QuotaOf::User(0)).await)
            .await
            .unwrap();
        (quota.used_bytes >= 100_000).then_some(quota)
    })
    .await;
    assert!(used.used_files >= 1, "{used:?}");

    // A full replacement: what is not named is unlimited.
    let none = QuotaLimits {
        limit_files: 5,
        ..QuotaLimits::default()
    };
    let quota = admin.put("export", QuotaOf::User(0), &none).await.unwrap();
    assert_eq!(
        (quota.limit_bytes, quota.soft_bytes, quota.limit_files),
        (None, None, 5)
    );
    let upside_down = QuotaLimits {
        limit_bytes: ByteSize(1),
        soft_bytes: ByteSize(2),
        ..limits
    };
    assert!(
        invalid(admin.put("export", QuotaOf::User(0), &upside_down).await)
            .contains("must not exceed")
    );
    admin
        .put("nothing", QuotaOf::User(1), &limits)
        .await
        .unwrap();

    rig.ask(async |c| c.quotas().delete("export", QuotaOf::Group(0)).await)
        .await
        .unwrap();
    not_found(admin.delete("export", QuotaOf::Group(0)).await);
    not_found(admin.get("export", QuotaOf::Group(0)).await);
    admin.delete("export", QuotaOf::DefaultUser).await.unwrap();
    // The route that ought to be the one for it.
    let path = "/api/v1/shares/%2Fexport/quotas/default-user";
    assert_eq!(rig.raw_admin("GET", path, Value::Null).await, 400);
}
