//! The two kinds as Kubernetes objects. Their specs stay JSON: of either schema we write twenty fields, and
//! must see all the others to notice what somebody else put there.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $group:literal, $version:literal, $plural:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// Standard metadata.
            pub metadata: ObjectMeta,
            /// What is wanted.
            #[serde(default)]
            pub spec: Value,
            /// What is; written by the operator of the kind.
            #[serde(default, skip_serializing_if = "Value::is_null")]
            pub status: Value,
        }

        impl $name {
            /// Name of the CustomResourceDefinition.
            pub const CRD: &str = concat!($plural, ".", $group);
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }
            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> Cow<'_, str> {
                $version.into()
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
    /// A PostgreSQL cluster of the Percona operator:
    /// <https://docs.percona.com/percona-operator-for-postgresql/>.
    PerconaPGCluster,
    "PerconaPGCluster",
    "pgv2.percona.com",
    "v2",
    "perconapgclusters"
);
kind!(
    /// A PostgreSQL cluster of the CloudNativePG operator:
    /// <https://cloudnative-pg.io/documentation/>.
    CnpgCluster,
    "Cluster",
    "postgresql.cnpg.io",
    "v1",
    "clusters"
);
