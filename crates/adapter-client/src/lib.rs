#![doc = include_str!("../README.md")]

mod adapter_settings;
mod adapters;
mod answer;
mod auth;
mod client;
mod clock;
mod error;
mod health;
mod http_transport;
mod retry;
mod route;
mod routes;
mod session;
mod settings;
mod text;
mod tls;
mod transport;
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
pub use client::{BuildError, Builder, Client, Timeouts};
pub use clock::{Clock, SystemClock};
pub use error::{Denial, Error, Refusal, Stage};
pub use health::{
    AdapterCount, ControlPlane, GracePeriod, HealthReport, HealthStatus, Liveness, Loaded,
    Readiness, Server,
};
pub use http_transport::HttpTransport;
pub use retry::{Jitter, RetryPolicy};
pub use route::{Access, Class, Route, Verb};
pub use routes::ROUTES;
pub use session::Account;
pub use settings::{Setting, Settings};
pub use tls::{ClientCertificate, Roots, TlsSettings};
pub use transport::{ByteStream, Dial, Limits, Target, TcpDial, Transport, TransportError};
pub use users::{NewUser, Role, User, UserChange, Users};
pub use wire::{ByteSize, GoDuration, Milliseconds, ReportedSize, Seconds};
