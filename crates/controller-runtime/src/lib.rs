//! What every controller binary shares: bootstrap, client, watches, apply, lease, metrics.

pub mod apply;
pub mod backoff;
pub mod bootstrap;
mod client;
#[cfg(test)]
mod client_tests;
mod clock;
mod connections;
mod context;
mod events;
mod fence;
mod finalizer;
mod kinds;
pub mod lease;
pub mod logs;
pub mod metrics;
mod probes;
pub mod rbac;
mod readiness;
pub mod report;
#[cfg(feature = "rest")]
pub mod rest;
mod run;
mod scope;
pub mod seam;
pub mod settings;
mod shutdown;
#[cfg(test)]
mod testing;
pub mod watch;

pub use apply::{Applied, Applier, ApplyError, Made};
pub use bootstrap::Binary;
pub use client::{ApiTimeout, ConnectError, Layers, client_from, client_over, connect};
pub use clock::{BootClock, SystemBootClock};
pub use context::{Context, Lookup};
pub use events::Events;
pub use fence::{Fence, LeaseLost};
pub use finalizer::Finalizer;
pub use kinds::{Readable, Writable};
pub use metrics::{ApiMetrics, Metrics};
pub use probes::HttpServer;
pub use readiness::{Gate, Readiness};
pub use run::{Outcome, Reconcile, RunError, RunOptions, run};
pub use scope::Scope;
pub use seam::Seam;
pub use settings::Settings;
pub use shutdown::Shutdown;
pub use watch::{
    Asked, HeldSecret, Installable, MANAGED_BY_SELECTOR, Primaries, Primary, References,
    Remembered, SecretState, Target, Triggers, WatchOptions, Watched, cluster_metadata_triggers,
    cluster_reference_triggers, metadata_triggers, reference_triggers,
};
