//! Protocol tuning of the adapters (contract 3.8). The server reads changes
//! every 10 s; portmapper and UDP need the adapter to be disabled and enabled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    adapters::{AdapterType, Adapters},
    error::Error,
    route::{Access, Request, Route},
    wire::{Milliseconds, Seconds, list},
};

pub(crate) static GET: Route = Route::get(
    "adapter_settings.get",
    "/api/v1/adapters/{type}/settings",
    Access::Admin,
);
pub(crate) static PATCH: Route = Route::patch(
    "adapter_settings.patch",
    "/api/v1/adapters/{type}/settings",
    Access::Admin,
);
pub(crate) static PUT: Route = Route::put(
    "adapter_settings.put",
    "/api/v1/adapters/{type}/settings",
    Access::Admin,
);
pub(crate) static DEFAULTS: Route = Route::get(
    "adapter_settings.defaults",
    "/api/v1/adapters/{type}/settings/defaults",
    Access::Admin,
);
pub(crate) static RESET: Route = Route::post(
    "adapter_settings.reset",
    "/api/v1/adapters/{type}/settings/reset",
    Access::Admin,
)
.repeatable();

/// The settings of one kind of adapter: [`NfsSettings`] or [`SmbSettings`].
pub trait AdapterSettings: Serialize + DeserializeOwned + Send + Sync {
    /// A partial change of them.
    type Patch: Serialize + Send + Sync;

    /// Whose settings they are.
    const KIND: AdapterType;
}

/// Settings of the NFS adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NfsSettings {
    /// Lowest NFS version: `3`, `4.0`, `4.1`.
    pub min_version: String,
    /// Highest NFS version: `3`, `4.0`, `4.1`.
    pub max_version: String,
    /// NFSv4 lease, 10 to 3600.
    pub lease_time: Seconds,
    /// NFSv4 grace period after a restart, 10 to 3600.
    pub grace_period: Seconds,
    /// Wait for a recalled delegation, 10 to 600.
    pub delegation_recall_timeout: Seconds,
    /// Wait for a client's callback, 1 to 60.
    pub callback_timeout: Seconds,
    /// Wait for a lease break, 5 to 120.
    pub lease_break_timeout: Seconds,
    /// TCP connections; 0 is unlimited.
    pub max_connections: u32,
    /// NFSv4 clients, 1 to 1000000.
    pub max_clients: u32,
    /// Operations in one request, 4 to 1000.
    pub max_compound_ops: u32,
    /// Bytes per read, 4096 to 16777216.
    pub max_read_size: u32,
    /// Bytes per write, 4096 to 16777216.
    pub max_write_size: u32,
    /// Bytes per transfer that clients are told, 4096 to 16777216.
    pub preferred_transfer_size: u32,
    /// Whether NFSv4 delegations are given.
    pub delegations_enabled: bool,
    /// Delegations at a time, up to 1000000.
    pub max_delegations: u32,
    /// Time in which directory notifications are gathered, up to 5000.
    pub dir_deleg_batch_window_ms: Milliseconds,
    /// Lowest NFSv4 minor version. The server ignores changes.
    pub v4_min_minor_version: u32,
    /// Highest NFSv4 minor version. The server ignores changes.
    pub v4_max_minor_version: u32,
    /// Connections per NFSv4.1 session. The server ignores changes.
    pub v4_max_connections_per_session: u32,
    /// NFS operations that are refused.
    #[serde(deserialize_with = "list")]
    pub blocked_operations: Vec<String>,
    /// Whether a portmapper runs; needs a restart of the adapter.
    pub portmapper_enabled: bool,
    /// Its port.
    pub portmapper_port: u16,
    /// Whether it registers with the system's rpcbind.
    pub portmapper_register_with_system: bool,
    /// NFS over UDP; needs a restart of the adapter.
    pub udp_enabled: bool,
    /// Announcement over mDNS.
    pub mdns_enabled: bool,
    /// Grows with every change; never sent.
    #[serde(skip_serializing)]
    pub version: u64,
}

