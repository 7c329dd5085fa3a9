//! The two kinds as Kubernetes objects. Their specs stay JSON: of the Prometheus operator's schema
//! we write twenty fields, and must see all the others to notice what somebody else put there.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $plural:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// Standard metadata.
            pub metadata: ObjectMeta,
            /// What is wanted.
            #[serde(default)]
            pub spec: Value,
        }

        impl $name {
            /// Name of the CustomResourceDefinition.
            pub const CRD: &str = concat!($plural, ".monitoring.coreos.com");
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($name).into()
            }
            fn group((): &()) -> Cow<'_, str> {
                "monitoring.coreos.com".into()
            }
            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }
            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

kind!(
    /// How Prometheus finds and scrapes the endpoints of a Service:
    /// <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor>.
    ServiceMonitor,
    "servicemonitors"
);
kind!(
    /// Rules that Prometheus evaluates:
    /// <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule>.
    PrometheusRule,
    "prometheusrules"
);
