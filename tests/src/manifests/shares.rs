//! Manifests of a DittoFSShare, good and bad ones, and changes of stored ones.

use serde_json::{Value, json};

use super::{NAMESPACE, Row};
use crate::world::merge;

/// Name of the objects of the table.
const OBJECT: &str = "our-films";
/// Name of their share in the server.
const SHARE: &str = "films";

/// A DittoFSShare called `name` with the fields of `spec` beside its server.
#[must_use]
pub fn manifest(name: &str, spec: Value) -> Value {
    let mut whole = json!({"serverRef": {"name": "files"}, "shareName": SHARE});
    merge(&mut whole, spec);
    json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1",
        "kind": "DittoFSShare",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": whole,
    })
}

fn row(spec: Value, message: Option<&str>) -> Row {
    Row {
        name: format!("share {spec}"),
        old: None,
        new: manifest(OBJECT, spec),
        message: message.map(str::to_owned),
    }
}

fn refused(spec: Value, message: &str) -> Row {
    row(spec, Some(message))
}

fn metadata(store: Value, message: &str) -> Row {
    refused(json!({ "metadataStore": store }), message)
}

fn local(store: Value, message: &str) -> Row {
    refused(json!({"blockStore": {"local": store}}), message)
}

fn user(user: Value, message: &str) -> Row {
    let mut whole = json!({"name": "ann", "permission": "read"});
    merge(&mut whole, user);
    refused(json!({"access": {"users": [whole]}}), message)
}

/// A bucket with further fields.
fn bucket(more: Value) -> Value {
    let mut s3 = json!({"bucket": "b", "credentialsSecretRef": {"name": "s3"}});
    merge(&mut s3, more);
    json!({"blockStore": {"remote": {"s3": s3}}})
}

/// Every row about shares.
#[must_use]
pub fn all() -> Vec<Row> {
    [taken(), rules(), bounds(), changes()].concat()
}

fn taken() -> Vec<Row> {
    let everything = json!({
        "serverRef": {"namespace": "media"},
        "metadataStore": {"type": "badger", "path": "/data/store/metadata/old/films"},
        "blockStore": {
            "local": {"path": "/data/store/block/fast", "maxSize": "20Gi", "maxLogSize": "1Gi", "readBufferSize": "256Mi"},
            "remote": {"s3": {"bucket": "b", "prefix": "films/", "region": "eu-west-1", "endpoint": "http://s3.media:7070",
                "forcePathStyle": true, "allowPrivateEndpoint": true, "credentialsSecretRef": {"name": "s3"},
                "compression": "zstd", "encryption": {"keyFile": "/keys/films"}}},
        },
        "access": {
            "defaultPermission": "read",
            "users": [
                {"name": "ann", "permission": "read-write", "passwordSecretRef": {"name": "ann", "key": "password"}, "uid": 1000, "gid": 1000},
                {"name": "EXAMPLE\\bob", "permission": "admin"},
            ],
            "groups": [{"name": "users", "permission": "none"}],
            "blockedOperations": ["REMOVE"],
            "nfs": {"squash": "all_to_guest", "anonymousUID": 4294967294_u64, "anonymousGID": 0, "clients": ["10.0.0.0/8", "fd00::/8"],
                "allowAuthSys": true, "kerberos": {"required": false, "minLevel": "krb5p"}, "disableReaddirplus": true},
            "smb": {"encryptData": true, "accessBasedEnumeration": true, "changeNotifyDisabled": false, "streamsDisabled": false,
                "continuousAvailability": false, "allowMfsymlink": false, "aclFlagInheritedCanonicalization": true},
        },
        "quota": "100Gi",
        "readOnly": false,
        "enabled": true,
        "trash": {"enabled": true, "retentionDays": 30, "maxSize": "10Gi", "restrictToAdmin": false, "excludePatterns": ["*.tmp"]},
        "retention": {"policy": "ttl", "ttl": "72h"},
        "snapshotPolicy": {"interval": "6h", "keepLast": 4, "ttl": "168h", "namePrefix": "six-hourly"},
        "deletionPolicy": "Delete",
    });
    let named = |name: &str, share: Value| Row {
        name: format!("share {name} called {share}"),
        old: None,
        new: manifest(name, json!({ "shareName": share })),
        message: None,
    };
    let specs = [
        json!({}),
        everything,
        json!({"metadataStore": {"type": "sqlite", "path": "/data/store/metadata/films.db"}}),
        json!({"metadataStore": {"type": "postgres", "postgres": {"database": "films"}}}),
        json!({"metadataStore": {"type": "postgres", "postgres": {"secretRef": {"name": "pg"}}}}),
        json!({"metadataStore": {"type": "memory"}, "blockStore": {"local": {"type": "memory"}}}),
        json!({"metadataStore": {"type": "existing", "existing": {"name": "old store"}}}),
        json!({"retention": null, "snapshotPolicy": {"interval": "@daily"}}),
        json!({"access": {"nfs": {"netgroup": "lan"}}}),
    ];
    let mut rows: Vec<Row> = specs.into_iter().map(|spec| row(spec, None)).collect();
    rows.extend([
        named("films.of-2026", Value::Null),
        named(&"a".repeat(26), Value::Null),
        named(&"a".repeat(200), json!("a_short.name-1")),
    ]);
    rows
}

