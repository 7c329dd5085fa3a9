//! Takes a server over from the Go operator: once, before the first apply.
//!
//! The order protects data. First the owner references go by which the garbage collector would
//! remove what must outlive the server; a foreground deletion at any later moment loses nothing.
//! Then the predecessor's fields become ours, so that the applies that follow can remove them.
//! The annotation that ends the takeover is written last: after a crash it begins again.

mod managed_fields;

use api_types::labels::{self, Component};
use api_types::names::{self, Volume};
use api_types::{DittoServer, annotations};
use controller_runtime::apply::extract;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use resources::{Children, Instance, ServiceMonitor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::MANAGER;
use crate::observe::{Observed, Served};
use crate::plan::is_paused;

/// The predecessor's back-off counter on the server.
const RETRY_COUNT: &str = "dittofs.dittofs.com/auth-retry-count";

/// A step of a takeover failed; it begins again with the next visit.
#[derive(Debug, thiserror::Error)]
#[error("taking over {kind} {name} failed")]
pub struct TakeoverError {
    kind: String,
    name: String,
    #[source]
    source: kube::Error,
}

/// Whether `server` was made by the Go operator and taken over.
pub fn is_done(server: &DittoServer) -> bool {
    server.annotations().contains_key(annotations::TAKEN_OVER)
}

/// Whether a server must be taken over: it has children that are ours by UID and that we never
/// applied, and no takeover was completed.
pub fn is_due(observed: &Observed) -> bool {
    let server = &observed.server;
    if is_done(server) || server.metadata.deletion_timestamp.is_some() || is_paused(server) {
        return false;
    }
    let Some(instance) = Instance::of(server) else {
        return false;
    };
    let Children {
        config,
        headless,
        api,
        metrics,
        stateful_set,
        budget,
        policy,
        monitor,
        rule,
    } = &observed.live;
    is_inherited(&instance, config.as_deref())
        || is_inherited(&instance, headless.as_deref())
        || is_inherited(&instance, api.as_deref())
        || is_inherited(&instance, metrics.as_deref())
        || is_inherited(&instance, stateful_set.as_deref())
        || is_inherited(&instance, budget.as_deref())
        || is_inherited(&instance, policy.as_deref())
        || is_inherited(&instance, monitor.as_deref())
        || is_inherited(&instance, rule.as_deref())
}

fn is_inherited<K: Resource + Serialize>(instance: &Instance<'_>, live: Option<&K>) -> bool {
    live.is_some_and(|live| {
        let ours_by_uid = live
            .owner_references()
            .iter()
            .any(|owner| owner.uid == instance.uid);
        let applied =
            serde_json::to_value(live).is_ok_and(|live| extract(&live, MANAGER, None).is_some());
        ours_by_uid && !applied
    })
}

/// Takes the server over.
///
/// # Errors
/// The first step that failed.
pub async fn run(client: &Client, observed: &Observed) -> Result<(), TakeoverError> {
    let Some(instance) = Instance::of(&observed.server) else {
        return Ok(());
    };
    let steps = Steps {
        client,
        instance,
        served: observed.served,
    };
    steps.keep_data().await?;
    steps.hand_over_children().await?;
    steps.hand_over_server().await?;
    tracing::info!(
        namespace = instance.namespace,
        name = instance.name,
        "taken over from the Go operator"
    );
    Ok(())
}

struct Steps<'a> {
    client: &'a Client,
    instance: Instance<'a>,
    served: Served,
}

