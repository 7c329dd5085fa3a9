//! The Services that the server-controller owns: headless, API and metrics.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::{names, v1alpha1::ServiceType};
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
    if !wish.annotations.is_empty() {
        metadata.annotations = Some(wish.annotations.clone());
    }
    service(
        instance,
        metadata,
        wish.kind,
        vec![port("api", instance.spec.control_plane.port)],
    )
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

fn meta(instance: &Instance<'_>, name: String, component: Component) -> ObjectMeta {
    instance.owned(name, labels::selected(instance.name, component))
}

fn service(
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

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
