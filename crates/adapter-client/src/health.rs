//! Health of the server and of its parts.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    client::Client,
    error::Error,
    route::{Access, Route},
    wire::{Milliseconds, Seconds, cleaned, list, words},
};

pub(crate) static LIVE: Route = Route::get("server.health", "/health", Access::Anonymous);
pub(crate) static READY: Route = Route::get("server.ready", "/health/ready", Access::Anonymous);

words! {
    /// How a part of the server does.
    HealthStatus {
        /// Works.
        Healthy = "healthy",
        /// Works with restrictions, for instance without its remote store.
        Degraded = "degraded",
        /// Does not work.
        Unhealthy = "unhealthy",
        /// Cannot be told; also what is not loaded or has not started.
        Unknown = "unknown",
        /// Switched off.
        Disabled = "disabled",
    }
}

/// What the server says about one of its parts. The server keeps a report for
/// 5 s, also across changes of that part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HealthReport {
    /// The verdict.
    pub status: HealthStatus,
    /// Its reason, in the server's words: one line of at most 400 characters.
    #[serde(default, deserialize_with = "cleaned")]
    pub message: String,
    /// When it was found.
    pub checked_at: Timestamp,
    /// How long finding it took.
    #[serde(default, rename = "latency_ms")]
    pub latency: Milliseconds,
}

/// The server as a whole, without an account (server contract 5.1). See [`Client::server`].
#[derive(Clone, Copy, Debug)]
pub struct Server<'a>(&'a Client);

impl Client {
    /// Health of the server; needs no account.
    #[must_use]
    pub fn server(&self) -> Server<'_> {
        Server(self)
    }
}

/// Answer of `GET /health`, always given with status 200.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Liveness {
    /// `degraded` when the database is away.
    pub status: HealthStatus,
    /// The server's time.
    pub timestamp: Timestamp,
    /// The rest.
    pub data: ControlPlane,
}

/// The process that answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ControlPlane {
    /// `dittofs`.
    pub service: String,
    /// When this process started.
    pub started_at: Timestamp,
    /// For how long it has run.
    #[serde(rename = "uptime_sec")]
    pub uptime: Seconds,
    /// `reachable` or `unreachable`; kept for 5 s.
    pub control_plane_db: String,
}

/// Answer of `GET /health/ready`: 200 as soon as the API listens. It tests
/// neither database nor stores nor ports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Readiness {
    /// `healthy`.
    pub status: HealthStatus,
    /// The server's time.
    pub timestamp: Timestamp,
    /// What is loaded.
    pub data: Loaded,
}

/// What the server has loaded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Loaded {
    /// Shares that were loaded; fewer than exist when one is broken.
    pub shares: u64,
    /// Open metadata stores.
    pub metadata_stores: u64,
    /// Adapters that were launched.
    pub adapters: AdapterCount,
    /// NFSv4 grace period; absent without the NFS adapter.
    pub grace_period: Option<GracePeriod>,
}

/// Adapters that were launched, whether or not their port is open.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AdapterCount {
    /// How many.
    pub running: u64,
    /// Which, in no fixed order.
    #[serde(deserialize_with = "list")]
    pub types: Vec<String>,
}

/// The time in which NFSv4 clients may reclaim their state after a restart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GracePeriod {
    /// Whether it runs.
    pub active: bool,
    /// Seconds until it ends.
    pub remaining_seconds: f64,
    /// Clients that had state.
    pub expected_clients: u64,
    /// Clients that have reclaimed it.
    pub reclaimed_clients: u64,
}

impl Server<'_> {
    /// Whether the process lives, since when, and whether its database answers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn health(&self) -> Result<Liveness, Error> {
        self.0.call(LIVE.at(&[])).await
    }

    /// What is loaded.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ready(&self) -> Result<Readiness, Error> {
        self.0.call(READY.at(&[])).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_report_says_fits_into_a_status() {
        let long = format!("<b>listen</b>\u{1b}[31m\nfailed {}", "x".repeat(1 << 20));
        let report: HealthReport = serde_json::from_value(json!({
            "status": "unhealthy", "message": long, "checked_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        let said = report.message;
        assert!(said.chars().count() <= 401, "{} characters", said.len());
        assert!(said.starts_with("listen"), "{said}");
        assert!(!said.contains(char::is_control), "{said}");
    }
}
