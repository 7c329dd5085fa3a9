//! The Services that the server-controller owns: headless, API and metrics.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::names;
use api_types::v1alpha1::{ApiService, Exposure, ServiceType};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Instance;

/// A TCP port on which a protocol adapter of the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterPort {
    /// Protocol: nfs or smb.
    pub kind: String,
    /// Port of the pod, 1 to 65535.
    pub port: u16,
}

/// The Service that gives the pod its DNS name; its ports follow the adapters as last seen.
pub fn headless_service(instance: &Instance<'_>, adapters: &[AdapterPort]) -> Service {
    let mut ports = vec![port("api", instance.spec.control_plane.port)];
    ports.extend(
        adapters
            .iter()
            .map(|adapter| port(&adapter.kind, adapter.port)),
    );
    let mut service = service(
        instance,
        meta(
            instance,
            names::headless_service(instance.name),
            Component::Server,
        ),
        ServiceType::ClusterIp,
        ports,
    );
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
        // The name of a pod that is still starting resolves too.
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

/// The Service of the REST API.
pub fn api_service(instance: &Instance<'_>) -> Service {
    let wish = &instance.spec.service;
    let mut metadata = meta(instance, names::api_service(instance.name), Component::Api);
    let ApiService {
        kind,
        annotations,
        node_port,
        exposure,
    } = wish;
    if !annotations.is_empty() {
        metadata.annotations = Some(annotations.clone());
    }
    let port = ServicePort {
        node_port: node_port.map(i32::from),
        ..port("api", instance.spec.control_plane.port)
    };
    exposed(service(instance, metadata, *kind, vec![port]), exposure)
}

/// `service` with the settings of `exposure`. What is not set stays with the API server and the
/// cloud: they are no fields of ours.
pub(crate) fn exposed(mut service: Service, exposure: &Exposure) -> Service {
    let Exposure {
        load_balancer_source_ranges,
        load_balancer_class,
        external_traffic_policy,
        internal_traffic_policy,
        ip_families,
        ip_family_policy,
    } = exposure;
    if let Some(spec) = &mut service.spec {
        spec.load_balancer_source_ranges = (!load_balancer_source_ranges.is_empty()).then(|| {
            load_balancer_source_ranges
                .iter()
                .map(|range| range.0.clone())
                .collect()
        });
        spec.load_balancer_class.clone_from(load_balancer_class);
        spec.external_traffic_policy =
            external_traffic_policy.map(|policy| policy.as_str().to_owned());
        spec.internal_traffic_policy =
            internal_traffic_policy.map(|policy| policy.as_str().to_owned());
        spec.ip_families = (!ip_families.is_empty()).then(|| {
            ip_families
                .iter()
                .map(|family| family.as_str().to_owned())
                .collect()
        });
        spec.ip_family_policy = ip_family_policy.map(|policy| policy.as_str().to_owned());
    }
    service
}

/// The Service of the Prometheus endpoint; `None` while metrics are off.
pub fn metrics_service(instance: &Instance<'_>) -> Option<Service> {
    let metrics = instance
        .spec
        .metrics
        .as_ref()
        .filter(|metrics| metrics.enabled)?;
    let mut metadata = meta(
        instance,
        names::metrics_service(instance.name),
        Component::Metrics,
    );
    metadata.annotations = Some(BTreeMap::from([
        ("prometheus.io/path".to_owned(), metrics.path.clone()),
        ("prometheus.io/port".to_owned(), metrics.port.to_string()),
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
    ]));
    Some(service(
        instance,
        metadata,
        ServiceType::ClusterIp,
        vec![port("metrics", metrics.port)],
    ))
}

pub(crate) fn meta(instance: &Instance<'_>, name: String, component: Component) -> ObjectMeta {
    instance.owned(name, labels::selected(instance.name, component))
}

pub(crate) fn service(
    instance: &Instance<'_>,
    metadata: ObjectMeta,
    kind: ServiceType,
    ports: Vec<ServicePort>,
) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(kind.as_str().to_owned()),
            selector: Some(labels::selector(instance.name)),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(crate) fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::server;
    use serde_json::json;

    fn api(service: serde_json::Value) -> serde_json::Value {
        let server = server(json!({ "service": service }));
        let service = api_service(&Instance::of(&server).unwrap());
        serde_json::to_value(service.spec.unwrap()).unwrap()
    }

    #[test]
    fn what_the_spec_does_not_set_is_left_to_the_cluster() {
        let spec = api(json!({"type": "LoadBalancer"}));
        let mut fields: Vec<_> = spec.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["ports", "selector", "type"]);
        assert_eq!(spec["ports"][0].get("nodePort"), None);
    }

    #[test]
    fn what_the_spec_sets_is_written() {
        let spec = api(json!({
            "type": "LoadBalancer", "nodePort": 30123, "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "loadBalancerClass": "example.org/internal", "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack",
        }));
        assert_eq!(spec["ports"][0]["nodePort"], 30123);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));
        assert_eq!(spec["loadBalancerClass"], "example.org/internal");
        assert_eq!(spec["externalTrafficPolicy"], "Local");
        assert_eq!(spec["internalTrafficPolicy"], "Cluster");
        assert_eq!(spec["ipFamilies"], json!(["IPv6", "IPv4"]));
        assert_eq!(spec["ipFamilyPolicy"], "PreferDualStack");
    }
}
