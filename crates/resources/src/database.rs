//! The objects around a database elsewhere: the cluster that its operator is asked for, and the Secret with the
//! parts of a connection that people gave as one text.

use std::collections::BTreeMap;

use api_types::labels::Component;
use api_types::names;
use api_types::v1alpha1::DatabaseProvider;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use percona_bridge::{CnpgCluster, Managed, Parts, PerconaPGCluster, Seen};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::Instance;
use crate::credentials::opaque;

/// One value for each kind of database cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database<Percona, Cnpg> {
    /// That of the Percona operator.
    pub percona: Percona,
    /// That of the CloudNativePG operator.
    pub cloudnative_pg: Cnpg,
}

/// The PerconaPGCluster that `managed` asks for; `None` where it is another operator's, or not ours to make. It
/// has no owner: deleting the server keeps it. `live` is the object that exists.
pub fn percona_cluster(
    instance: &Instance<'_>,
    managed: &Managed,
    live: Option<Seen<'_>>,
) -> Option<PerconaPGCluster> {
    let (metadata, spec) = asked_of(DatabaseProvider::Percona, instance, managed, live)?;
    Some(PerconaPGCluster {
        metadata,
        spec,
        status: Value::Null,
    })
}

/// The Cluster of CloudNativePG that `managed` asks for; `None` where it is another operator's, or not ours to
/// make. It has no owner: deleting the server keeps it. `live` is the object that exists.
pub fn cnpg_cluster(
    instance: &Instance<'_>,
    managed: &Managed,
    live: Option<Seen<'_>>,
) -> Option<CnpgCluster> {
    let (metadata, spec) = asked_of(DatabaseProvider::CloudNativePg, instance, managed, live)?;
    Some(CnpgCluster {
        metadata,
        spec,
        status: Value::Null,
    })
}

/// Metadata and spec of the cluster that `managed` asks of this operator.
fn asked_of(
    operator: DatabaseProvider,
    instance: &Instance<'_>,
    managed: &Managed,
    live: Option<Seen<'_>>,
) -> Option<(ObjectMeta, Value)> {
    let is_its = managed.provider().provider() == operator;
    (is_its && managed.is_ours()).then(|| {
        let labels = instance.labels(Component::Database);
        let metadata = instance.kept(managed.cluster.clone(), labels);
        (metadata, managed.spec(instance.namespace, live))
    })
}

/// The Secret with the parts of a connection. It goes with the server: it is made anew from the text.
pub fn connection_secret(instance: &Instance<'_>, parts: &Parts) -> Secret {
    let metadata = instance.owned(
        names::database_connection(instance.name),
        instance.labels(Component::Credentials),
    );
    let values = percona_bridge::derived(parts);
    let values: BTreeMap<&str, &str> = values
        .iter()
        .map(|(key, value)| (key.as_str(), value.expose_secret()))
        .collect();
    opaque(metadata, values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::instance::tests::server;

    #[test]
    fn a_cluster_has_our_labels_and_no_owner() {
        let server = server(json!({"database": {"percona": {}}}));
        let instance = Instance::of(&server).unwrap();
        let Ok(percona_bridge::Source::Managed(managed)) =
            percona_bridge::source("files", &server.spec, false)
        else {
            panic!("it is managed")
        };
        let cluster = percona_cluster(&instance, &managed, None).unwrap();
        assert_eq!(cluster.metadata.name.as_deref(), Some("files-postgres"));
        assert_eq!(cluster.metadata.owner_references, None);
        assert!(instance.owns(&cluster));
        assert_eq!(cnpg_cluster(&instance, &managed, None), None);
    }
}
