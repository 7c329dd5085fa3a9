//! `spec.adapterDiscovery`, `spec.disruption`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// How the live protocol adapters are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdapterDiscovery {
    /// Time between two looks at the server, at least 10 seconds. A change does not restart the server.
    #[serde(default = "polling_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s')").message("must be at least 10s"))]
    pub polling_interval: GoDuration,
    /// Time between two looks while something is under way, such as an adapter that is being started: 1 second to 1 minute.
    #[serde(default = "pending_interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1m')").message("must be between 1s and 1m"))]
    pub pending_interval: GoDuration,
    /// The Service of an adapter goes when this many answers of the server in a row say that the adapter is disabled or not there, 1 to 100. A look that failed is no answer.
    #[serde(default = "remove_after_polls")]
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub remove_after_polls: u32,
}

fn polling_interval() -> GoDuration {
    "30s".into()
}

fn pending_interval() -> GoDuration {
    "2s".into()
}

fn remove_after_polls() -> u32 {
    3
}

impl Default for AdapterDiscovery {
    fn default() -> Self {
        AdapterDiscovery {
            polling_interval: polling_interval(),
            pending_interval: pending_interval(),
            remove_after_polls: remove_after_polls(),
        }
    }
}

/// Whether a node drain may evict the server's pod. There is only one pod: an eviction costs its clients their sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Disruption {
    /// Evictions are allowed; clients reconnect to the new pod.
    #[default]
    Allow,
    /// Evictions are refused until a person deletes the pod.
    Block,
}
