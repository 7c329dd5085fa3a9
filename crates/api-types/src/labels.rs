//! Labels and selectors of every object the operator owns.

use std::collections::BTreeMap;

/// Key of the label by which the operator's watches are filtered.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on every object the operator owns.
pub const OPERATOR: &str = "dittofs-operator";
/// Key of the label that names the `DittoServer` an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Key of the label that names the part an object plays.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Key of the label that names the protocol adapter that a Service or NetworkPolicy is for.
pub const ADAPTER_TYPE: &str = "dittofs.io/adapter-type";

/// The part an object plays for its server; value of [`COMPONENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The file server itself: pods, StatefulSet, claims, configuration.
    Server,
    /// The REST control plane's Service.
    Api,
    /// The Prometheus endpoint's Service.
    Metrics,
    /// Credentials.
    Credentials,
    /// Network policies.
    Network,
    /// The Service of a protocol adapter.
    Adapter,
    /// The database.
    Database,
}

impl Component {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Component::Server => "server",
            Component::Api => "api",
            Component::Metrics => "metrics",
            Component::Credentials => "credentials",
            Component::Network => "network",
            Component::Adapter => "adapter",
            Component::Database => "database",
        }
    }
}

/// The standard labels of an object that plays `component` for the server `instance`.
pub fn standard(instance: &str, component: Component) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "dittofs"),
        (INSTANCE, instance),
        (COMPONENT, component.as_str()),
        ("app.kubernetes.io/part-of", "dittofs"),
        (MANAGED_BY, OPERATOR),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The selector of the server's pods. It is immutable in a StatefulSet, and the same as that of
/// the Go operator, so that its StatefulSets are taken over in place.
pub fn selector(instance: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app".to_owned(), "dittofs-server".to_owned()),
        ("instance".to_owned(), instance.to_owned()),
    ])
}

/// Labels of pods and Services: [`standard`] and [`selector`] together.
pub fn selected(instance: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = standard(instance, component);
    labels.extend(selector(instance));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_carry_the_selector_and_the_standard_labels() {
        let labels = selected("files", Component::Server);
        assert_eq!(labels["app"], "dittofs-server");
        assert_eq!(labels["instance"], "files");
        assert_eq!(labels[INSTANCE], "files");
        assert_eq!(labels[MANAGED_BY], "dittofs-operator");
    }
}
