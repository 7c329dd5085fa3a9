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
}

fn polling_interval() -> GoDuration {
    "30s".into()
}

impl Default for AdapterDiscovery {
    fn default() -> Self {
        AdapterDiscovery {
            polling_interval: polling_interval(),
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
