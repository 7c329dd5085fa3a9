use api_types::DittoFSShare;
use serde_json::{Value, json};

use super::*;
use crate::declared::Declared;

/// A spec that declares every field there is a rule for.
fn everything() -> Declared {
    let manifest = json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare", "metadata": {"name": "films"},
        "spec": {
            "serverRef": {"name": "files"},
            "blockStore": {"local": {"maxSize": "20Gi", "readBufferSize": "256Mi"},
                "remote": {"s3": {"bucket": "b", "credentialsSecretRef": {"name": "s3"}}}},
            "access": {
                "defaultPermission": "read",
                "users": [{"name": "ann", "permission": "read-write"}],
                "groups": [{"name": "users", "permission": "read"}],
                "blockedOperations": ["REMOVE"],
                "nfs": {"squash": "all_to_guest", "anonymousUID": 5, "anonymousGID": 6, "clients": ["10.0.0.0/8", "fd00::/8"],
                    "allowAuthSys": false, "kerberos": {"required": true, "minLevel": "krb5p"}, "disableReaddirplus": true},
                "smb": {"encryptData": true, "accessBasedEnumeration": true, "changeNotifyDisabled": true, "streamsDisabled": true,
                    "continuousAvailability": true, "allowMfsymlink": true, "aclFlagInheritedCanonicalization": false},
            },
            "quota": "100Gi", "readOnly": true,
            "trash": {"enabled": true, "retentionDays": 30, "maxSize": "10Gi", "restrictToAdmin": true, "excludePatterns": ["*.tmp"]},
            "retention": {"policy": "ttl", "ttl": "72h"},
            "snapshotPolicy": {"interval": "@daily", "keepLast": 4, "ttl": "168h", "namePrefix": "op"},
        },
    });
    of(manifest)
}

fn nothing() -> Declared {
    of(
        json!({"apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare",
        "metadata": {"name": "films"}, "spec": {"serverRef": {"name": "files"}}}),
    )
}

fn of(manifest: Value) -> Declared {
    let share: DittoFSShare = serde_json::from_value(manifest).unwrap();
    Declared::of(&share).unwrap()
}

/// What the server shows of a new share.
fn new_share() -> Value {
    json!({"id": "s", "name": "/films", "metadata_store_id": "m", "local_block_store_id": "l", "remote_block_store_id": null,
        "read_only": false, "enabled": true, "encrypt_data": false, "default_permission": "none", "retention_policy": "lru",
        "used_bytes": 0, "physical_bytes": 0, "usage_percent": 0, "acl_flag_inherited_canonicalization": true,
        "access_based_enumeration": false, "change_notify_disabled": false, "streams_disabled": false,
        "continuous_availability": false, "allow_mfsymlink": false, "trash_enabled": false, "trash_retention_days": 0,
        "trash_restrict_to_admin": false, "trash_max_bytes": 0, "created_at": "2026-11-21T16:58:39Z",
        "updated_at": "2026-11-21T16:58:39Z", "status": {"status": "healthy", "checked_at": "2026-11-21T16:58:39Z"}})
}

fn new_nfs() -> Value {
    json!({"squash": "root_to_guest", "allow_auth_sys": true, "require_kerberos": false, "min_kerberos_level": "krb5",
        "netgroup": "", "disable_readdirplus": false})
}

