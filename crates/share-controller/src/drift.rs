//! Where the server differs from what a DittoFSShare declares, and what to send so that it does not.
//!
//! Each field has one rule: its path in the spec, the server's default, and when the server's value is the
//! declared one. The structures that are sent are built without `..`, so a field without a rule does not
//! compile. What the spec does not declare is left alone, unless it declared it before: then it goes back to
//! the server's default.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{
    ByteSize, GranteeType, KerberosLevel, Netgroup, NetgroupMember, NetgroupMemberType, NfsOptions,
    NfsOptionsChange, Permission, PermissionLevel, PolicyRules, ReportedSize, RetentionPolicy,
    Share, ShareOptions, SnapshotPolicy, Squash,
};

use crate::declared::Grantee;

/// Numeric ID of the anonymous user and group of a new share.
const NOBODY: u32 = 65534;

/// A comparison of the server with the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift<T> {
    /// What to send; nothing when the server is as it shall be.
    pub change: Option<T>,
    /// Paths in the spec of the fields that somebody changed in the server, or that were never set there.
    pub differs: Vec<&'static str>,
    /// Paths of the fields that the spec no longer declares and that go back to the default.
    pub withdrawn: Vec<&'static str>,
    /// Paths of the fields that the spec declares.
    pub declared: BTreeSet<&'static str>,
}

/// The rules as they are applied, one after the other.
#[derive(Debug)]
struct Rules<'a> {
    /// Paths of the fields that were set before.
    before: &'a BTreeSet<String>,
    differs: Vec<&'static str>,
    withdrawn: Vec<&'static str>,
    declared: BTreeSet<&'static str>,
}

impl<'a> Rules<'a> {
    fn new(before: &'a BTreeSet<String>) -> Self {
        Rules {
            before,
            differs: Vec::new(),
            withdrawn: Vec::new(),
            declared: BTreeSet::new(),
        }
    }

    /// What to send of one field.
    fn field<T: Clone>(
        &mut self,
        path: &'static str,
        declared: &Option<T>,
        default: T,
        same: impl Fn(&T) -> bool,
    ) -> Option<T> {
        if let Some(wanted) = declared {
            self.declared.insert(path);
            if same(wanted) {
                return None;
            }
            self.differs.push(path);
            return Some(wanted.clone());
        }
        if !self.before.contains(path) || same(&default) {
            return None;
        }
        self.withdrawn.push(path);
        Some(default)
    }

    fn done<T>(self, change: T) -> Drift<T> {
        let Rules {
            before: _,
            differs,
            withdrawn,
            declared,
        } = self;
        Drift {
            change: (!differs.is_empty() || !withdrawn.is_empty()).then_some(change),
            differs,
            withdrawn,
            declared,
        }
    }
}

