//! Every field of the spec that the server can be told otherwise about: how somebody does that, and
//! where it is read.
//!
//! The structures of the spec are taken apart without `..`: a new field does not compile here until it
//! is said how its drift is tried, or why it has none.

use anyhow::{Context, Result};
use api_types::DittoFSShareSpec;
use api_types::v1alpha1::{
    BlockStore, CacheRetention, GroupAccess, LocalBlockStore, MetadataStore, NfsAccess,
    NfsKerberos, RemoteBlockStore, S3, ShareAccess, ShareSnapshotPolicy, SmbAccess, Trash,
    UserAccess,
};
use cluster_tests::adapters::Admin;
use serde::Serialize;
use serde_json::{Value, json};

/// Where the server has a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A key of the share.
    Share(&'static str),
    /// A key of its NFS options.
    Nfs(&'static str),
    /// A key of its snapshot policy.
    Policy(&'static str),
    /// A key of the configuration of one of its stores: the path of the store, and the key.
    Store(&'static str, &'static str),
    /// A key of a user's account.
    Account(&'static str, &'static str),
    /// A permission: of users or groups, and whose.
    Permission(&'static str, String),
    /// Whether the share is served, which has calls of its own.
    Served,
    /// The members of the share's own netgroup.
    Members,
}

/// A field of the spec.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Its path below `spec`.
    pub(super) path: &'static str,
    place: Place,
    /// What somebody sets it to.
    other: Value,
}

/// The fields of a spec.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    /// Those that it declares.
    pub(super) declared: Vec<Field>,
    /// Paths of those that it does not.
    pub(super) absent: Vec<&'static str>,
}

impl Fields {
    fn add(&mut self, value: &impl Serialize, path: &'static str, place: Place, other: Value) {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => self.absent.push(path),
            Ok(_) => self.declared.push(Field { path, place, other }),
        }
    }

    /// The fields of `spec`, of the share `name`.
    pub(super) fn of(spec: &DittoFSShareSpec) -> Result<Self> {
        let mut fields = Fields::default();
        let DittoFSShareSpec {
            // The server cannot rename or move a share.
            server_ref: _,
            share_name: _,
            metadata_store,
            block_store,
            access,
            quota,
            read_only,
            enabled,
            trash,
            retention,
            snapshot_policy,
            // What is done at deletion is nothing that the server has.
            deletion_policy: _,
        } = spec;
        let MetadataStore {
            // The server cannot turn a store into one of another kind: it would not start any more.
            kind: _,
            // Tried apart: nothing is put back there, it is said.
            path: _,
            // A Secret, which is not read back.
            postgres: _,
            // Somebody else's store.
            existing: _,
        } = metadata_store;
        fields.add(quota, "quota", Place::Share("quota_bytes"), json!("7MiB"));
        fields.add(
            read_only,
            "readOnly",
            Place::Share("read_only"),
            json!(true),
        );
        fields.add(enabled, "enabled", Place::Served, json!(false));
        fields.stores(block_store);
        fields.access(access)?;
        fields.trash(trash.as_ref().context("no trash")?);
        fields.retention(retention.as_ref().context("no retention")?);
        fields.policy(snapshot_policy.as_ref().context("no snapshotPolicy")?);
        Ok(fields)
    }

    fn stores(&mut self, store: &BlockStore) {
        let BlockStore { local, remote } = store;
        let LocalBlockStore {
            // As the kind and path of the metadata store.
            kind: _,
            path: _,
            max_size,
            max_log_size,
            read_buffer_size,
        } = local;
        let place = Place::Share("local_store_size");
        self.add(max_size, "blockStore.local.maxSize", place, json!("65MiB"));
        let place = Place::Store("/store/block/local/films", "max_log_bytes");
        self.add(
            max_log_size,
            "blockStore.local.maxLogSize",
            place,
            json!(99 << 20),
        );
        let place = Place::Share("read_buffer_size");
        self.add(
            read_buffer_size,
            "blockStore.local.readBufferSize",
            place,
            json!("3MiB"),
        );
        let Some(RemoteBlockStore { s3 }) = remote else {
            self.absent.push("blockStore.remote.s3");
            return;
        };
        let S3 {
            // As the kind and path of the metadata store.
            bucket: _,
            prefix: _,
            compression: _,
            encryption: _,
            region,
            endpoint,
            force_path_style,
            allow_private_endpoint,
            // A Secret, which is not read back.
            credentials_secret_ref: _,
        } = s3;
        let bucket = |key| Place::Store("/store/block/remote/films", key);
        self.add(
            region,
            "blockStore.remote.s3.region",
            bucket("region"),
            json!("eu-west-9"),
        );
        let other = json!("http://127.0.0.1:9");
        self.add(
            endpoint,
            "blockStore.remote.s3.endpoint",
            bucket("endpoint"),
            other,
        );
        let place = bucket("force_path_style");
        self.add(
            force_path_style,
            "blockStore.remote.s3.forcePathStyle",
            place,
            json!(false),
        );
        // Without it the server would not take the endpoint: it is there, or nothing is.
        let _ = allow_private_endpoint;
    }

    fn access(&mut self, access: &ShareAccess) -> Result<()> {
        let ShareAccess {
            default_permission,
            users,
            groups,
            blocked_operations,
            nfs,
            smb,
        } = access;
        let place = Place::Share("default_permission");
        self.add(
            default_permission,
            "access.defaultPermission",
            place,
            json!("admin"),
        );
        let place = Place::Share("blocked_operations");
        self.add(
            blocked_operations,
            "access.blockedOperations",
            place,
            json!(["RENAME"]),
        );
        let UserAccess {
            name,
            permission,
            // A password is not read back; the account itself is tried apart.
            password_secret_ref: _,
            uid,
            gid,
        } = users.first().context("no user")?;
        let place = Place::Permission("users", name.clone());
        self.add(
            permission,
            "access.users[].permission",
            place,
            json!("none"),
        );
        self.add(
            uid,
            "access.users[].uid",
            Place::Account("ann", "uid"),
            json!(4711),
        );
        self.add(
            gid,
            "access.users[].gid",
            Place::Account("ann", "gid"),
            json!(4711),
        );
        let GroupAccess { name, permission } = groups.first().context("no group")?;
        let place = Place::Permission("groups", name.clone());
        self.add(
            permission,
            "access.groups[].permission",
            place,
            json!("none"),
        );
        self.nfs(nfs.as_ref().context("no nfs")?)?;
        self.smb(smb.as_ref().context("no smb")?);
        Ok(())
    }

    fn nfs(&mut self, nfs: &NfsAccess) -> Result<()> {
        let NfsAccess {
            squash,
            anonymous_uid,
            anonymous_gid,
            netgroup,
            clients,
            allow_auth_sys,
            kerberos,
            disable_readdirplus,
        } = nfs;
        let NfsKerberos {
            required,
            min_level,
        } = kerberos.as_ref().context("no kerberos")?;
        let all: [(&dyn Shown, &'static str, Place, Value); 9] = [
            (
                squash,
                "access.nfs.squash",
                Place::Nfs("squash"),
                json!("none"),
            ),
            (
                anonymous_uid,
                "access.nfs.anonymousUID",
                Place::Nfs("anonymous_uid"),
                json!(1),
            ),
            (
                anonymous_gid,
                "access.nfs.anonymousGID",
                Place::Nfs("anonymous_gid"),
                json!(1),
            ),
            (
                netgroup,
                "access.nfs.netgroup",
                Place::Nfs("netgroup"),
                json!(""),
            ),
            (
                clients,
                "access.nfs.clients",
                Place::Members,
                json!("0.0.0.0/0"),
            ),
            (
                allow_auth_sys,
                "access.nfs.allowAuthSys",
                Place::Nfs("allow_auth_sys"),
                json!(false),
            ),
            (
                required,
                "access.nfs.kerberos.required",
                Place::Nfs("require_kerberos"),
                json!(true),
            ),
            (
                min_level,
                "access.nfs.kerberos.minLevel",
                Place::Nfs("min_kerberos_level"),
                json!("krb5p"),
            ),
            (
                disable_readdirplus,
                "access.nfs.disableReaddirplus",
                Place::Nfs("disable_readdirplus"),
                json!(false),
            ),
        ];
        for (value, path, place, other) in all {
            self.add(&value.shown(), path, place, other);
        }
        Ok(())
    }

    fn smb(&mut self, smb: &SmbAccess) {
        let SmbAccess {
            encrypt_data,
            access_based_enumeration,
            change_notify_disabled,
            streams_disabled,
            continuous_availability,
            allow_mfsymlink,
            acl_flag_inherited_canonicalization,
        } = smb;
        for (value, path, key) in [
            (encrypt_data, "access.smb.encryptData", "encrypt_data"),
            (
                access_based_enumeration,
                "access.smb.accessBasedEnumeration",
                "access_based_enumeration",
            ),
            (
                change_notify_disabled,
                "access.smb.changeNotifyDisabled",
                "change_notify_disabled",
            ),
            (
                streams_disabled,
                "access.smb.streamsDisabled",
                "streams_disabled",
            ),
            (
                continuous_availability,
                "access.smb.continuousAvailability",
                "continuous_availability",
            ),
            (
                allow_mfsymlink,
                "access.smb.allowMfsymlink",
                "allow_mfsymlink",
            ),
            (
                acl_flag_inherited_canonicalization,
                "access.smb.aclFlagInheritedCanonicalization",
                "acl_flag_inherited_canonicalization",
            ),
        ] {
            let other = json!(!value.unwrap_or_default());
            self.add(value, path, Place::Share(key), other);
        }
    }

    fn trash(&mut self, trash: &Trash) {
        let Trash {
            enabled,
            retention_days,
            max_size,
            restrict_to_admin,
            exclude_patterns,
        } = trash;
        self.add(
            enabled,
            "trash.enabled",
            Place::Share("trash_enabled"),
            json!(false),
        );
        let place = Place::Share("trash_retention_days");
        self.add(retention_days, "trash.retentionDays", place, json!(99));
        let place = Place::Share("trash_max_bytes");
        self.add(max_size, "trash.maxSize", place, json!(99));
        let place = Place::Share("trash_restrict_to_admin");
        self.add(
            restrict_to_admin,
            "trash.restrictToAdmin",
            place,
            json!(false),
        );
        let place = Place::Share("trash_exclude_patterns");
        self.add(
            exclude_patterns,
            "trash.excludePatterns",
            place,
            json!(["*"]),
        );
    }

    fn retention(&mut self, retention: &CacheRetention) {
        let CacheRetention { policy, ttl } = retention;
        // Read with the policy ttl only, so it is set before the policy.
        let place = Place::Share("retention_ttl");
        self.add(ttl, "retention.ttl", place, json!("99h"));
        let place = Place::Share("retention_policy");
        self.add(policy, "retention.policy", place, json!("pin"));
    }

    fn policy(&mut self, policy: &ShareSnapshotPolicy) {
        let ShareSnapshotPolicy {
            interval,
            keep_last,
            ttl,
            name_prefix,
            enabled,
        } = policy;
        let all: [(&dyn Shown, &'static str, &'static str, Value); 5] = [
            (
                interval,
                "snapshotPolicy.interval",
                "interval",
                json!("99h"),
            ),
            (keep_last, "snapshotPolicy.keepLast", "keep_last", json!(99)),
            (ttl, "snapshotPolicy.ttl", "ttl", json!("99h")),
            (
                name_prefix,
                "snapshotPolicy.namePrefix",
                "name_prefix",
                json!("other"),
            ),
            (enabled, "snapshotPolicy.enabled", "enabled", json!(true)),
        ];
        for (value, path, key, other) in all {
            self.add(&value.shown(), path, Place::Policy(key), other);
        }
    }
}

/// A value of any type as JSON.
trait Shown {
    fn shown(&self) -> Value;
}

impl<T: Serialize> Shown for T {
    fn shown(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The value of `key` in the JSON object at `path`.
async fn key_of(admin: &Admin, path: &str, key: &str) -> Result<Value> {
    Ok(admin.get(path).await?[key].clone())
}

impl Field {
    /// What the server has, of the share `share`.
    pub(super) async fn read(&self, admin: &Admin, share: &str) -> Result<Value> {
        let at = format!("/shares/{share}");
        match &self.place {
            Place::Share(key) => key_of(admin, &at, key).await,
            Place::Served => key_of(admin, &at, "enabled").await,
            Place::Nfs(key) => key_of(admin, &format!("{at}/adapters/nfs/config"), key).await,
            Place::Policy(key) => key_of(admin, &format!("{at}/snapshot-policy"), key).await,
            Place::Store(path, key) => Ok(admin.get(path).await?["config"][key].clone()),
            Place::Account(user, key) => key_of(admin, &format!("/users/{user}"), key).await,
            Place::Permission(_, name) => {
                let all = admin.get(&format!("{at}/permissions")).await?;
                let mut all = all.as_array().cloned().unwrap_or_default().into_iter();
                let found = all.find(|found| found["name"] == *name);
                Ok(found
                    .map(|found| found["level"].clone())
                    .unwrap_or_default())
            }
            Place::Members => {
                let options = admin.get(&format!("{at}/adapters/nfs/config")).await?;
                let name = options["netgroup"].as_str().context("no netgroup")?;
                let group = admin
                    .get(&format!("/adapters/nfs/netgroups/{name}"))
                    .await?;
                let members = group["members"].as_array().cloned().unwrap_or_default();
                let mut values: Vec<Value> = members
                    .iter()
                    .map(|member| member["value"].clone())
                    .collect();
                values.sort_by_key(Value::to_string);
                Ok(Value::Array(values))
            }
        }
    }

    /// Does what somebody would do with the server's own tools.
    pub(super) async fn meddle(&self, admin: &Admin, share: &str) -> Result<()> {
        let at = format!("/shares/{share}");
        let other = &self.other;
        match &self.place {
            Place::Share(key) => admin.put(&at, json!({ *key: other })).await,
            Place::Served => admin.post(&format!("{at}/disable"), json!({})).await,
            Place::Nfs(key) => {
                admin
                    .patch(&format!("{at}/adapters/nfs/config"), json!({ *key: other }))
                    .await
            }
            Place::Policy(key) => {
                let path = format!("{at}/snapshot-policy");
                let mut policy = admin.get(&path).await?;
                policy[*key] = other.clone();
                admin.put(&path, policy).await
            }
            Place::Store(path, key) => {
                let mut config = admin.get(path).await?["config"].clone();
                config[*key] = other.clone();
                admin.put(path, json!({"config": config.to_string()})).await
            }
            Place::Account(user, key) => {
                admin
                    .put(&format!("/users/{user}"), json!({ *key: other }))
                    .await
            }
            Place::Permission(kind, name) => {
                let path = format!("{at}/permissions/{kind}/{name}");
                admin.put(&path, json!({"level": other})).await
            }
            Place::Members => {
                let options = admin.get(&format!("{at}/adapters/nfs/config")).await?;
                let name = options["netgroup"].as_str().context("no netgroup")?;
                let path = format!("/adapters/nfs/netgroups/{name}/members");
                admin
                    .post(&path, json!({"type": "cidr", "value": other}))
                    .await
            }
        }
        .with_context(|| format!("{} could not be changed", self.path))?;
        Ok(())
    }
}