/// Each field: its path in the spec, its name in the server, the declared value as the server shows it, and
/// another one.
fn option_fields() -> Vec<(&'static str, &'static str, Value, Value)> {
    let switch = |path, key| (path, key, json!(true), json!(false));
    vec![
        switch("readOnly", "read_only"),
        switch("access.smb.encryptData", "encrypt_data"),
        (
            "access.defaultPermission",
            "default_permission",
            json!("read"),
            json!("read-write"),
        ),
        (
            "access.blockedOperations",
            "blocked_operations",
            json!(["REMOVE"]),
            json!(["RENAME"]),
        ),
        (
            "retention.policy",
            "retention_policy",
            json!("ttl"),
            json!("pin"),
        ),
        (
            "retention.ttl",
            "retention_ttl",
            json!("72h0m0s"),
            json!("1h0m0s"),
        ),
        (
            "blockStore.local.maxSize",
            "local_store_size",
            json!("20.00GiB"),
            json!("10.00GiB"),
        ),
        (
            "blockStore.local.readBufferSize",
            "read_buffer_size",
            json!("256.00MiB"),
            json!("1.00MiB"),
        ),
        (
            "quota",
            "quota_bytes",
            json!("100.00GiB"),
            json!("99.00GiB"),
        ),
        (
            "access.smb.aclFlagInheritedCanonicalization",
            "acl_flag_inherited_canonicalization",
            json!(false),
            json!(true),
        ),
        switch(
            "access.smb.accessBasedEnumeration",
            "access_based_enumeration",
        ),
        switch("access.smb.changeNotifyDisabled", "change_notify_disabled"),
        switch("access.smb.streamsDisabled", "streams_disabled"),
        switch(
            "access.smb.continuousAvailability",
            "continuous_availability",
        ),
        switch("access.smb.allowMfsymlink", "allow_mfsymlink"),
        switch("trash.enabled", "trash_enabled"),
        (
            "trash.retentionDays",
            "trash_retention_days",
            json!(30),
            json!(29),
        ),
        switch("trash.restrictToAdmin", "trash_restrict_to_admin"),
        (
            "trash.maxSize",
            "trash_max_bytes",
            json!(10_u64 << 30),
            json!(0),
        ),
        (
            "trash.excludePatterns",
            "trash_exclude_patterns",
            json!(["*.tmp"]),
            json!([]),
        ),
    ]
}

fn nfs_fields() -> Vec<(&'static str, &'static str, Value, Value)> {
    vec![
        (
            "access.nfs.squash",
            "squash",
            json!("all_to_guest"),
            json!("none"),
        ),
        (
            "access.nfs.anonymousUID",
            "anonymous_uid",
            json!(5),
            json!(0),
        ),
        (
            "access.nfs.anonymousGID",
            "anonymous_gid",
            json!(6),
            json!(0),
        ),
        (
            "access.nfs.allowAuthSys",
            "allow_auth_sys",
            json!(false),
            json!(true),
        ),
        (
            "access.nfs.kerberos.required",
            "require_kerberos",
            json!(true),
            json!(false),
        ),
        (
            "access.nfs.kerberos.minLevel",
            "min_kerberos_level",
            json!("krb5p"),
            json!("krb5i"),
        ),
        (
            "access.nfs.netgroup",
            "netgroup",
            json!("films"),
            json!("lan"),
        ),
        (
            "access.nfs.disableReaddirplus",
            "disable_readdirplus",
            json!(true),
            json!(false),
        ),
    ]
}

fn as_declared(mut shown: Value, fields: &[(&'static str, &'static str, Value, Value)]) -> Value {
    for (_, key, declared, _) in fields {
        shown[key] = declared.clone();
    }
    shown
}

fn paths(fields: &[(&'static str, &'static str, Value, Value)]) -> BTreeSet<String> {
    fields.iter().map(|field| field.0.to_owned()).collect()
}

fn share(shown: &Value) -> Share {
    serde_json::from_value(shown.clone()).unwrap()
}

fn nfs_options(shown: &Value) -> NfsOptions {
    serde_json::from_value(shown.clone()).unwrap()
}

#[test]
fn each_declared_option_is_seen_when_somebody_changes_it() {
    let (spec, fields) = (everything(), option_fields());
    let shown = as_declared(new_share(), &fields);
    let none = BTreeSet::new();
    let found = options(&spec.options, &none, &share(&shown));
    assert_eq!(found.change, None);
    let declared: BTreeSet<String> = found.declared.into_iter().map(str::to_owned).collect();
    assert_eq!(declared, paths(&fields), "a field without a row here");
    for (path, key, _, other) in fields {
        let mut changed = shown.clone();
        changed[key] = other;
        let found = options(&spec.options, &none, &share(&changed));
        assert_eq!(found.differs, vec![path]);
        let sent = serde_json::to_value(found.change.unwrap()).unwrap();
        assert!(!sent[key].is_null(), "{path} is not sent: {sent}");
    }
}