impl Steps<'_> {
    /// Takes our owner reference off everything that must outlive the server, and labels it.
    async fn keep_data(&self) -> Result<(), TakeoverError> {
        let name = self.instance.name;
        for volume in Volume::ALL {
            self.keep::<PersistentVolumeClaim>(&volume.claim(name), Component::Server)
                .await?;
        }
        self.keep_database().await?;
        self.keep_admin_secret().await?;
        let jwt = names::jwt_secret(name);
        if let Some(secret) = self.read::<Secret>(&jwt).await?
            && self.instance.owns(&secret)
        {
            self.patch(&secret, self.labelled(Component::Credentials))
                .await?;
        }
        Ok(())
    }

    async fn keep<K: Child>(&self, name: &str, component: Component) -> Result<(), TakeoverError> {
        let Some(live) = self.read::<K>(name).await? else {
            return Ok(());
        };
        let mut patch = self.labelled(component);
        let kept: Vec<_> = live
            .owner_references()
            .iter()
            .filter(|owner| owner.uid != self.instance.uid)
            .collect();
        if kept.len() != live.owner_references().len() {
            patch["metadata"]["ownerReferences"] = json!(kept);
        }
        self.patch(&live, patch).await
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
        let kept: Vec<_> = cluster
            .owner_references()
            .iter()
            .filter(|owner| owner.uid != self.instance.uid)
            .collect();
        if kept.len() == cluster.owner_references().len() {
            return Ok(());
        }
        let mut patch = self.labelled(Component::Server);
        patch["metadata"]["ownerReferences"] = json!(kept);
        patch["metadata"]["resourceVersion"] = json!(cluster.resource_version());
        api.patch(&name, &parameters(), &Patch::Merge(&patch))
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// The only copy of the administrator's password. Early releases kept it under another name.
    async fn keep_admin_secret(&self) -> Result<(), TakeoverError> {
        let name = names::admin_secret(self.instance.name);
        if self.read::<Secret>(&name).await?.is_some() {
            return self.keep::<Secret>(&name, Component::Credentials).await;
        }
        let early = names::early_admin_secret(self.instance.name);
        let Some(secret) = self.read::<Secret>(&early).await? else {
            return Ok(());
        };
        let password = secret
            .data
            .as_ref()
            .and_then(|data| data.get(configgen::PASSWORD_KEY));
        let (Some(password), true) = (password, self.instance.owns(&secret)) else {
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
            Err(source) => Err(TakeoverError {
                kind: "Secret".to_owned(),
                name,
                source,
            }),
        }
    }

    async fn hand_over_children(&self) -> Result<(), TakeoverError> {
        let name = self.instance.name;
        self.hand_over::<ConfigMap>(&names::config(name)).await?;
        self.hand_over::<Service>(&names::headless_service(name))
            .await?;
        self.hand_over::<Service>(&names::api_service(name)).await?;
        self.hand_over::<Service>(&names::metrics_service(name))
            .await?;
        if self.served.monitors {
            self.hand_over::<ServiceMonitor>(&names::service_monitor(name))
                .await?;
        }
        self.hand_over::<NetworkPolicy>(&names::baseline_policy(name))
            .await?;
        self.hand_over::<StatefulSet>(&names::stateful_set(name))
            .await
    }

    async fn hand_over<K: Child>(&self, name: &str) -> Result<(), TakeoverError> {
        let Some(live) = self.read::<K>(name).await? else {
            return Ok(());
        };
        let value = serde_json::to_value(&live).unwrap_or_default();
        match managed_fields::of_child(&value, self.instance.uid) {
            Some(fields) => {
                self.patch(&live, json!({"metadata": {"managedFields": fields}}))
                    .await
            }
            None => Ok(()),
        }
    }

    /// The server's own status, the predecessor's annotation, and the mark that ends the takeover.
    async fn hand_over_server(&self) -> Result<(), TakeoverError> {
        let Some(live) = self.read::<DittoServer>(self.instance.name).await? else {
            return Ok(());
        };
        let value = serde_json::to_value(&live).unwrap_or_default();
        let mut patch = json!({"metadata": {"annotations": {
            RETRY_COUNT: null,
            annotations::TAKEN_OVER: env!("CARGO_PKG_VERSION"),
        }}});
        if let Some(fields) = managed_fields::of_server(&value) {
            patch["metadata"]["managedFields"] = fields;
        }
        self.patch(&live, patch).await
    }

    fn labelled(&self, component: Component) -> Value {
        json!({"metadata": {"labels": labels::standard(self.instance.name, component)}})
    }

    async fn read<K: Child>(&self, name: &str) -> Result<Option<K>, TakeoverError> {
        self.api::<K>()
            .get_opt(name)
            .await
            .map_err(failed::<K>(name))
    }

    /// Writes `patch` over exactly the object that was read.
    async fn patch<K: Child>(&self, live: &K, mut patch: Value) -> Result<(), TakeoverError> {
        patch["metadata"]["uid"] = json!(live.uid());
        patch["metadata"]["resourceVersion"] = json!(live.resource_version());
        let name = live.name_any();
        self.api::<K>()
            .patch_metadata(&name, &parameters(), &Patch::Merge(&patch))
            .await
            .map_err(failed::<K>(&name))?;
        Ok(())
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.instance.namespace)
    }
}

/// What a kind needs for its objects to be taken over.
trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn failed<K: Resource<DynamicType = ()>>(name: &str) -> impl FnOnce(kube::Error) -> TakeoverError {
    let name = name.to_owned();
    move |source| TakeoverError {
        kind: K::kind(&()).into_owned(),
        name,
        source,
    }
}