/// Compares the options of a share. `before` holds the paths of the fields that were set before.
pub fn options(
    declared: &ShareOptions,
    before: &BTreeSet<String>,
    live: &Share,
) -> Drift<ShareOptions> {
    let ShareOptions {
        read_only,
        encrypt_data,
        default_permission,
        blocked_operations,
        retention_policy,
        retention_ttl,
        local_store_size,
        read_buffer_size,
        quota_bytes,
        acl_flag_inherited_canonicalization,
        access_based_enumeration,
        change_notify_disabled,
        streams_disabled,
        continuous_availability,
        allow_mfsymlink,
        trash_enabled,
        trash_retention_days,
        trash_restrict_to_admin,
        trash_max_bytes,
        trash_exclude_patterns,
    } = declared;
    // The switch of the bin stays when the spec no longer declares it: off would empty the bin.
    let trash_default = live.trash_enabled;
    let mut rules = Rules::new(before);
    let mut change = ShareOptions {
        read_only: rules.field("readOnly", read_only, false, |v| *v == live.read_only),
        encrypt_data: rules.field("access.smb.encryptData", encrypt_data, false, |v| {
            *v == live.encrypt_data
        }),
        default_permission: rules.field(
            "access.defaultPermission",
            default_permission,
            PermissionLevel::None,
            |v| *v == live.default_permission,
        ),
        blocked_operations: rules.field(
            "access.blockedOperations",
            blocked_operations,
            Vec::new(),
            |v| same_set(v, &live.blocked_operations),
        ),
        retention_policy: rules.field(
            "retention.policy",
            retention_policy,
            RetentionPolicy::Lru,
            |v| *v == live.retention_policy,
        ),
        // The server cannot forget a time, and reads it with the policy ttl only.
        retention_ttl: match retention_ttl {
            Some(ttl) => rules.field("retention.ttl", retention_ttl, *ttl, |v| {
                Some(*v) == live.retention_ttl
            }),
            None => None,
        },
        local_store_size: rules.field(
            "blockStore.local.maxSize",
            local_store_size,
            ByteSize(0),
            |v| same_size(*v, live.local_store_size),
        ),
        read_buffer_size: rules.field(
            "blockStore.local.readBufferSize",
            read_buffer_size,
            ByteSize(0),
            |v| same_size(*v, live.read_buffer_size),
        ),
        quota_bytes: rules.field("quota", quota_bytes, ByteSize(0), |v| {
            same_size(*v, live.quota_bytes)
        }),
        acl_flag_inherited_canonicalization: rules.field(
            "access.smb.aclFlagInheritedCanonicalization",
            acl_flag_inherited_canonicalization,
            true,
            |v| *v == live.acl_flag_inherited_canonicalization,
        ),
        access_based_enumeration: rules.field(
            "access.smb.accessBasedEnumeration",
            access_based_enumeration,
            false,
            |v| *v == live.access_based_enumeration,
        ),
        change_notify_disabled: rules.field(
            "access.smb.changeNotifyDisabled",
            change_notify_disabled,
            false,
            |v| *v == live.change_notify_disabled,
        ),
        streams_disabled: rules.field("access.smb.streamsDisabled", streams_disabled, false, |v| {
            *v == live.streams_disabled
        }),
        continuous_availability: rules.field(
            "access.smb.continuousAvailability",
            continuous_availability,
            false,
            |v| *v == live.continuous_availability,
        ),
        allow_mfsymlink: rules.field("access.smb.allowMfsymlink", allow_mfsymlink, false, |v| {
            *v == live.allow_mfsymlink
        }),
        trash_enabled: rules.field("trash.enabled", trash_enabled, trash_default, |v| {
            *v == live.trash_enabled
        }),
        trash_retention_days: rules.field("trash.retentionDays", trash_retention_days, 0, |v| {
            *v == live.trash_retention_days
        }),
        trash_restrict_to_admin: rules.field(
            "trash.restrictToAdmin",
            trash_restrict_to_admin,
            false,
            |v| *v == live.trash_restrict_to_admin,
        ),
        trash_max_bytes: rules.field("trash.maxSize", trash_max_bytes, 0, |v| {
            *v == live.trash_max_bytes
        }),
        trash_exclude_patterns: rules.field(
            "trash.excludePatterns",
            trash_exclude_patterns,
            Vec::new(),
            |v| same_set(v, &live.trash_exclude_patterns),
        ),
    };
    // The server takes the policy ttl only together with a time.
    if change.retention_policy.is_some() || change.retention_ttl.is_some() {
        change.retention_policy = change.retention_policy.or(retention_policy.clone());
        change.retention_ttl = *retention_ttl;
    }
    // NFSv3 clients keep the access they have for minutes unless the permission is sent too.
    if change.read_only.is_some() && change.default_permission.is_none() {
        change.default_permission = Some(live.default_permission.clone());
    }
    rules.done(change)
}

/// Compares the NFS options of a share.
pub fn nfs(
    declared: &NfsOptionsChange,
    before: &BTreeSet<String>,
    live: &NfsOptions,
) -> Drift<NfsOptionsChange> {
    let NfsOptionsChange {
        squash,
        anonymous_uid,
        anonymous_gid,
        allow_auth_sys,
        require_kerberos,
        min_kerberos_level,
        netgroup,
        disable_readdirplus,
    } = declared;
    let mut rules = Rules::new(before);
    let change = NfsOptionsChange {
        squash: rules.field("access.nfs.squash", squash, Squash::RootToGuest, |v| {
            *v == live.squash
        }),
        anonymous_uid: rules.field("access.nfs.anonymousUID", anonymous_uid, NOBODY, |v| {
            *v == live.anonymous_uid.unwrap_or(NOBODY)
        }),
        anonymous_gid: rules.field("access.nfs.anonymousGID", anonymous_gid, NOBODY, |v| {
            *v == live.anonymous_gid.unwrap_or(NOBODY)
        }),
        allow_auth_sys: rules.field("access.nfs.allowAuthSys", allow_auth_sys, true, |v| {
            *v == live.allow_auth_sys
        }),
        require_kerberos: rules.field(
            "access.nfs.kerberos.required",
            require_kerberos,
            false,
            |v| *v == live.require_kerberos,
        ),
        min_kerberos_level: rules.field(
            "access.nfs.kerberos.minLevel",
            min_kerberos_level,
            KerberosLevel::Authentication,
            |v| *v == live.min_kerberos_level,
        ),
        netgroup: rules.field("access.nfs.netgroup", netgroup, String::new(), |v| {
            *v == live.netgroup
        }),
        disable_readdirplus: rules.field(
            "access.nfs.disableReaddirplus",
            disable_readdirplus,
            false,
            |v| *v == live.disable_readdirplus,
        ),
    };
    rules.done(change)
}