#[test]
fn each_declared_nfs_option_is_seen_when_somebody_changes_it() {
    let (spec, fields) = (everything(), nfs_fields());
    let shown = as_declared(new_nfs(), &fields);
    let none = BTreeSet::new();
    let found = nfs(&spec.nfs, &none, &nfs_options(&shown));
    assert_eq!(found.change, None);
    let declared: BTreeSet<String> = found.declared.into_iter().map(str::to_owned).collect();
    assert_eq!(declared, paths(&fields), "a field without a row here");
    for (path, key, _, other) in fields {
        let mut changed = shown.clone();
        changed[key] = other;
        let found = nfs(&spec.nfs, &none, &nfs_options(&changed));
        assert_eq!(found.differs, vec![path]);
        let sent = serde_json::to_value(found.change.unwrap()).unwrap();
        assert_eq!(sent.as_object().unwrap().len(), 1, "{sent}");
        assert!(!sent[key].is_null(), "{path} is not sent: {sent}");
    }
}

#[test]
fn what_was_never_declared_is_left_alone() {
    let (spec, none) = (nothing(), BTreeSet::new());
    let mut shown = as_declared(new_share(), &option_fields());
    shown["default_permission"] = json!("none");
    assert_eq!(options(&spec.options, &none, &share(&shown)).change, None);
    let shown = as_declared(new_nfs(), &nfs_fields());
    assert_eq!(nfs(&spec.nfs, &none, &nfs_options(&shown)).change, None);
}

#[test]
fn what_is_no_longer_declared_goes_back_to_the_default_and_then_stays() {
    let spec = nothing();
    let before = paths(&option_fields());
    let shown = as_declared(new_share(), &option_fields());
    let found = options(&spec.options, &before, &share(&shown));
    let mut expected = before.clone();
    // Always declared; nothing to go back to; and the bin is not emptied.
    for path in ["access.defaultPermission", "retention.ttl", "trash.enabled"] {
        expected.remove(path);
    }
    assert_eq!(found.differs, vec!["access.defaultPermission"]);
    let withdrawn: BTreeSet<String> = found.withdrawn.iter().map(|&path| path.into()).collect();
    assert_eq!(withdrawn, expected);
    let mut after = new_share();
    after["trash_enabled"] = json!(true);
    after["retention_ttl"] = json!("72h0m0s");
    assert_eq!(options(&spec.options, &before, &share(&after)).change, None);

    let before = paths(&nfs_fields());
    let shown = as_declared(new_nfs(), &nfs_fields());
    let found = nfs(&spec.nfs, &before, &nfs_options(&shown));
    let withdrawn: BTreeSet<String> = found.withdrawn.iter().map(|&path| path.into()).collect();
    assert_eq!(withdrawn, before);
    assert_eq!(
        nfs(&spec.nfs, &before, &nfs_options(&new_nfs())).change,
        None
    );
}

#[test]
fn a_new_policy_of_the_cache_comes_with_its_time() {
    let spec = everything();
    let mut shown = as_declared(new_share(), &option_fields());
    shown["retention_policy"] = json!("lru");
    shown["retention_ttl"] = Value::Null;
    let change = options(&spec.options, &BTreeSet::new(), &share(&shown))
        .change
        .unwrap();
    assert_eq!(change.retention_policy, Some(RetentionPolicy::Ttl));
    assert_eq!(change.retention_ttl, spec.options.retention_ttl);
}

#[test]
fn a_change_of_read_only_ends_what_nfs_clients_were_allowed() {
    let spec = everything();
    let mut shown = as_declared(new_share(), &option_fields());
    shown["read_only"] = json!(false);
    let found = options(&spec.options, &BTreeSet::new(), &share(&shown));
    assert_eq!(found.differs, vec!["readOnly"]);
    let permission = found.change.unwrap().default_permission;
    assert_eq!(permission, Some(PermissionLevel::Read));
}

fn permissions(list: Value) -> Vec<Permission> {
    serde_json::from_value(list).unwrap()
}

