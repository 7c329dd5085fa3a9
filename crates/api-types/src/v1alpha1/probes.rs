//! `spec.pod.probes`: how patient the kubelet is with the server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How patient the kubelet is with the server. With mutual TLS the probes only see whether the port is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// While the server starts. The API opens last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartupProbe>,
    /// Whether the server lives: when not, it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<RepeatedProbe>,
    /// Whether the server serves: when not, the Services lead nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<RepeatedProbe>,
}

/// The probe of a start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartupProbe {
    /// Seconds that a start may take before it is given up, 180 to 86400; 1800 when absent. A start replays journals and waits for remote stores: an unreachable S3 store alone takes almost three minutes. Raise progressDeadlineSeconds with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 180, max = 86400))]
    pub budget_seconds: Option<i32>,
    /// Seconds between two looks, 1 to 60; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub period_seconds: Option<i32>,
}

/// A probe that goes on for the life of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepeatedProbe {
    /// Seconds between two looks, 1 to 3600; when absent 10 for liveness, 5 for readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: Option<i32>,
    /// Seconds that an answer may take, 1 to 600; 5 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: Option<i32>,
    /// Looks in a row that must fail, 1 to 1000; when absent 6 for liveness, 3 for readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: Option<i32>,
}