/// What to change of [`NfsSettings`]; `None` leaves it. Units and ranges are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NfsSettingsPatch {
    /// Lowest NFS version: `3`, `4.0`, `4.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Highest NFS version: `3`, `4.0`, `4.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<String>,
    /// NFSv4 lease, 10 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<Seconds>,
    /// NFSv4 grace period after a restart, 10 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Seconds>,
    /// Wait for a recalled delegation, 10 to 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation_recall_timeout: Option<Seconds>,
    /// Wait for a client's callback, 1 to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_timeout: Option<Seconds>,
    /// Wait for a lease break, 5 to 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_break_timeout: Option<Seconds>,
    /// TCP connections; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// NFSv4 clients, 1 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
    /// Operations in one request, 4 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_compound_ops: Option<u32>,
    /// Bytes per read, 4096 to 16777216.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_read_size: Option<u32>,
    /// Bytes per write, 4096 to 16777216.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_write_size: Option<u32>,
    /// Bytes per transfer that clients are told, 4096 to 16777216.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_transfer_size: Option<u32>,
    /// Whether NFSv4 delegations are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegations_enabled: Option<bool>,
    /// Delegations at a time, up to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delegations: Option<u32>,
    /// Time in which directory notifications are gathered, up to 5000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir_deleg_batch_window_ms: Option<Milliseconds>,
    /// Lowest NFSv4 minor version. The server ignores changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4_min_minor_version: Option<u32>,
    /// Highest NFSv4 minor version. The server ignores changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4_max_minor_version: Option<u32>,
    /// Connections per NFSv4.1 session. The server ignores changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4_max_connections_per_session: Option<u32>,
    /// NFS operations that are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_operations: Option<Vec<String>>,
    /// Whether a portmapper runs; needs a restart of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portmapper_enabled: Option<bool>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portmapper_port: Option<u16>,
    /// Whether it registers with the system's rpcbind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portmapper_register_with_system: Option<bool>,
    /// NFS over UDP; needs a restart of the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_enabled: Option<bool>,
    /// Announcement over mDNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mdns_enabled: Option<bool>,
}

impl AdapterSettings for NfsSettings {
    type Patch = NfsSettingsPatch;

    const KIND: AdapterType = AdapterType::Nfs;
}

/// Settings of the SMB adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmbSettings {
    /// Lowest dialect: `SMB2.0`, `SMB2.1`, `SMB3.0`, `SMB3.0.2`, `SMB3.1.1`.
    pub min_dialect: String,
    /// Highest dialect.
    pub max_dialect: String,
    /// Idle time after which a session ends, 60 to 86400.
    pub session_timeout: Seconds,
    /// Wait for an oplock break, 5 to 120.
    pub oplock_break_timeout: Seconds,
    /// TCP connections; 0 is unlimited.
    pub max_connections: u32,
    /// Sessions, 1 to 1000000.
    pub max_sessions: u32,
    /// Has practically no effect; shares have a switch of their own.
    pub enable_encryption: bool,
    /// Empty, `disabled`, `enabled` or `required`.
    pub signing: String,
    /// Whether directories are leased.
    pub directory_leasing_enabled: bool,
    /// SMB operations that are refused.
    #[serde(deserialize_with = "list")]
    pub blocked_operations: Vec<String>,
    /// Announcement over mDNS.
    pub mdns_enabled: bool,
    /// Announcement over WS-Discovery.
    pub wsdiscovery_enabled: bool,
    /// Grows with every change; never sent.
    #[serde(skip_serializing)]
    pub version: u64,
}