#[test]
fn permissions_are_given_corrected_and_taken_away_and_those_of_others_stay() {
    let spec = everything();
    let live = permissions(json!([
        {"type": "user", "name": "ann", "level": "read"},
        {"type": "user", "name": "gone", "level": "read"},
        {"type": "user", "name": "stranger", "level": "admin"},
        {"type": "group", "name": "gone", "level": "read"},
        {"type": "sid", "name": "gone", "level": "read", "sid": "S-1-5-21-1", "is_group": true},
    ]));
    let before = [
        Grantee::User("gone".into()),
        Grantee::User("ann".into()),
        Grantee::User("absent".into()),
    ];
    let found = grants(&spec.grants, &before.into(), &live);
    let set: Vec<&Grantee> = found.set.keys().collect();
    assert_eq!(
        set,
        vec![
            &Grantee::User("ann".into()),
            &Grantee::Group("users".into())
        ]
    );
    assert_eq!(found.remove, [Grantee::User("gone".into())].into());
    let live = permissions(json!([
        {"type": "user", "name": "ann", "level": "read-write"}, {"type": "group", "name": "users", "level": "read"},
    ]));
    assert_eq!(
        grants(&spec.grants, &BTreeSet::new(), &live),
        GrantChanges::default()
    );
}

#[test]
fn the_netgroup_has_the_declared_ranges_once_and_nothing_else() {
    let clients = everything().clients.unwrap();
    let netgroup = |members: Value| -> Netgroup {
        serde_json::from_value(json!({"id": "n", "name": "films", "members": members,
            "created_at": "2026-11-21T16:58:39Z", "updated_at": "2026-11-21T16:58:39Z"}))
        .unwrap()
    };
    let live = netgroup(json!([
        {"id": "1", "type": "cidr", "value": "10.0.0.0/8"},
        {"id": "2", "type": "cidr", "value": "10.0.0.0/8"},
        {"id": "3", "type": "ip", "value": "10.0.0.1"},
        {"id": "4", "type": "cidr", "value": "0.0.0.0/0"},
    ]));
    let found = members(&clients, &live);
    assert_eq!(found.add, vec!["fd00::/8"]);
    assert_eq!(found.remove, vec!["2", "3", "4"]);
    let live = netgroup(json!([
        {"id": "1", "type": "cidr", "value": "fd00::/8"}, {"id": "2", "type": "cidr", "value": "10.0.0.0/8"},
    ]));
    assert_eq!(members(&clients, &live), MemberChanges::default());
    assert_eq!(members(&clients, &netgroup(Value::Null)).add.len(), 2);
}

#[test]
fn each_field_of_a_snapshot_policy_is_corrected() {
    let rules = everything().policy.unwrap();
    let shown = json!({"share": "/films", "enabled": true, "interval": "24h0m0s", "keep_last": 4, "ttl": "168h0m0s",
        "name_prefix": "op", "created_at": "2026-11-21T16:59:20Z", "updated_at": "2026-11-21T16:59:20Z"});
    let policy_of =
        |shown: &Value| -> SnapshotPolicy { serde_json::from_value(shown.clone()).unwrap() };
    assert_eq!(
        policy(Some(&rules), true, Some(&policy_of(&shown))),
        PolicyChange::Keep
    );
    for (key, other) in [
        ("enabled", json!(false)),
        ("interval", json!("1h0m0s")),
        ("keep_last", json!(0)),
        ("ttl", Value::Null),
        ("name_prefix", json!("")),
    ] {
        let mut changed = shown.clone();
        changed[key] = other;
        let found = policy(Some(&rules), true, Some(&policy_of(&changed)));
        assert_eq!(found, PolicyChange::Put(rules.clone()), "{key}");
    }
    assert_eq!(
        policy(Some(&rules), false, None),
        PolicyChange::Put(rules.clone())
    );
    let live = policy_of(&shown);
    assert_eq!(policy(None, true, Some(&live)), PolicyChange::Remove);
    assert_eq!(policy(None, false, Some(&live)), PolicyChange::Keep);
    assert_eq!(policy(None, true, None), PolicyChange::Keep);
}
