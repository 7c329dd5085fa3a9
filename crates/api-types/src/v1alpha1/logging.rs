//! `spec.logging`: the server's log.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The server's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Logging {
    /// Least severity that is logged; INFO when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// Form of a log line; json when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
    /// stdout (when absent), stderr, or a file on one of the server's volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self in ['stdout', 'stderr'] || ((self.startsWith('/data/controlplane/') || self.startsWith('/data/store/metadata/')) && !self.contains('/../') && !self.endsWith('/') && !self.endsWith('/..'))").message("must be stdout, stderr, or a file under /data/controlplane/ or /data/store/metadata/: the pod can write nowhere else"))]
    pub output: Option<String>,
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Normal operation.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// Failures.
    Error,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    #[default]
    Json,
}
