//! `spec.metrics`: the server's Prometheus endpoint.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;
use crate::ports;
use crate::reference::SecretKeyRef;

/// The server's Prometheus endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Whether metrics are served.
    #[serde(default)]
    pub enabled: bool,
    /// TCP port, 1 to 65535.
    #[serde(default = "metrics_port")]
    #[schemars(range(min = 1, max = 65535), extend("format" = "int32"))]
    #[x_kube(validation = Rule::new("self != 12049 && self != 1445").message("12049 and 1445 are the server's NFS and SMB ports: choose another metrics port"))]
    pub port: u16,
    /// Path of the endpoint.
    #[serde(default = "metrics_path")]
    #[schemars(length(max = 256), regex(pattern = r"^/[-._~/a-zA-Z0-9]*$"))]
    pub path: String,
    /// Token that scrapers must present. A new value restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret: Option<SecretKeyRef>,
    /// Registration with the Prometheus operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_monitor: Option<ServiceMonitor>,
}

fn metrics_port() -> u16 {
    ports::METRICS
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            enabled: false,
            port: metrics_port(),
            path: metrics_path(),
            bearer_token_secret: None,
            service_monitor: None,
        }
    }
}

/// Registration with the Prometheus operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceMonitor {
    /// Whether a ServiceMonitor is made (metrics must be enabled too).
    #[serde(default)]
    pub enabled: bool,
    /// Time between two scrapes; Prometheus' own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// Labels by which Prometheus selects the ServiceMonitor, at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub labels: BTreeMap<String, String>,
}
