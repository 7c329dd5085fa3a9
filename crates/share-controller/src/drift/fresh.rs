//! A share as the server makes it when nothing is said about it (server contract 3.11, 3.13).

use adapter_client::{
    HealthReport, HealthStatus, KerberosLevel, Milliseconds, NfsOptions, PermissionLevel,
    RetentionPolicy, Share, Squash,
};
use jiff::Timestamp;

pub(crate) fn share() -> Share {
    Share {
        id: String::new(),
        name: String::new(),
        metadata_store_id: String::new(),
        local_block_store_id: String::new(),
        remote_block_store_id: None,
        read_only: false,
        enabled: true,
        encrypt_data: false,
        default_permission: PermissionLevel::None,
        owner_uid: None,
        owner_gid: None,
        blocked_operations: Vec::new(),
        retention_policy: RetentionPolicy::Lru,
        retention_ttl: None,
        local_store_size: None,
        read_buffer_size: None,
        quota_bytes: None,
        used_bytes: 0,
        physical_bytes: 0,
        usage_percent: 0.0,
        acl_flag_inherited_canonicalization: true,
        access_based_enumeration: false,
        change_notify_disabled: false,
        streams_disabled: false,
        continuous_availability: false,
        allow_mfsymlink: false,
        trash_enabled: false,
        trash_retention_days: 0,
        trash_restrict_to_admin: false,
        trash_max_bytes: 0,
        trash_exclude_patterns: Vec::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        status: HealthReport {
            status: HealthStatus::Healthy,
            message: String::new(),
            checked_at: Timestamp::UNIX_EPOCH,
            latency: Milliseconds(0),
        },
        warnings: Vec::new(),
    }
}

pub(crate) fn nfs() -> NfsOptions {
    NfsOptions {
        squash: Squash::RootToGuest,
        anonymous_uid: None,
        anonymous_gid: None,
        allow_auth_sys: true,
        require_kerberos: false,
        min_kerberos_level: KerberosLevel::Authentication,
        netgroup: String::new(),
        disable_readdirplus: false,
    }
}
