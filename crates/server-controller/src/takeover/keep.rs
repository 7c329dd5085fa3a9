//! What must outlive the server is cut loose from it, and labelled so that a later server of the same
//! name finds it.

use api_types::labels::{self, Component};
use api_types::names::{self, Volume};
use controller_runtime::apply::hand_over;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::{Child, Steps, TakeoverError, is_owned, parameters, to_json};
use crate::MANAGER;

impl Steps<'_> {
    /// Cuts everything loose that must outlive the server, and labels what is this server's.
    pub(super) async fn keep_data(&self) -> Result<(), TakeoverError> {
        self.disown().await?;
        let name = self.instance.name;
        for volume in Volume::ALL {
            let claim = self
                .read::<PersistentVolumeClaim>(&volume.claim(name))
                .await?;
            // Claims that a StatefulSet made carry its selector.
            let ours = labels::selector(name);
            if let Some(claim) = claim
                && ours
                    .iter()
                    .all(|(key, value)| claim.labels().get(key) == Some(value))
            {
                self.label(&claim, Component::Server).await?;
            }
        }
        let jwt = names::jwt_secret(name);
        if let Some(secret) = self.read::<Secret>(&jwt).await?
            && is_owned(&secret, &self.instance)
        {
            self.label(&secret, Component::Credentials).await?;
        }
        Ok(())
    }

    /// Takes our owner reference off everything that must outlive the server, the most valuable
    /// first. Writes nothing where there is none.
    pub(super) async fn disown(&self) -> Result<(), TakeoverError> {
        let name = self.instance.name;
        self.keep_admin_secret().await?;
        self.keep_database().await?;
        for volume in Volume::ALL {
            self.cut_loose::<PersistentVolumeClaim>(&volume.claim(name), Component::Server)
                .await?;
        }
        Ok(())
    }

    /// Returns whether the object exists.
    async fn cut_loose<K: Child>(
        &self,
        name: &str,
        component: Component,
    ) -> Result<bool, TakeoverError> {
        let Some(live) = self.read::<K>(name).await? else {
            return Ok(false);
        };
        if is_owned(&live, &self.instance) {
            let mut patch = self.claimed(&live, component);
            patch["metadata"]["ownerReferences"] = json!(self.other_owners(&live));
            self.patch(&live, patch).await?;
        }
        Ok(true)
    }

    async fn label<K: Child>(&self, live: &K, component: Component) -> Result<(), TakeoverError> {
        let wanted = labels::standard(self.instance.name, component);
        let labelled = wanted
            .iter()
            .all(|(key, value)| live.labels().get(key) == Some(value));
        let patch = self.claimed(live, component);
        if labelled && patch["metadata"]["managedFields"].is_null() {
            return Ok(());
        }
        self.patch(live, patch).await
    }

    /// The labels of an object that we keep, and the predecessor's entries under our name.
    fn claimed<K: Child>(&self, live: &K, component: Component) -> Value {
        let mut patch = self.labelled(component);
        let renamed = hand_over::renamed(
            &to_json(live),
            self.instance.uid,
            MANAGER,
            &self.predecessors,
        );
        if let Some(fields) = renamed {
            patch["metadata"]["managedFields"] = fields;
        }
        patch
    }

    fn labelled(&self, component: Component) -> Value {
        json!({"metadata": {"labels": labels::standard(self.instance.name, component)}})
    }

    fn other_owners<'k, K: Resource>(&self, live: &'k K) -> Vec<&'k OwnerReference> {
        live.owner_references()
            .iter()
            .filter(|owner| owner.uid != self.instance.uid)
            .collect()
    }

    /// The database cluster that the predecessor made carries an owner reference too.
    async fn keep_database(&self) -> Result<(), TakeoverError> {
        if self.instance.spec.percona.is_none() {
            return Ok(());
        }
        let kind = GroupVersionKind::gvk("pgv2.percona.com", "v2", "PerconaPGCluster");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.instance.namespace, &resource);
        let name = names::managed_database(self.instance.name);
        let failed = |source| TakeoverError {
            kind: kind.kind.clone(),
            name: name.clone(),
            source,
        };
        let cluster = match api.get(&name).await {
            Ok(cluster) => cluster,
            // Neither the object nor, without the Percona operator, its kind need to be there.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => return Err(failed(source)),
        };
        if !is_owned(&cluster, &self.instance) {
            return Ok(());
        }
        let mut patch = self.labelled(Component::Server);
        patch["metadata"]["ownerReferences"] = json!(self.other_owners(&cluster));
        patch["metadata"]["uid"] = json!(cluster.uid());
        patch["metadata"]["resourceVersion"] = json!(cluster.resource_version());
        api.patch(&name, &parameters(), &Patch::Merge(&patch))
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// The only copy of the administrator's password. Early releases kept it under another name.
    async fn keep_admin_secret(&self) -> Result<(), TakeoverError> {
        let name = names::admin_secret(self.instance.name);
        if self
            .cut_loose::<Secret>(&name, Component::Credentials)
            .await?
        {
            return Ok(());
        }
        let early = names::early_admin_secret(self.instance.name);
        let Some(secret) = self.read::<Secret>(&early).await? else {
            return Ok(());
        };
        let password = secret
            .data
            .as_ref()
            .and_then(|data| data.get(configgen::PASSWORD_KEY));
        let (Some(password), true) = (password, is_owned(&secret, &self.instance)) else {
            return Ok(());
        };
        let password = String::from_utf8_lossy(&password.0).into_owned();
        let copy = resources::admin_secret(&self.instance, &password.into());
        let api: Api<Secret> = self.api();
        let parameters = kube::api::PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..kube::api::PostParams::default()
        };
        match api.create(&parameters, &copy).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            // With its namespace the data goes too.
            Err(kube::Error::Api(status)) if is_namespace_ending(&status) => Ok(()),
            Err(source) => Err(TakeoverError {
                kind: "Secret".to_owned(),
                name,
                source,
            }),
        }
    }
}

/// Whether nothing can be created because the namespace is being deleted.
fn is_namespace_ending(status: &kube::core::Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}
