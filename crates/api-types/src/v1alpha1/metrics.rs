//! `spec.metrics`: the server's Prometheus endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::ports;
use crate::reference::{ObjectName, SecretKeyRef};

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
    /// Secret of type kubernetes.io/tls with the endpoint's certificate (tls.crt, tls.key, and ca.crt where the issuer has one). It must hold the name NAME-metrics.NAMESPACE.svc. The server reads it at its start only: a renewed certificate restarts the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_name: Option<ObjectName>,
    /// The ServiceMonitor that is made while metrics are enabled and the cluster has the Prometheus operator's CRD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_monitor: Option<ServiceMonitor>,
    /// The PrometheusRule with alerts that is made while metrics are enabled and the cluster has the Prometheus operator's CRD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_rule: Option<PrometheusRule>,
}

impl Metrics {
    /// The settings of the ServiceMonitor; `None` when the spec wants none.
    pub fn wanted_monitor(&self) -> Option<ServiceMonitor> {
        let settings = self.service_monitor.clone().unwrap_or_default();
        (self.enabled && settings.enabled != Some(false)).then_some(settings)
    }

    /// The settings of the PrometheusRule; `None` when the spec wants none.
    pub fn wanted_rule(&self) -> Option<PrometheusRule> {
        let settings = self.prometheus_rule.clone().unwrap_or_default();
        (self.enabled && settings.enabled != Some(false)).then_some(settings)
    }
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
            cert_secret_name: None,
            service_monitor: None,
            prometheus_rule: None,
        }
    }
}

/// A duration that both Prometheus and CEL read: whole numbers of `h`, `m`, `s` and `ms`, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScrapeDuration(pub String);

impl JsonSchema for ScrapeDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ScrapeDuration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 2, "maxLength": 32,
            "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        })
    }
}

/// The ServiceMonitor: how Prometheus finds and scrapes the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.interval) || !has(self.scrapeTimeout) || duration(self.scrapeTimeout) <= duration(self.interval)").message("scrapeTimeout must not be longer than interval: the Prometheus operator ignores such a ServiceMonitor"))]
pub struct ServiceMonitor {
    /// Whether it is made; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Time between two scrapes, at least 1s; Prometheus' own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub interval: Option<ScrapeDuration>,
    /// Time after which a scrape is given up, not longer than the interval; Prometheus' own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("must be longer than 0s"))]
    pub scrape_timeout: Option<ScrapeDuration>,
    /// Labels by which a Prometheus selects it (serviceMonitorSelector), at most 64. The operator's own labels win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub labels: BTreeMap<String, String>,
}

/// The PrometheusRule: alerts on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    /// Whether it is made; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Labels by which a Prometheus selects it (ruleSelector), at most 64. The operator's own labels win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub labels: BTreeMap<String, String>,
}