/// What to change of [`SmbSettings`]; `None` leaves it. Units and ranges are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SmbSettingsPatch {
    /// Lowest dialect: `SMB2.0`, `SMB2.1`, `SMB3.0`, `SMB3.0.2`, `SMB3.1.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_dialect: Option<String>,
    /// Highest dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_dialect: Option<String>,
    /// Idle time after which a session ends, 60 to 86400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_timeout: Option<Seconds>,
    /// Wait for an oplock break, 5 to 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oplock_break_timeout: Option<Seconds>,
    /// TCP connections; 0 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Sessions, 1 to 1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Has practically no effect; shares have a switch of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_encryption: Option<bool>,
    /// Empty, `disabled`, `enabled` or `required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<String>,
    /// Whether directories are leased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_leasing_enabled: Option<bool>,
    /// SMB operations that are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_operations: Option<Vec<String>>,
    /// Announcement over mDNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mdns_enabled: Option<bool>,
    /// Announcement over WS-Discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wsdiscovery_enabled: Option<bool>,
}

impl AdapterSettings for SmbSettings {
    type Patch = SmbSettingsPatch;

    const KIND: AdapterType = AdapterType::Smb;
}

/// What to do with changed settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// Check and store.
    #[default]
    Store,
    /// Check only.
    DryRun,
    /// Store, also values outside their range.
    Force,
}

impl WriteMode {
    fn on(self, request: Request) -> Request {
        match self {
            WriteMode::Store => request,
            WriteMode::DryRun => request.query("dry_run", "true"),
            WriteMode::Force => request.query("force", "true"),
        }
    }
}

/// The values a fresh server has, and what it accepts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SettingsDefaults<S> {
    /// The values.
    pub defaults: S,
    /// Per setting what is accepted; settings without an entry are free.
    pub ranges: BTreeMap<String, SettingRange>,
}

/// What a setting accepts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SettingRange {
    /// Smallest number.
    pub min: Option<Value>,
    /// Largest number.
    pub max: Option<Value>,
    /// The words, for a setting that is one.
    #[serde(default, deserialize_with = "list")]
    pub values: Vec<String>,
}

impl Adapters<'_> {
    /// The settings: `adapters().settings::<NfsSettings>()`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the adapter was deleted.
    pub async fn settings<S: AdapterSettings>(&self) -> Result<S, Error> {
        self.0.call(GET.at(&[S::KIND.as_str()])).await
    }

    /// Changes some settings; gives all of them as they are then, with
    /// [`WriteMode::DryRun`] as they would be.
    ///
    /// # Errors
    /// [`Error::Invalid`] (422) with the fields that are out of range; [`Error::NotFound`].
    pub async fn patch_settings<S: AdapterSettings>(
        &self,
        patch: &S::Patch,
        mode: WriteMode,
    ) -> Result<S, Error> {
        let request = PATCH.at(&[S::KIND.as_str()]).json(patch);
        self.0.call(mode.on(request)).await
    }

    /// Replaces all settings; gives them as they are then.
    ///
    /// # Errors
    /// [`Error::Invalid`] (422) with the fields that are out of range; [`Error::NotFound`].
    pub async fn put_settings<S: AdapterSettings>(
        &self,
        settings: &S,
        mode: WriteMode,
    ) -> Result<S, Error> {
        let request = PUT.at(&[S::KIND.as_str()]).json(settings);
        self.0.call(mode.on(request)).await
    }

    /// The values of a fresh server, and what it accepts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn setting_defaults<S: AdapterSettings>(&self) -> Result<SettingsDefaults<S>, Error> {
        self.0.call(DEFAULTS.at(&[S::KIND.as_str()])).await
    }

    /// Sets one setting, or all of them, back to the default. `udp_enabled`
    /// cannot be reset alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown setting; [`Error::NotFound`].
    pub async fn reset_settings<S: AdapterSettings>(
        &self,
        setting: Option<&str>,
    ) -> Result<S, Error> {
        let mut request = RESET.at(&[S::KIND.as_str()]);
        if let Some(setting) = setting {
            request = request.query("setting", setting);
        }
        self.0.call(request).await
    }
}
