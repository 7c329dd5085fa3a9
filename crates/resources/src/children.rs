//! The kinds of children of a DittoServer.

/// One value for each child that the server-controller applies.
///
/// Code that handles children takes this struct apart without `..`: a new kind of child does not
/// compile before every step handles it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children<ConfigMap, Service, StatefulSet, Budget, Policy, Monitor, Rule> {
    /// The configuration file.
    pub config: ConfigMap,
    /// The pod's DNS name.
    pub headless: Service,
    /// The REST API.
    pub api: Service,
    /// The Prometheus endpoint, wanted while metrics are enabled.
    pub metrics: Service,
    /// The pod and its claims.
    pub stateful_set: StatefulSet,
    /// The pod's protection against evictions.
    pub budget: Budget,
    /// Who may reach the API.
    pub policy: Policy,
    /// How Prometheus scrapes the endpoint, wanted while metrics are enabled, where the cluster has
    /// the kind.
    pub monitor: Monitor,
    /// Alerts on the server, wanted while metrics are enabled, where the cluster has the kind.
    pub rule: Rule,
}