/// Every rule that needs no earlier object is broken at least once.
fn rules() -> Vec<Row> {
    let long = Row {
        name: "share with a name too long".to_owned(),
        old: None,
        new: manifest(&"a".repeat(27), json!({"shareName": null})),
        message: Some("has more than 26 characters".to_owned()),
    };
    let one_database = "set either database";
    let below_metadata = "must be below /data/store/metadata";
    let below_block = "must be /data/store/block";
    let with_remote = |spec: Value| {
        let mut whole = bucket(json!({}));
        merge(&mut whole, spec);
        whole
    };
    let password = json!({"name": "s", "key": "k"});
    vec![
        long,
        refused(
            json!({"retention": {"policy": "lru"}}),
            "set blockStore.remote, or remove retention",
        ),
        refused(
            with_remote(json!({"retention": {"policy": "ttl"}})),
            "policy ttl needs ttl",
        ),
        refused(
            with_remote(json!({"retention": {"policy": "pin", "ttl": "1h"}})),
            "policy ttl needs ttl",
        ),
        refused(
            with_remote(json!({"retention": {"policy": "ttl", "ttl": "0s"}})),
            "spec.retention.ttl: Invalid value: \"0s\": must be longer than 0s",
        ),
        refused(
            json!({"snapshotPolicy": {"interval": "6h"}, "blockStore": {"local": {"type": "memory"}}}),
            "snapshots need a local store on a volume",
        ),
        refused(
            json!({"snapshotPolicy": {"interval": "59s"}}),
            "must be at least 1m",
        ),
        refused(
            json!({"snapshotPolicy": {"interval": "6h", "ttl": "0h"}}),
            "spec.snapshotPolicy.ttl: Invalid value: \"0h\": must be longer than 0s",
        ),
        metadata(
            json!({"type": "memory", "path": "/data/store/metadata/a"}),
            "path belongs to the types badger and sqlite",
        ),
        metadata(
            json!({"type": "sqlite", "path": "/data/store/metadata/a/b.db"}),
            "the path of a SQLite store is a file in /data/store/metadata itself",
        ),
        metadata(json!({"type": "postgres"}), "type postgres needs postgres"),
        metadata(
            json!({"postgres": {"database": "films"}}),
            "type postgres needs postgres",
        ),
        metadata(json!({"type": "postgres", "postgres": {}}), one_database),
        metadata(
            json!({"type": "postgres", "postgres": {"database": "films", "secretRef": {"name": "pg"}}}),
            one_database,
        ),
        metadata(json!({"type": "existing"}), "type existing needs existing"),
        metadata(
            json!({"existing": {"name": "old"}}),
            "type existing needs existing",
        ),
        metadata(json!({"path": "/data/store/metadata"}), below_metadata),
        metadata(json!({"path": "/data/store/metadata/"}), below_metadata),
        metadata(json!({"path": "/data/store/metadata/../a"}), below_metadata),
        metadata(json!({"path": "/data/store/metadata/a/.."}), below_metadata),
        metadata(json!({"path": "/data/store/metadata/./a"}), below_metadata),
        metadata(json!({"path": "/data/store/metadata//a"}), below_metadata),
        metadata(json!({"path": "/data/store/block/a"}), below_metadata),
        local(json!({"path": "/data/store/blocks"}), below_block),
        local(json!({"path": "/data/store/block/"}), below_block),
        local(json!({"path": "/data/store/block/../a"}), below_block),
        local(json!({"path": "/tmp/a"}), below_block),
        local(
            json!({"type": "memory", "path": "/data/store/block"}),
            "path and maxLogSize belong to type fs",
        ),
        local(
            json!({"type": "memory", "maxLogSize": "1Gi"}),
            "path and maxLogSize belong to type fs",
        ),
        refused(
            bucket(json!({"allowPrivateEndpoint": true})),
            "allowPrivateEndpoint is about endpoint",
        ),
        user(
            json!({"name": "admin", "passwordSecretRef": password}),
            "the accounts admin and dittofs-* are not for shares",
        ),
        user(
            json!({"name": "dittofs-share-controller", "passwordSecretRef": password}),
            "the accounts admin and dittofs-* are not for shares",
        ),
        user(
            json!({"uid": 1000}),
            "uid and gid belong to an account that the operator keeps",
        ),
        user(
            json!({"passwordSecretRef": {"name": "s", "key": "k", "optional": true}}),
            "optional references are not supported",
        ),
        refused(
            json!({"access": {"nfs": {"netgroup": "lan", "clients": ["10.0.0.0/8"]}}}),
            "netgroup and clients exclude each other",
        ),
    ]
}

