//! The ServiceMonitor: everything that a scrape of the endpoint takes.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::names;
use api_types::reference::{ObjectName, SecretKeyRef};
use serde_json::{Value, json};

use super::ServiceMonitor;
use crate::Instance;

/// Key under which a Secret of a certificate holds the CA that signed it, as cert-manager writes it.
pub const CA_KEY: &str = "ca.crt";

/// What is known of the endpoint's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Its Secret holds the CA under [`CA_KEY`].
    WithCa,
    /// Its Secret holds no CA: Prometheus trusts those of its own system.
    WithoutCa,
}

/// The name that the endpoint's certificate must hold: Prometheus scrapes the pod by its address.
pub fn server_name(instance: &Instance<'_>) -> String {
    let service = names::metrics_service(instance.name);
    format!("{service}.{}.svc", instance.namespace)
}

/// The ServiceMonitor; `None` while the spec wants none. `certificate` matters only where the spec
/// names one.
pub fn service_monitor(
    instance: &Instance<'_>,
    certificate: Certificate,
) -> Option<ServiceMonitor> {
    let metrics = instance.spec.metrics.as_ref()?;
    let api_types::v1alpha1::ServiceMonitor {
        enabled: _,
        interval,
        scrape_timeout,
        labels: wanted,
    } = metrics.wanted_monitor()?;
    let mut endpoint = json!({"port": "metrics", "path": metrics.path});
    if let Some(interval) = interval {
        endpoint["interval"] = interval.0.into();
    }
    if let Some(timeout) = scrape_timeout {
        endpoint["scrapeTimeout"] = timeout.0.into();
    }
    if let Some(token) = &metrics.bearer_token_secret {
        endpoint["authorization"] = json!({"type": "Bearer", "credentials": selector(token)});
    }
    if let Some(secret) = &metrics.cert_secret_name {
        endpoint["scheme"] = "https".into();
        endpoint["tlsConfig"] = tls(instance, secret, certificate);
    }
    Some(ServiceMonitor {
        metadata: instance.owned(
            names::service_monitor(instance.name),
            super::labels(instance, wanted),
        ),
        spec: json!({
            "selector": {"matchLabels": service_labels(instance)},
            "endpoints": [endpoint],
        }),
    })
}

/// Labels that of all Services of all servers only this one's metrics Service has.
fn service_labels(instance: &Instance<'_>) -> BTreeMap<String, String> {
    let mut labels = instance.labels(Component::Metrics);
    labels.retain(|key, _| {
        key == labels::INSTANCE || key == labels::COMPONENT || key == labels::MANAGED_BY
    });
    labels
}

fn tls(instance: &Instance<'_>, secret: &ObjectName, certificate: Certificate) -> Value {
    let mut tls = json!({"serverName": server_name(instance)});
    if certificate == Certificate::WithCa {
        let ca = SecretKeyRef::new(secret.0.as_str(), CA_KEY);
        tls["ca"] = json!({"secret": selector(&ca)});
    }
    tls
}

fn selector(reference: &SecretKeyRef) -> Value {
    json!({"name": reference.name, "key": reference.key})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::server;
    use crate::metrics_service;

    fn monitor(metrics: Value, certificate: Certificate) -> Option<ServiceMonitor> {
        let server = server(json!({"metrics": metrics}));
        service_monitor(&Instance::of(&server).unwrap(), certificate)
    }

    fn endpoint(metrics: Value, certificate: Certificate) -> Value {
        monitor(metrics, certificate).unwrap().spec["endpoints"][0].clone()
    }

    #[test]
    fn it_is_there_with_metrics_unless_somebody_opts_out() {
        let wanted = |metrics| monitor(metrics, Certificate::WithoutCa).is_some();
        assert!(wanted(json!({"enabled": true})));
        assert!(wanted(
            json!({"enabled": true, "serviceMonitor": {"labels": {"a": "b"}}})
        ));
        assert!(wanted(
            json!({"enabled": true, "serviceMonitor": {"enabled": true}})
        ));
        assert!(!wanted(
            json!({"enabled": true, "serviceMonitor": {"enabled": false}})
        ));
        assert!(!wanted(
            json!({"enabled": false, "serviceMonitor": {"enabled": true}})
        ));
    }

    #[test]
    fn a_plain_endpoint_needs_port_and_path_only() {
        assert_eq!(
            endpoint(json!({"enabled": true}), Certificate::WithCa),
            json!({"port": "metrics", "path": "/metrics"})
        );
    }

    #[test]
    fn a_scrape_takes_everything_from_the_spec_and_secrets_by_reference() {
        let metrics = json!({
            "enabled": true, "port": 9191, "path": "/m",
            "bearerTokenSecret": {"name": "token", "key": "t"},
            "certSecretName": "cert",
            "serviceMonitor": {"interval": "15s", "scrapeTimeout": "5s"},
        });
        let mut expected = json!({
            "port": "metrics", "path": "/m", "interval": "15s", "scrapeTimeout": "5s", "scheme": "https",
            "authorization": {"type": "Bearer", "credentials": {"name": "token", "key": "t"}},
            "tlsConfig": {"serverName": "files-metrics.media.svc", "ca": {"secret": {"name": "cert", "key": "ca.crt"}}},
        });
        assert_eq!(endpoint(metrics.clone(), Certificate::WithCa), expected);
        expected["tlsConfig"] = json!({"serverName": "files-metrics.media.svc"});
        assert_eq!(endpoint(metrics, Certificate::WithoutCa), expected);
    }

    #[test]
    fn it_selects_the_metrics_service_and_no_other() {
        let server = server(json!({"metrics": {"enabled": true}}));
        let instance = Instance::of(&server).unwrap();
        let wanted = service_labels(&instance);
        let selected = |service: &k8s_openapi::api::core::v1::Service| {
            let labels = service.metadata.labels.as_ref().unwrap();
            wanted
                .iter()
                .all(|label| labels.get(label.0) == Some(label.1))
        };
        assert!(selected(&metrics_service(&instance).unwrap()));
        assert!(!selected(&crate::api_service(&instance)));
        assert!(!selected(&crate::headless_service(&instance, &[])));
    }

    #[test]
    fn labels_of_the_spec_are_added_and_ours_win() {
        let labels = json!({"release": "prometheus", "app.kubernetes.io/managed-by": "me"});
        let monitor = monitor(
            json!({"enabled": true, "serviceMonitor": {"labels": labels}}),
            Certificate::WithCa,
        );
        let labels = monitor.unwrap().metadata.labels.unwrap();
        assert_eq!(labels["release"], "prometheus");
        assert_eq!(labels[labels::MANAGED_BY], labels::OPERATOR);
    }
}
