#![doc = include_str!("../README.md")]

mod adapter_settings;
mod adapters;
mod answer;
mod auth;
mod block_stores;
mod blocks;
mod client;
mod clients;
mod clock;
mod error;
mod gc;
mod groups;
mod health;
mod http_transport;
mod identity_mappings;
mod identity_providers;
mod metadata_stores;
mod netgroups;
mod netlogon;
mod nfs_options;
mod permissions;
mod quotas;
mod retry;
mod route;
mod routes;
mod session;
mod settings;
mod shares;
mod snapshot_policies;
mod snapshots;
mod stores;
mod system;
mod text;
mod tls;
mod transport;
mod trash;
mod users;
mod wire;

pub use adapter_settings::{
    AdapterSettings, NfsSettings, NfsSettingsPatch, SettingRange, SettingsDefaults, SmbSettings,
    SmbSettingsPatch, WriteMode,
};
pub use adapters::{
    Adapter, AdapterChange, AdapterPort, AdapterPortEntry, AdapterType, Adapters, NewAdapter,
    Serving,
};
pub use auth::Auth;
pub use block_stores::{
    BlockStore, BlockStoreConfig, BlockStores, Compression, Encryption, EncryptionKey, FsConfig,
    S3Config, Tier,
};
pub use blocks::{
    BlockStats, BlockStatsOfAll, BlockStatsOfShare, Blocks, Evict, Evicted, JobState, WarmJob,
    WarmStarted,
};
pub use client::{BuildError, Builder, Client, Timeouts};
pub use clients::{Clients, ConnectedClient, DurableHandle, Mount, NfsClient, SmbClient};
pub use clock::{Clock, SystemClock};
pub use error::{Denial, Error, Refusal, Stage};
pub use gc::{
    Audit, AuditResult, GarbageCollection, GcJob, GcOptions, GcRun, GcStarted, Reclaimed,
    ReconcileCount, ReconcileReport,
};
pub use groups::{Group, GroupChange, Groups, Member, NewGroup};
pub use health::{
    AdapterCount, ControlPlane, GracePeriod, HealthReport, HealthStatus, Liveness, Loaded,
    Readiness, Server,
};
pub use http_transport::{Gate, HttpTransport};
pub use identity_mappings::{IdentityMapping, IdentityMappings, NewIdentityMapping, SidMapping};
pub use identity_providers::{
    Applied, IdentityProvider, IdentityProviders, KerberosConfig, LdapConfig, LdapTls,
    MachineAccount, ProviderConfig, ProviderTest,
};
pub use metadata_stores::{MetadataStore, MetadataStoreConfig, MetadataStores};
pub use netgroups::{Netgroup, NetgroupMember, NetgroupMemberType, Netgroups};
pub use netlogon::{Netlogon, NetlogonStatus};
pub use nfs_options::{KerberosLevel, NfsOptions, NfsOptionsChange, NfsOptionsOf, Squash};
pub use permissions::{GranteeType, Permission, Permissions, SidGrant};
pub use quotas::{Quota, QuotaLimits, QuotaOf, Quotas};
pub use retry::{Jitter, RetryPolicy};
pub use route::{Access, Class, Route, Verb};
pub use routes::ROUTES;
pub use session::Account;
pub use settings::{Setting, Settings};
pub use shares::{
    NewShare, PermissionLevel, RetentionPolicy, Share, ShareChange, ShareOptions, Shares,
};
pub use snapshot_policies::{PolicyRules, SnapshotPolicies, SnapshotPolicy};
pub use snapshots::{NewSnapshot, Restored, Snapshot, SnapshotStarted, SnapshotState, Snapshots};
pub use stores::StoreHealth;
pub use system::{Drained, System};
pub use tls::{ClientCertificate, Roots, TlsSettings};
pub use transport::{ByteStream, Dial, Limits, Target, TcpDial, Transport, TransportError};
pub use trash::{Trash, TrashEmptied, TrashEntry, TrashStatus};
pub use users::{NewUser, Role, User, UserChange, Users};
pub use wire::{ByteSize, GoDuration, Milliseconds, ReportedSize, Seconds};
