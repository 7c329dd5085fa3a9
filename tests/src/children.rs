//! The objects that a server is made of.

use api_types::names;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;
use resources::{PrometheusRule, ServiceMonitor};

/// An object that the server-controller makes for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Child {
    /// The configuration file.
    Config,
    /// The pod's DNS name.
    Headless,
    /// The REST API.
    Api,
    /// The Prometheus endpoint.
    Metrics,
    /// The pod and its claims.
    StatefulSet,
    /// The pod's protection against evictions.
    Budget,
    /// Who may reach the API.
    Policy,
    /// How Prometheus scrapes the endpoint, where the cluster has the kind.
    Monitor,
    /// Alerts on the server, where the cluster has the kind.
    Rule,
    /// The key that signs tokens.
    Jwt,
    /// The administrator's first password.
    Admin,
}

impl Child {
    /// The children that are applied and kept as they shall be, of a server without metrics.
    pub const APPLIED: [Child; 6] = [
        Child::Config,
        Child::Headless,
        Child::Api,
        Child::StatefulSet,
        Child::Budget,
        Child::Policy,
    ];
    /// The Secrets that are made once.
    pub const GENERATED: [Child; 2] = [Child::Jwt, Child::Admin];

    /// The kind of object.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        match self {
            Child::Config => ApiResource::erase::<ConfigMap>(&()),
            Child::Headless | Child::Api | Child::Metrics => ApiResource::erase::<Service>(&()),
            Child::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Child::Budget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Child::Policy => ApiResource::erase::<NetworkPolicy>(&()),
            Child::Monitor => ApiResource::erase::<ServiceMonitor>(&()),
            Child::Rule => ApiResource::erase::<PrometheusRule>(&()),
            Child::Jwt | Child::Admin => ApiResource::erase::<Secret>(&()),
        }
    }

    /// Its name for the server `server`.
    #[must_use]
    pub fn name(self, server: &str) -> String {
        match self {
            Child::Config => names::config(server),
            Child::Headless => names::headless_service(server),
            Child::Api => names::api_service(server),
            Child::Metrics => names::metrics_service(server),
            Child::StatefulSet => names::stateful_set(server),
            Child::Budget => names::disruption_budget(server),
            Child::Policy => names::baseline_policy(server),
            Child::Monitor => names::service_monitor(server),
            Child::Rule => names::prometheus_rule(server),
            Child::Jwt => names::jwt_secret(server),
            Child::Admin => names::admin_secret(server),
        }
    }

    /// Kind and name for the server `server`, as messages have it.
    #[must_use]
    pub fn called(self, server: &str) -> String {
        format!("{} {}", self.resource().kind, self.name(server))
    }
}

/// Every kind of object of which a server has some, claims included.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
    ]
}