/// One value out of bounds each.
fn bounds() -> Vec<Row> {
    let name = |name: &str| refused(json!({ "shareName": name }), "spec.shareName");
    vec![
        refused(json!({"serverRef": null}), "spec.serverRef: Required"),
        refused(
            json!({"serverRef": {"namespace": "a.b"}}),
            "spec.serverRef.namespace",
        ),
        name(""),
        name("a/b"),
        name("/a"),
        name("a:b"),
        name("Films"),
        name(".a"),
        name("a-"),
        name("a b"),
        name("ipc$"),
        name(&"a".repeat(27)),
        refused(json!({"quota": "0Gi"}), "spec.quota"),
        refused(json!({"quota": "1G"}), "spec.quota"),
        refused(json!({"deletionPolicy": "Forget"}), "spec.deletionPolicy"),
        refused(json!({"trash": {}}), "spec.trash.enabled: Required"),
        refused(
            json!({"trash": {"enabled": true, "excludePatterns": ["a/b"]}}),
            "spec.trash.excludePatterns[0]",
        ),
        refused(
            json!({"snapshotPolicy": {"interval": "0 3 * * *"}}),
            "spec.snapshotPolicy.interval",
        ),
        refused(
            json!({"snapshotPolicy": {"interval": "6h", "namePrefix": "a b"}}),
            "spec.snapshotPolicy.namePrefix",
        ),
        refused(
            json!({"blockStore": {"remote": {}}}),
            "spec.blockStore.remote.s3: Required",
        ),
        refused(
            json!({"blockStore": {"remote": {"s3": {"bucket": "b"}}}}),
            "credentialsSecretRef: Required",
        ),
        refused(bucket(json!({"endpoint": "s3.media:7070"})), "s3.endpoint"),
        refused(
            bucket(json!({"endpoint": "http://key:secret@s3"})),
            "s3.endpoint",
        ),
        refused(bucket(json!({"compression": "gzip"})), "s3.compression"),
        refused(
            bucket(json!({"encryption": {"aead": "rot13", "keyFile": "/k"}})),
            "s3.encryption.aead",
        ),
        refused(
            bucket(json!({"encryption": {"keyFile": "k"}})),
            "s3.encryption.keyFile",
        ),
        refused(
            json!({"access": {"defaultPermission": "write"}}),
            "spec.access.defaultPermission",
        ),
        user(json!({"name": "a/b"}), "spec.access.users[0].name"),
        user(
            json!({"permission": null}),
            "spec.access.users[0].permission",
        ),
        user(
            json!({"uid": 0, "passwordSecretRef": {"name": "s", "key": "k"}}),
            "spec.access.users[0].uid",
        ),
        refused(
            json!({"access": {"groups": [{"name": "a", "permission": "read"}, {"name": "a", "permission": "read"}]}}),
            "Duplicate value",
        ),
        refused(
            json!({"access": {"nfs": {"squash": "root_squash"}}}),
            "spec.access.nfs.squash",
        ),
        refused(
            json!({"access": {"nfs": {"clients": []}}}),
            "spec.access.nfs.clients",
        ),
        refused(
            json!({"access": {"nfs": {"clients": ["10.0.0.1"]}}}),
            "spec.access.nfs.clients[0]",
        ),
        refused(
            json!({"access": {"nfs": {"anonymousUID": 4294967296_u64}}}),
            "spec.access.nfs.anonymousUID",
        ),
        refused(
            json!({"access": {"blockedOperations": ["a b"]}}),
            "spec.access.blockedOperations[0]",
        ),
        refused(
            json!({"sharename": "films"}),
            "unknown field \"spec.sharename\"",
        ),
    ]
}

