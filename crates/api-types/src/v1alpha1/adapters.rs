//! `spec.adapters`: what the protocol adapters of the running server shall be.
//!
//! Ranges and values are those of the server (server contract 3.7 and 3.8).

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded;
use crate::reference::{ObjectName, SecretKeyName};

/// A protocol that the server speaks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// NFS, versions 3 to 4.2.
    Nfs,
    /// SMB, versions 2 and 3.
    Smb,
}

impl AdapterKind {
    /// Every protocol, in the order in which status lists them.
    pub const ALL: [AdapterKind; 2] = [AdapterKind::Nfs, AdapterKind::Smb];

    /// The server's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            AdapterKind::Nfs => "nfs",
            AdapterKind::Smb => "smb",
        }
    }

    /// The kind with the server's spelling `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The port that clients expect: the Service's, unless the spec names another.
    pub fn standard_port(self) -> u16 {
        match self {
            AdapterKind::Nfs => 2049,
            AdapterKind::Smb => 445,
        }
    }
}

/// What the protocol adapters shall be. They are pushed to the running server; none of this restarts it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nfs) || !has(self.nfs.port) || !has(self.smb) || !has(self.smb.port) || self.nfs.port != self.smb.port").message("nfs.port and smb.port must differ: the server could not listen on both"))]
pub struct Adapters {
    /// NFS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<NfsAdapter>,
    /// SMB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smb: Option<SmbAdapter>,
}

/// The NFS adapter. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NfsAdapter {
    /// Whether the server speaks NFS. Switching it off ends the sessions of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// TCP port in the pod, 1024 to 65535: the server may not listen below. Clients see the Service's port. A change ends the sessions of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535), extend("format" = "int32"))]
    pub port: Option<u16>,
    /// Settings of the protocol; the server takes them within 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<NfsSettings>,
    /// NFS over TLS (RFC 9289).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<NfsTls>,
}

/// NFS over TLS (RFC 9289). Setting it, naming another Secret and removing it restart the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NfsTls {
    /// Secret with tls.crt and tls.key, as cert-manager makes it. A renewed certificate is taken without a restart.
    pub secret_name: ObjectName,
    /// Whether clients without TLS are served, too: Opportunistic (the default) or Require.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<NfsTlsMode>")]
    pub mode: Option<NfsTlsMode>,
    /// Key in the Secret with the certificates of authorities, PEM: clients with TLS then need a certificate of one of them. With mode Opportunistic clients without TLS need none. The server reads them when the adapter starts: to exchange them, add another key and name it here.
    #[serde(
        default,
        rename = "clientCAKey",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_ca_key: Option<SecretKeyName>,
}

/// Whether clients without TLS are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NfsTlsMode {
    /// They are.
    #[default]
    Opportunistic,
    /// They are not.
    Require,
}

impl NfsTlsMode {
    /// The server's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            NfsTlsMode::Opportunistic => "opportunistic",
            NfsTlsMode::Require => "require",
        }
    }
}

/// The SMB adapter. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SmbAdapter {
    /// Whether the server speaks SMB. Switching it off ends the sessions of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// TCP port in the pod, 1024 to 65535: the server may not listen below. Clients see the Service's port. A change ends the sessions of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535), extend("format" = "int32"))]
    pub port: Option<u16>,
    /// Settings of the protocol; the server takes them within 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SmbSettings>,
}

/// A version of NFS.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum NfsVersion {
    /// NFSv3.
    #[serde(rename = "3")]
    V3,
    /// NFSv4.0.
    #[serde(rename = "4.0")]
    V4_0,
    /// NFSv4.1 and 4.2.
    #[serde(rename = "4.1")]
    V4_1,
}

/// Name of an operation of a protocol, such as REMOVE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OperationName(
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_]+$"))] pub String,
);

