//! The server that objects are made for, and the metadata that they share.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::{DittoServer, DittoServerSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

/// A DittoServer as it lives in a cluster: with namespace and UID.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// Its spec.
    pub spec: &'a DittoServerSpec,
}

impl<'a> Instance<'a> {
    /// The instance that `server` is; `None` when it does not come from a cluster.
    pub fn of(server: &'a DittoServer) -> Option<Self> {
        Some(Instance {
            name: server.metadata.name.as_deref()?,
            namespace: server.metadata.namespace.as_deref()?,
            uid: server.metadata.uid.as_deref()?,
            spec: &server.spec,
        })
    }

    /// The controller reference by which the garbage collector removes a child with its server.
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: DittoServer::api_version(&()).into_owned(),
            kind: DittoServer::kind(&()).into_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// Metadata of a child that goes with its server.
    pub(crate) fn owned(&self, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![self.owner()]),
            ..self.kept(name, labels)
        }
    }

    /// Metadata of an object that outlives its server.
    pub(crate) fn kept(&self, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }
    }

    pub(crate) fn labels(&self, component: Component) -> BTreeMap<String, String> {
        labels::standard(self.name, component)
    }

    /// Whether `object` is this server's: controlled by its UID, or without a controller and
    /// labelled as this server's.
    pub fn owns<K: Resource>(&self, object: &K) -> bool {
        let controller = object
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        match controller {
            Some(owner) => owner.uid == self.uid,
            None => {
                let labels = object.labels();
                labels.get(labels::MANAGED_BY).map(String::as_str) == Some(labels::OPERATOR)
                    && labels.get(labels::INSTANCE).map(String::as_str) == Some(self.name)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    /// A server as a cluster would hold it.
    pub(crate) fn server(spec: serde_json::Value) -> DittoServer {
        let mut whole =
            serde_json::json!({"storage": {"metadataSize": "10Gi", "contentSize": "100Gi"}});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let mut server = DittoServer::new("files", serde_json::from_value(whole).unwrap());
        server.metadata.namespace = Some("media".to_owned());
        server.metadata.uid = Some("uid-1".to_owned());
        server
    }

    #[test]
    fn only_our_uid_or_our_labels_make_an_object_ours() {
        let server = server(serde_json::json!({}));
        let instance = Instance::of(&server).unwrap();
        let mut service = Service::default();
        assert!(
            !instance.owns(&service),
            "an object with nothing but a name is somebody else's"
        );
        service.metadata.labels = Some(instance.labels(Component::Api));
        assert!(
            instance.owns(&service),
            "labelled and without a controller: left by an orphaning delete"
        );
        service.metadata.owner_references = Some(vec![OwnerReference {
            uid: "uid-of-an-earlier-server".to_owned(),
            ..instance.owner()
        }]);
        assert!(
            !instance.owns(&service),
            "another controller's, whatever its labels say"
        );
        service.metadata.owner_references = Some(vec![instance.owner()]);
        service.metadata.labels = None;
        assert!(instance.owns(&service));
    }
}