/// Changes: the spec that is stored, what is changed of it, and the refusal.
fn changes() -> Vec<Row> {
    let s3 = |more: Value| bucket(more);
    let account = |ids: Value| {
        let mut user = json!({"name": "ann", "permission": "read", "passwordSecretRef": {"name": "s", "key": "k"}});
        merge(&mut user, ids);
        json!({"access": {"users": [user]}})
    };
    let same_name = "shareName cannot be changed, set or removed";
    let same_store = "metadataStore cannot be changed";
    let same_local = "type and path of blockStore.local cannot be changed";
    let same_bucket = "bucket, prefix, compression and encryption cannot be changed";
    let same_remote = "remote cannot be added or removed later";
    let same_ids = "uid and gid cannot be removed";
    let cases: Vec<(Value, Value, Option<&str>)> = vec![
        (json!({}), json!({"shareName": "music"}), Some(same_name)),
        (json!({}), json!({"shareName": null}), Some(same_name)),
        (
            json!({"shareName": null}),
            json!({"shareName": "music"}),
            Some(same_name),
        ),
        (
            json!({}),
            json!({"serverRef": {"name": "other"}}),
            Some("serverRef cannot be changed"),
        ),
        (
            json!({}),
            json!({"serverRef": {"namespace": "other"}}),
            Some("serverRef cannot be changed"),
        ),
        (
            json!({}),
            json!({"metadataStore": {"type": "sqlite"}}),
            Some(same_store),
        ),
        (
            json!({}),
            json!({"metadataStore": {"path": "/data/store/metadata/films"}}),
            Some(same_store),
        ),
        (
            json!({}),
            json!({"metadataStore": {"type": "badger"}}),
            None,
        ),
        (
            json!({}),
            json!({"blockStore": {"local": {"type": "memory"}}}),
            Some(same_local),
        ),
        (
            json!({}),
            json!({"blockStore": {"local": {"path": "/data/store/block"}}}),
            Some(same_local),
        ),
        (
            json!({}),
            json!({"blockStore": {"local": {"maxSize": "1Gi", "maxLogSize": "1Gi"}}}),
            None,
        ),
        (json!({}), s3(json!({})), Some(same_remote)),
        (
            s3(json!({})),
            json!({"blockStore": {"remote": null}}),
            Some(same_remote),
        ),
        (s3(json!({})), s3(json!({"bucket": "c"})), Some(same_bucket)),
        (
            s3(json!({})),
            s3(json!({"prefix": "c/"})),
            Some(same_bucket),
        ),
        (
            s3(json!({"prefix": "c/"})),
            json!({"blockStore": {"remote": {"s3": {"prefix": null}}}}),
            Some(same_bucket),
        ),
        (
            s3(json!({})),
            s3(json!({"compression": "lz4"})),
            Some(same_bucket),
        ),
        (
            s3(json!({"encryption": {"keyFile": "/k"}})),
            s3(json!({"encryption": {"keyFile": "/l"}})),
            Some(same_bucket),
        ),
        (
            s3(json!({})),
            s3(json!({"endpoint": "http://s3", "credentialsSecretRef": {"name": "new"}})),
            None,
        ),
        (
            account(json!({"uid": 1000})),
            account(json!({})),
            Some(same_ids),
        ),
        (
            account(json!({"gid": 1000})),
            account(json!({})),
            Some(same_ids),
        ),
        (
            account(json!({"uid": 1000})),
            account(json!({"uid": 1001, "gid": 5})),
            None,
        ),
        (
            account(json!({"uid": 1000})),
            json!({"access": {"users": []}}),
            None,
        ),
        (
            json!({"quota": "2Gi"}),
            json!({"quota": "1Gi", "deletionPolicy": "Delete"}),
            None,
        ),
    ];
    let rows = cases.into_iter().map(|(old, change, message)| {
        let name = format!("share {old} changed by {change}");
        let old = manifest(OBJECT, old);
        let mut new = old.clone();
        merge(&mut new, json!({ "spec": change }));
        Row {
            name,
            old: Some(old),
            new,
            message: message.map(str::to_owned),
        }
    });
    rows.collect()
}