/// Settings of NFS. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minVersion) || !has(self.maxVersion) || double(self.minVersion) <= double(self.maxVersion)").message("minVersion must not be above maxVersion"))]
pub struct NfsSettings {
    /// Lowest version offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<NfsVersion>")]
    pub min_version: Option<NfsVersion>,
    /// Highest version offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<NfsVersion>")]
    pub max_version: Option<NfsVersion>,
    /// Seconds that a client may be silent before its state is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 3600), extend("format" = "int32"))]
    pub lease_time: Option<u32>,
    /// Seconds after a start in which clients may reclaim their locks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 3600), extend("format" = "int32"))]
    pub grace_period: Option<u32>,
    /// Seconds that a client gets to give a delegation back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 600), extend("format" = "int32"))]
    pub delegation_recall_timeout: Option<u32>,
    /// Seconds that a callback to a client may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60), extend("format" = "int32"))]
    pub callback_timeout: Option<u32>,
    /// Seconds that an SMB client gets to give a lease back that an NFS client needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 120), extend("format" = "int32"))]
    pub lease_break_timeout: Option<u32>,
    /// Connections at the same time; 0 is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100000), extend("format" = "int32"))]
    pub max_connections: Option<u32>,
    /// Clients at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000), extend("format" = "int32"))]
    pub max_clients: Option<u32>,
    /// Operations in one compound request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 1000), extend("format" = "int32"))]
    pub max_compound_ops: Option<u32>,
    /// Longest read, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 16777216), extend("format" = "int32"))]
    pub max_read_size: Option<u32>,
    /// Longest write, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 16777216), extend("format" = "int32"))]
    pub max_write_size: Option<u32>,
    /// Transfer size that clients are told to prefer, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 16777216), extend("format" = "int32"))]
    pub preferred_transfer_size: Option<u32>,
    /// Whether files may be delegated to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations_enabled: Option<bool>,
    /// Delegations at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000), extend("format" = "int32"))]
    pub max_delegations: Option<u32>,
    /// Milliseconds in which changes of a delegated directory are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5000), extend("format" = "int32"))]
    pub dir_deleg_batch_window_ms: Option<u32>,
    /// Operations that are refused, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub blocked_operations: Option<Vec<OperationName>>,
    /// Whether a portmapper runs in the pod. Taken at the next start of the adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portmapper_enabled: Option<bool>,
    /// Its port, TCP and UDP. Taken at the next start of the adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535), extend("format" = "int32"))]
    pub portmapper_port: Option<u16>,
    /// Register with an rpcbind in the pod. Taken at the next start of the adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portmapper_register_with_system: Option<bool>,
    /// Locks and mounts over UDP, too. Taken at the next start of the adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_enabled: Option<bool>,
    /// Announce the server by mDNS in the pod's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdns_enabled: Option<bool>,
}

/// A dialect of SMB.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SmbDialect {
    /// SMB 2.0.2.
    #[serde(rename = "SMB2.0")]
    V2_0,
    /// SMB 2.1.
    #[serde(rename = "SMB2.1")]
    V2_1,
    /// SMB 3.0.
    #[serde(rename = "SMB3.0")]
    V3_0,
    /// SMB 3.0.2.
    #[serde(rename = "SMB3.0.2")]
    V3_0_2,
    /// SMB 3.1.1.
    #[serde(rename = "SMB3.1.1")]
    V3_1_1,
}

/// Whether SMB messages are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmbSigning {
    /// Never.
    Disabled,
    /// When the client asks for it.
    Enabled,
    /// Always.
    Required,
}

/// Settings of SMB. What is absent stays as it is in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minDialect) || !has(self.maxDialect) || self.minDialect <= self.maxDialect").message("minDialect must not be above maxDialect"))]
pub struct SmbSettings {
    /// Lowest dialect offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<SmbDialect>")]
    pub min_dialect: Option<SmbDialect>,
    /// Highest dialect offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<SmbDialect>")]
    pub max_dialect: Option<SmbDialect>,
    /// Seconds after which an idle session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86400), extend("format" = "int32"))]
    pub session_timeout: Option<u32>,
    /// Seconds that a client gets to give an oplock back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 120), extend("format" = "int32"))]
    pub oplock_break_timeout: Option<u32>,
    /// Connections at the same time; 0 is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100000), extend("format" = "int32"))]
    pub max_connections: Option<u32>,
    /// Sessions at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000), extend("format" = "int32"))]
    pub max_sessions: Option<u32>,
    /// Whether messages are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::one::<SmbSigning>")]
    pub signing: Option<SmbSigning>,
    /// Whether directories may be leased to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_leasing_enabled: Option<bool>,
    /// Operations that are refused, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub blocked_operations: Option<Vec<OperationName>>,
    /// Announce the server by mDNS in the pod's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdns_enabled: Option<bool>,
    /// Announce the server by WS-Discovery in the pod's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wsdiscovery_enabled: Option<bool>,
}
