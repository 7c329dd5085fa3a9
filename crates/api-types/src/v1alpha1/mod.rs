//! Version `v1alpha1` of the group `dittofs.dittofs.com`.

mod adapters;
mod bounded;
mod control_plane;
mod database;
mod extra_volume;
mod identity;
mod logging;
mod managed_database;
mod metrics;
mod network;
mod network_policy;
mod percona;
mod pod;
mod probes;
pub mod reserved;
mod retired;
mod server;
mod service;
mod share;
mod share_access;
mod share_status;
mod share_stores;
mod sharing;
mod snapshots;
mod status;
mod storage;
mod text;

pub use adapters::{
    AdapterKind, Adapters, NfsAdapter, NfsSettings, NfsTls, NfsTlsMode, NfsVersion, OperationName,
    SmbAdapter, SmbDialect, SmbSettings, SmbSigning,
};
pub use control_plane::ControlPlane;
pub use database::{Database, DatabaseName, DatabaseSecret, DatabaseType, Sqlite, SslMode};
pub use extra_volume::ExtraVolume;
pub use identity::{Admin, Identity, IdentityType, Idmap, Jwt, Kerberos, Ldap, MachineAccount};
pub use logging::{LogFormat, LogLevel, Logging};
pub use managed_database::{CloudNativePgDatabase, ClusterRef, DatabaseDeletion, PerconaDatabase};
pub use metrics::{Metrics, PrometheusRule, ScrapeDuration, ServiceMonitor};
pub use network::{AdapterDiscovery, Disruption};
pub use network_policy::NetworkPolicySettings;
pub use percona::{Percona, PerconaBackup};
pub use pod::{DnsPolicy, ImagePullPolicy, PodSettings};
pub use probes::{Probes, RepeatedProbe, StartupProbe};
pub use retired::RetiredSection;
pub use server::{DEFAULT_IMAGE, DittoServer, DittoServerSpec};
pub use service::{
    ADDRESS_DEADLINE_SECONDS, AdapterServiceOverride, AdapterServices, ApiService, Cidr, Exposure,
    IpFamily, IpFamilyPolicy, ServiceType, TrafficPolicy, WhenStopped,
};
pub use share::{
    CachePolicy, CacheRetention, DittoFSShare, DittoFSShareSpec, MAX_SHARE_NAME, ServerRef,
    ShareName, ShareSnapshotPolicy, Trash,
};
pub use share_access::{
    GroupAccess, KerberosLevel, NfsAccess, NfsKerberos, Permission, ShareAccess, SmbAccess, Squash,
    UserAccess,
};
pub use share_status::{DittoFSShareStatus, ShareMount, ShareStore, ShareStores, ShareUsage};
pub use share_stores::{
    Aead, BlockStore, Compression, Encryption, ExistingStore, LocalBlockStore, LocalBlockStoreType,
    MetadataStore, MetadataStoreType, PostgresStore, RemoteBlockStore, S3,
};
pub use sharing::{AllowedNamespaces, NamespacesFrom, ShareSettings};
pub use snapshots::SnapshotPolicy;
pub use status::{
    AdapterAddress, AdapterService, AdapterStatus, ApiStatus, AwaitedRestart, ClaimStatus,
    DatabaseProvider, DatabaseStatus, DittoServerStatus, KERBEROS_IN_USE, MetadataDatabase, Phase,
    PushedSecret, StorageStatus,
};
pub use storage::{Retention, RetentionPolicy, Storage};
pub use text::Text;

/// API group of the DittoFS resources.
pub const GROUP: &str = "dittofs.dittofs.com";
/// This version.
pub const VERSION: &str = "v1alpha1";
