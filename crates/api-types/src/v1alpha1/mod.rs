//! Version `v1alpha1` of the group `dittofs.dittofs.com`.

mod control_plane;
mod database;
mod identity;
mod logging;
mod metrics;
mod network;
mod percona;
mod retired;
mod server;
mod snapshots;
mod status;
mod storage;
mod text;

pub use control_plane::ControlPlane;
pub use database::{Database, DatabaseType, Sqlite};
pub use identity::{Admin, Identity, IdentityType, Idmap, Jwt, Kerberos, Ldap, MachineAccount};
pub use logging::{LogFormat, LogLevel, Logging};
pub use metrics::{Metrics, ServiceMonitor};
pub use network::{AdapterDiscovery, AdapterServices, ApiService, Disruption, ServiceType};
pub use percona::{Percona, PerconaBackup};
pub use retired::RetiredSection;
pub use server::{DEFAULT_IMAGE, DittoServer, DittoServerSpec};
pub use snapshots::SnapshotPolicy;
pub use status::{
    AdapterAddress, AdapterService, AdapterStatus, ApiStatus, ClaimStatus, DatabaseProvider,
    DatabaseStatus, DittoServerStatus, MetadataDatabase, Phase, PushedSecret, StorageStatus,
};
pub use storage::{Retention, RetentionPolicy, Storage};
pub use text::Text;

/// API group of the DittoFS resources.
pub const GROUP: &str = "dittofs.dittofs.com";
/// This version.
pub const VERSION: &str = "v1alpha1";