/// Paths of the fields that are declared of the share and of its NFS options.
pub fn declared(options: &ShareOptions, nfs: &NfsOptionsChange) -> BTreeSet<String> {
    let nothing = BTreeSet::new();
    let of_share = self::options(options, &nothing, &fresh::share()).declared;
    let of_nfs = self::nfs(nfs, &nothing, &fresh::nfs()).declared;
    of_share
        .into_iter()
        .chain(of_nfs)
        .map(str::to_owned)
        .collect()
}

/// Permissions to give and to take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantChanges {
    /// To give, in place of what there is.
    pub set: BTreeMap<Grantee, PermissionLevel>,
    /// To take away: given before, no longer declared.
    pub remove: BTreeSet<Grantee>,
}

/// Compares permissions. `before` holds whom we gave one.
pub fn grants(
    declared: &BTreeMap<Grantee, PermissionLevel>,
    before: &BTreeSet<Grantee>,
    live: &[Permission],
) -> GrantChanges {
    let live: BTreeMap<Grantee, &PermissionLevel> = live
        .iter()
        .filter_map(|permission| {
            let name = permission.name.clone();
            let grantee = match permission.kind {
                GranteeType::User => Grantee::User(name),
                GranteeType::Group => Grantee::Group(name),
                GranteeType::Sid | GranteeType::Other(_) => return None,
            };
            Some((grantee, &permission.level))
        })
        .collect();
    GrantChanges {
        set: declared
            .iter()
            .filter(|(grantee, level)| live.get(grantee) != Some(level))
            .map(|(grantee, level)| (grantee.clone(), level.clone()))
            .collect(),
        remove: before
            .iter()
            .filter(|grantee| !declared.contains_key(grantee) && live.contains_key(grantee))
            .cloned()
            .collect(),
    }
}

/// Members of a netgroup of ours to add and to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// Ranges of addresses to add.
    pub add: Vec<String>,
    /// UUIDs of members to remove, once the others are added: an empty netgroup admits nobody.
    pub remove: Vec<String>,
}

/// Compares the members of a netgroup. The server keeps the same range twice when it is told twice.
pub fn members(declared: &BTreeSet<String>, live: &Netgroup) -> MemberChanges {
    let mut missing = declared.clone();
    let mut remove = Vec::new();
    for NetgroupMember { id, kind, value } in &live.members {
        if *kind != NetgroupMemberType::Cidr || !missing.remove(value) {
            remove.push(id.clone());
        }
    }
    MemberChanges {
        add: missing.into_iter().collect(),
        remove,
    }
}

/// What to do about a snapshot policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyChange {
    /// Nothing.
    Keep,
    /// Set it, in place of what there is.
    Put(PolicyRules),
    /// Remove it: set before, no longer declared.
    Remove,
}

/// Compares snapshot policies. `before` says whether we set one.
pub fn policy(
    declared: Option<&PolicyRules>,
    before: bool,
    live: Option<&SnapshotPolicy>,
) -> PolicyChange {
    let Some(wanted) = declared else {
        return match live {
            Some(_) if before => PolicyChange::Remove,
            _ => PolicyChange::Keep,
        };
    };
    let PolicyRules {
        interval,
        keep_last,
        ttl,
        enabled,
        name_prefix,
    } = wanted;
    let same = live.is_some_and(|live| {
        *interval == live.interval
            && *keep_last == live.keep_last
            && *ttl == live.ttl
            && *enabled == live.enabled
            && *name_prefix == live.name_prefix
    });
    if same {
        PolicyChange::Keep
    } else {
        PolicyChange::Put(wanted.clone())
    }
}

/// Whether the server shows `wanted`; it leaves 0 out.
fn same_size(wanted: ByteSize, live: Option<ReportedSize>) -> bool {
    match live {
        Some(live) => live.stands_for(wanted),
        None => wanted.0 == 0,
    }
}

fn same_set(one: &[String], other: &[String]) -> bool {
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
    set(one) == set(other)
}

pub(crate) mod fresh;
#[cfg(test)]
mod tests;
