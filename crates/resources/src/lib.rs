//! From a validated DittoServer to the Kubernetes objects it needs, as pure functions that return
//! k8s-openapi structs.
//!
//! Names, labels, mount paths and variables are those of the Go operator where it had them
//! (predecessor page, sections 1.4 and 2), so that its objects are taken over in place.

mod adapters;
mod children;
mod config_map;
mod credentials;
mod database;
mod disruption;
mod environment;
mod extras;
mod instance;
mod monitoring;
mod network_policy;
mod pod;
mod probes;
mod rendering;
mod security;
mod services;
mod stateful_set;
mod volumes;

pub use adapters::{AdapterTarget, LegacyPort, adapter_policy, adapter_service, port_number};
pub use children::Children;
pub use config_map::config_map;
pub use credentials::{account_credentials, admin_secret, jwt_secret};
pub use database::{Database, cnpg_cluster, connection_secret, percona_cluster};
pub use disruption::disruption_budget;
pub use instance::Instance;
pub use monitoring::{
    Alert, CA_KEY, Certificate, PrometheusRule, ServiceMonitor, Severity, alerts, prometheus_rule,
    server_name, service_monitor,
};
pub use network_policy::baseline_policy;
pub use pod::pod_template;
pub use rendering::rendering;
pub use services::{AdapterPort, api_service, headless_service, metrics_service};
pub use stateful_set::{claim_templates, size_of, stateful_set};
pub use volumes::volumes_of;
