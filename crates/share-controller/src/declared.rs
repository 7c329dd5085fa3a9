//! What a DittoFSShare declares, in the words of the server's API.
//!
//! Every structure of the spec is taken apart field by field: a new field does not compile until it is
//! said here what it means.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{
    ByteSize, GoDuration, NfsOptionsChange, PermissionLevel, PolicyRules, RetentionPolicy,
    ShareOptions,
};
use api_types::DittoFSShare;
use api_types::size::VolumeSize;
use api_types::v1alpha1::{
    CachePolicy, CacheRetention, DittoFSShareSpec, GroupAccess, KerberosLevel, LocalBlockStore,
    NfsAccess, NfsKerberos, Permission, ShareAccess, ShareSnapshotPolicy, SmbAccess, Squash, Trash,
    UserAccess,
};

/// Somebody who can have a permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grantee {
    /// A user of the server.
    User(String),
    /// A group of the server.
    Group(String),
}

impl std::fmt::Display for Grantee {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Grantee::User(name) => write!(formatter, "user {name}"),
            Grantee::Group(name) => write!(formatter, "group {name}"),
        }
    }
}

/// What a DittoFSShare declares of its share, the stores aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Name of the share, without its leading slash.
    pub share: String,
    /// Whether it is served.
    pub enabled: bool,
    /// Options of the share; `None` where the spec says nothing.
    pub options: ShareOptions,
    /// NFS options; `None` where the spec says nothing.
    pub nfs: NfsOptionsChange,
    /// Addresses of the netgroup that is made for the share, as the spec writes them.
    pub clients: Option<BTreeSet<String>>,
    /// Permissions.
    pub grants: BTreeMap<Grantee, PermissionLevel>,
    /// Users whose account is kept.
    pub accounts: Vec<UserAccess>,
    /// Snapshots.
    pub policy: Option<PolicyRules>,
}

/// A value of the spec that the schema lets through and that cannot be used all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be used: {value:?}")]
pub struct Unusable {
    /// Path of the field below `spec`.
    pub field: &'static str,
    /// What it says.
    pub value: String,
}

impl Declared {
    /// What `share` declares.
    ///
    /// # Errors
    /// When a size or duration does not fit 64 bits.
    pub fn of(share: &DittoFSShare) -> Result<Self, Unusable> {
        let name = share.share_name();
        let DittoFSShareSpec {
            server_ref: _,
            share_name: _,
            metadata_store: _,
            block_store,
            access,
            quota,
            read_only,
            enabled,
            trash,
            retention,
            snapshot_policy,
            // What is done at deletion is not a state of the share.
            deletion_policy: _,
        } = &share.spec;
        let LocalBlockStore {
            kind: _,
            path: _,
            max_size,
            // It belongs to the store.
            max_log_size: _,
            read_buffer_size,
        } = &block_store.local;
        let ShareAccess {
            default_permission,
            users,
            groups,
            blocked_operations,
            nfs,
            smb,
        } = access;
        let mut options = ShareOptions {
            read_only: *read_only,
            default_permission: Some(level(*default_permission)),
            blocked_operations: blocked_operations
                .as_ref()
                .map(|names| names.iter().map(|name| name.0.clone()).collect()),
            quota_bytes: size("quota", quota.as_ref())?,
            local_store_size: size("blockStore.local.maxSize", max_size.as_ref())?,
            read_buffer_size: size("blockStore.local.readBufferSize", read_buffer_size.as_ref())?,
            ..ShareOptions::default()
        };
        if let Some(smb) = smb {
            declare_smb(smb, &mut options);
        }
        if let Some(trash) = trash {
            declare_trash(trash, &mut options)?;
        }
        if let Some(CacheRetention { policy, ttl }) = retention {
            options.retention_policy = Some(match policy {
                CachePolicy::Pin => RetentionPolicy::Pin,
                CachePolicy::Ttl => RetentionPolicy::Ttl,
                CachePolicy::Lru => RetentionPolicy::Lru,
            });
            options.retention_ttl = duration("retention.ttl", ttl.as_ref().map(|ttl| &*ttl.0))?;
        }
        let mut grants = BTreeMap::new();
        for UserAccess {
            name,
            permission,
            // The account is kept apart from its permission.
            password_secret_ref: _,
            uid: _,
            gid: _,
        } in users
        {
            grants.insert(Grantee::User(name.clone()), level(*permission));
        }
        for GroupAccess { name, permission } in groups {
            grants.insert(Grantee::Group(name.clone()), level(*permission));
        }
        let (nfs, clients) = match nfs {
            Some(nfs) => declare_nfs(name, nfs),
            None => (NfsOptionsChange::default(), None),
        };
        Ok(Declared {
            share: name.to_owned(),
            enabled: *enabled,
            options,
            nfs,
            clients,
            grants,
            accounts: users
                .iter()
                .filter(|user| user.password_secret_ref.is_some())
                .cloned()
                .collect(),
            policy: snapshot_policy.as_ref().map(rules).transpose()?,
        })
    }
}

/// Name of the netgroup that is made for a share with addresses of its own.
pub fn netgroup(share: &str) -> String {
    share.to_owned()
}

fn declare_smb(smb: &SmbAccess, options: &mut ShareOptions) {
    let SmbAccess {
        encrypt_data,
        access_based_enumeration,
        change_notify_disabled,
        streams_disabled,
        continuous_availability,
        allow_mfsymlink,
        acl_flag_inherited_canonicalization,
    } = smb;
    options.encrypt_data = *encrypt_data;
    options.access_based_enumeration = *access_based_enumeration;
    options.change_notify_disabled = *change_notify_disabled;
    options.streams_disabled = *streams_disabled;
    options.continuous_availability = *continuous_availability;
    options.allow_mfsymlink = *allow_mfsymlink;
    options.acl_flag_inherited_canonicalization = *acl_flag_inherited_canonicalization;
}

fn declare_trash(trash: &Trash, options: &mut ShareOptions) -> Result<(), Unusable> {
    let Trash {
        enabled,
        retention_days,
        max_size,
        restrict_to_admin,
        exclude_patterns,
    } = trash;
    options.trash_enabled = Some(*enabled);
    options.trash_retention_days = *retention_days;
    options.trash_max_bytes = size("trash.maxSize", max_size.as_ref())?.map(|size| size.0);
    options.trash_restrict_to_admin = *restrict_to_admin;
    options.trash_exclude_patterns.clone_from(exclude_patterns);
    Ok(())
}

fn declare_nfs(share: &str, nfs: &NfsAccess) -> (NfsOptionsChange, Option<BTreeSet<String>>) {
    let NfsAccess {
        squash,
        anonymous_uid,
        anonymous_gid,
        netgroup: named,
        clients,
        allow_auth_sys,
        kerberos,
        disable_readdirplus,
    } = nfs;
    let NfsKerberos {
        required,
        min_level,
    } = kerberos.clone().unwrap_or_default();
    let change = NfsOptionsChange {
        squash: squash.map(|squash| match squash {
            Squash::None => adapter_client::Squash::None,
            Squash::RootToAdmin => adapter_client::Squash::RootToAdmin,
            Squash::RootToGuest => adapter_client::Squash::RootToGuest,
            Squash::AllToAdmin => adapter_client::Squash::AllToAdmin,
            Squash::AllToGuest => adapter_client::Squash::AllToGuest,
        }),
        anonymous_uid: *anonymous_uid,
        anonymous_gid: *anonymous_gid,
        allow_auth_sys: *allow_auth_sys,
        require_kerberos: required,
        min_kerberos_level: min_level.map(|level| match level {
            KerberosLevel::Krb5 => adapter_client::KerberosLevel::Authentication,
            KerberosLevel::Krb5i => adapter_client::KerberosLevel::Integrity,
            KerberosLevel::Krb5p => adapter_client::KerberosLevel::Privacy,
        }),
        netgroup: match clients {
            Some(_) => Some(netgroup(share)),
            None => named.clone(),
        },
        disable_readdirplus: *disable_readdirplus,
    };
    let clients = clients
        .as_ref()
        .map(|clients| clients.iter().map(|cidr| cidr.0.clone()).collect());
    (change, clients)
}

fn rules(policy: &ShareSnapshotPolicy) -> Result<PolicyRules, Unusable> {
    let ShareSnapshotPolicy {
        interval,
        keep_last,
        ttl,
        name_prefix,
        enabled,
    } = policy;
    let ttl = ttl.as_ref().map(|ttl| ("snapshotPolicy.ttl", &*ttl.0));
    let times = rules_of("snapshotPolicy.interval", interval, ttl)?;
    Ok(PolicyRules {
        keep_last: keep_last.unwrap_or(0),
        enabled: *enabled,
        name_prefix: name_prefix.clone().unwrap_or_default(),
        ..times
    })
}

/// A policy with this interval, and with this age at which a snapshot goes, as the field `field` and the named one
/// have it. The server keeps an age of 0 as none.
pub(crate) fn rules_of(
    field: &'static str,
    interval: &str,
    ttl: Option<(&'static str, &str)>,
) -> Result<PolicyRules, Unusable> {
    // The server shows the words as these durations.
    let text = match interval {
        "@hourly" => "1h",
        "@daily" => "24h",
        "@weekly" => "168h",
        other => other,
    };
    let interval = duration(field, Some(text))?.filter(|interval| !interval.0.is_zero());
    let interval = interval.ok_or_else(|| Unusable {
        field,
        value: text.to_owned(),
    })?;
    let ttl = match ttl {
        Some((field, ttl)) => duration(field, Some(ttl))?.filter(|ttl| !ttl.0.is_zero()),
        None => None,
    };
    Ok(PolicyRules {
        interval,
        keep_last: 0,
        ttl,
        enabled: true,
        name_prefix: String::new(),
    })
}

fn level(permission: Permission) -> PermissionLevel {
    match permission {
        Permission::None => PermissionLevel::None,
        Permission::Read => PermissionLevel::Read,
        Permission::ReadWrite => PermissionLevel::ReadWrite,
        Permission::Admin => PermissionLevel::Admin,
    }
}

/// The bytes of a size in the spec.
pub(crate) fn size(
    field: &'static str,
    size: Option<&VolumeSize>,
) -> Result<Option<ByteSize>, Unusable> {
    let Some(size) = size else { return Ok(None) };
    match size.bytes() {
        Some(bytes) => Ok(Some(ByteSize(bytes))),
        None => Err(Unusable {
            field,
            value: size.0.clone(),
        }),
    }
}

fn duration(field: &'static str, text: Option<&str>) -> Result<Option<GoDuration>, Unusable> {
    let Some(text) = text else { return Ok(None) };
    match GoDuration::parse(text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Unusable {
            field,
            value: text.to_owned(),
        }),
    }
}
