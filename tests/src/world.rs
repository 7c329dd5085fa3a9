//! The world of one test: a namespace, an account for its controllers, and handles to all in it.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use api_types::v1alpha1::DittoServerStatus;
use api_types::{DittoFSShare, DittoServer};
use futures::FutureExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::audit::{Mark, listed};
use crate::identity::Identity;
use crate::{Child, Cluster, Controller, Pods, namespace, random, until};

/// Name of the server of a test that needs one.
pub const SERVER: &str = "files";
/// The image of the server that a cluster of the kit holds.
pub const IMAGE: &str = "localhost/dittofs:0.29.0";

/// The world of one test.
#[derive(Clone)]
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// A namespace of the test's own.
    pub namespace: String,
    /// A client that may do everything.
    pub admin: Client,
    /// Who the server-controllers are.
    pub identity: Identity,
    /// Who the adapter-controllers are, once there was one.
    pub adapters: Arc<OnceCell<Identity>>,
    /// Who the share-controllers are, once there was one.
    pub shares: Arc<OnceCell<Identity>>,
    /// Before the first request of a controller.
    pub beginning: Mark,
}

impl Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("World")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What a test gives.
pub type Outcome = Result<(), Failure>;

/// Why a test failed, in a form that the test runner shows as people read it.
pub struct Failure(String);

impl Debug for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        Failure(causes.join("\n  because "))
    }
}

/// Runs `test` in a fresh world; in the end no request of a controller may have been denied.
/// `DITTOFS_TEST_KEEP=1` keeps the namespace of a test that fails.
///
/// # Errors
/// Those of the test, and of the cluster.
pub fn scenario(name: &str, pods: Pods, test: impl AsyncFnOnce(&World) -> Result<()>) -> Outcome {
    Ok(run(async || in_world(name, pods, test).await)?)
}

/// As [`scenario`], for several at the same time in one test.
///
/// # Errors
/// Those of the test, and of the cluster.
pub async fn in_world(
    name: &str,
    pods: Pods,
    test: impl AsyncFnOnce(&World) -> Result<()>,
) -> Result<()> {
    let world = World::create(name, pods).await?;
    let outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
    let failed = !matches!(outcome, Ok(Ok(())));
    let result = match outcome {
        Ok(Ok(())) => world.nothing_was_denied(),
        Ok(Err(error)) => Err(error.context(world.report().await)),
        Err(panic) => {
            world.remove().await?;
            std::panic::resume_unwind(panic)
        }
    };
    if !(failed && std::env::var_os("DITTOFS_TEST_KEEP").is_some()) {
        world.remove().await?;
    }
    result
}

/// Runs `test` on a runtime of its own.
///
/// # Errors
/// Those of the test.
pub fn run(test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(test())
}

impl World {
    /// Makes a world whose namespace has `name` in its name.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn create(name: &str, pods: Pods) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let admin = cluster.admin.clone();
        let namespace = format!("t-{name}-{}", random::suffix()?);
        namespace::create(&admin, &namespace, pods).await?;
        let identity = Identity::create(&admin, &cluster.config, &namespace).await?;
        let beginning = cluster.audit.mark()?;
        Ok(World {
            cluster,
            namespace,
            admin,
            identity,
            adapters: Arc::default(),
            shares: Arc::default(),
            beginning,
        })
    }

    /// Removes it, without waiting until it is gone.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn remove(&self) -> Result<()> {
        namespace::delete(&self.admin, &self.namespace).await
    }

    /// A handle to the objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// A handle to the objects of a kind as JSON.
    #[must_use]
    pub fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &self.namespace, resource)
    }

    /// A DittoServer called [`SERVER`], small, with the fields of `spec`.
    #[must_use]
    pub fn manifest(&self, spec: Value) -> Value {
        self.manifest_of(SERVER, spec)
    }

    /// A DittoServer called `name`, small, with the fields of `spec`.
    #[must_use]
    pub fn manifest_of(&self, name: &str, spec: Value) -> Value {
        manifest_in(&self.namespace, name, spec)
    }

    /// Makes a DittoServer called [`SERVER`] with the fields of `spec`.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn serve(&self, spec: Value) -> Result<DittoServer> {
        self.create_json::<DittoServer>(self.manifest(spec)).await
    }

    /// Makes an object from a manifest as a person would write it.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn create_json<K>(&self, manifest: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let resource = ApiResource::erase::<K>(&());
        let mut manifest = manifest;
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        let object: DynamicObject = serde_json::from_value(manifest)?;
        let made = self
            .objects(&resource)
            .create(&PostParams::default(), &object)
            .await?;
        Ok(serde_json::from_value(serde_json::to_value(made)?)?)
    }

    /// Makes a Secret with these values.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn secret(&self, name: &str, values: Value) -> Result<Secret> {
        self.create_json::<Secret>(json!({"metadata": {"name": name}, "stringData": values}))
            .await
    }

    /// The server called [`SERVER`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn server(&self) -> Result<DittoServer> {
        Ok(self.api::<DittoServer>().get(SERVER).await?)
    }

    /// Changes the server called [`SERVER`] by a merge patch.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn change(&self, patch: Value) -> Result<DittoServer> {
        self.change_of(SERVER, patch).await
    }

    /// Changes the server `name` by a merge patch.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn change_of(&self, name: &str, patch: Value) -> Result<DittoServer> {
        Ok(self
            .api::<DittoServer>()
            .patch(name, &somebody(), &Patch::Merge(patch))
            .await?)
    }

    /// A child of the server called [`SERVER`], if it exists.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find(&self, child: Child) -> Result<Option<DynamicObject>> {
        Ok(self
            .objects(&child.resource())
            .get_opt(&child.name(SERVER))
            .await?)
    }

    /// A child of the server called [`SERVER`].
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub async fn child(&self, child: Child) -> Result<DynamicObject> {
        self.find(child)
            .await?
            .with_context(|| format!("there is no {}", child.called(SERVER)))
    }

    /// Changes a child as somebody else, by a merge patch.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn meddle(&self, child: Child, patch: &Value) -> Result<DynamicObject> {
        let api = self.objects(&child.resource());
        api.patch(&child.name(SERVER), &somebody(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("{} could not be changed", child.called(SERVER)))
    }

    /// Waits until a condition of the server called [`SERVER`] speaks of its present generation
    /// with this status and reason; gives its message.
    ///
    /// # Errors
    /// When it does not.
    pub async fn condition(&self, kind: &str, status: &str, reason: &str) -> Result<String> {
        self.condition_of(SERVER, kind, status, reason).await
    }

    /// As [`World::condition`], of the server `name`.
    ///
    /// # Errors
    /// When it does not.
    pub async fn condition_of(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> Result<String> {
        let api = self.api::<DittoServer>();
        until(&format!("{name}: {kind}={status} ({reason})"), async || {
            let server = api.get(name).await?;
            let found = server
                .status
                .iter()
                .flat_map(|status| &status.conditions)
                .find(|found| {
                    found.type_ == kind && found.observed_generation == server.metadata.generation
                });
            Ok(match found {
                Some(found) if found.status == status && found.reason == reason => {
                    Ok(found.message.clone())
                }
                _ => Err(conditions(server.status.as_ref())),
            })
        })
        .await
    }

    /// Waits until the server called [`SERVER`] is as far as it comes without a pod, and the
    /// controller has nothing more to do.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn settled(&self, controller: &Controller) -> Result<()> {
        self.observed(SERVER).await?;
        self.set_up(SERVER).await?;
        controller.quiet().await
    }

    /// Waits until the StatefulSet of the server `name` exists, and the controller of Kubernetes has seen it and made
    /// its claims: what that does is news for ours, whenever it comes.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn set_up(&self, name: &str) -> Result<()> {
        let sets = self.api::<StatefulSet>();
        let claims = self.api::<PersistentVolumeClaim>();
        until(&format!("{name} is set up"), async || {
            let Some(set) = sets.get_opt(&Child::StatefulSet.name(name)).await? else {
                let server = self.api::<DittoServer>().get(name).await?;
                return Ok(Err(conditions(server.status.as_ref())));
            };
            let seen = set.status.and_then(|status| status.observed_generation);
            if seen != set.metadata.generation {
                return Ok(Err(format!("generation {seen:?} was seen")));
            }
            let spec = set.spec.unwrap_or_default();
            if spec.replicas == Some(0) {
                return Ok(Ok(()));
            }
            for template in spec.volume_claim_templates.unwrap_or_default() {
                let volume = template.metadata.name.unwrap_or_default();
                let claim = format!("{volume}-{name}-0");
                if claims.get_opt(&claim).await?.is_none() {
                    return Ok(Err(format!("no claim {claim}")));
                }
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Waits until the status of the server `name` speaks of its present generation.
    ///
    /// # Errors
    /// When it does not.
    pub async fn observed(&self, name: &str) -> Result<()> {
        let api = self.api::<DittoServer>();
        until(
            &format!("the status of {name} is of its present generation"),
            async || {
                let server = api.get(name).await?;
                let seen = server
                    .status
                    .as_ref()
                    .and_then(|status| status.observed_generation);
                Ok(if seen.is_some() && seen == server.metadata.generation {
                    Ok(())
                } else {
                    Err(format!("{seen:?}"))
                })
            },
        )
        .await
    }

    /// The account of this world's adapter-controllers; made when it is first needed.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn adapter_identity(&self) -> Result<&Identity> {
        let make = || Identity::of_adapters(&self.admin, &self.cluster.config, &self.namespace);
        self.adapters.get_or_try_init(make).await
    }

    /// The account of this world's share-controllers; made when it is first needed.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn share_identity(&self) -> Result<&Identity> {
        let make = || Identity::of_shares(&self.admin, &self.cluster.config, &self.namespace);
        self.shares.get_or_try_init(make).await
    }

    /// The requests of this world's controllers since `mark`.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn requests(&self, mark: Mark) -> Result<Vec<crate::audit::Entry>> {
        let audit = &self.cluster.audit;
        let mut requests = audit.since(mark, &self.identity.user)?;
        for identity in [&self.adapters, &self.shares] {
            if let Some(identity) = identity.get() {
                requests.extend(audit.since(mark, &identity.user)?);
            }
        }
        Ok(requests)
    }

    /// The writes of this world's controllers since `mark`, Leases apart.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn writes(&self, mark: Mark) -> Result<Vec<crate::audit::Entry>> {
        Ok(self
            .requests(mark)?
            .into_iter()
            .filter(crate::audit::Entry::is_write)
            .collect())
    }

    fn nothing_was_denied(&self) -> Result<()> {
        let denied: Vec<_> = self
            .requests(self.beginning)?
            .into_iter()
            .filter(|entry| entry.is_denied())
            .collect();
        ensure!(
            denied.is_empty(),
            "the controller lacks rights: {}",
            listed(&denied)
        );
        Ok(())
    }

    /// What a person would look at after a failure.
    pub(crate) async fn report(&self) -> String {
        let servers = self
            .api::<DittoServer>()
            .list(&kube::api::ListParams::default())
            .await;
        let servers: Vec<String> = servers
            .map(|list| list.items)
            .unwrap_or_default()
            .iter()
            .map(|server| {
                format!(
                    "{}: {}",
                    server.metadata.name.as_deref().unwrap_or_default(),
                    conditions(server.status.as_ref())
                )
            })
            .collect();
        let shares = self
            .api::<DittoFSShare>()
            .list(&kube::api::ListParams::default())
            .await;
        let shares: Vec<String> = shares
            .map(|list| list.items)
            .unwrap_or_default()
            .iter()
            .map(|share| {
                let name = share.metadata.name.as_deref().unwrap_or_default();
                format!("share {name}: {}", crate::shares::conditions(share))
            })
            .collect();
        let requests = self.requests(self.beginning).unwrap_or_default();
        let last = requests
            .iter()
            .filter(|entry| entry.is_write())
            .rev()
            .take(12)
            .collect::<Vec<_>>();
        format!(
            "namespace {}\n{}\n{}\nlast writes, newest first: {}",
            self.namespace,
            servers.join("\n"),
            shares.join("\n"),
            listed(last)
        )
    }
}

/// A DittoServer called `name` in `namespace`, small, with the fields of `spec`.
#[must_use]
pub fn manifest_in(namespace: &str, name: &str, spec: Value) -> Value {
    let mut whole = json!({
        "image": IMAGE,
        "storage": {"metadataSize": "16Mi", "contentSize": "16Mi", "controlPlaneSize": "16Mi"},
        "shutdownTimeout": "2s",
        "terminationGracePeriodSeconds": 36,
    });
    merge(&mut whole, spec);
    json!({
        "apiVersion": "dittofs.dittofs.com/v1alpha1",
        "kind": "DittoServer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": whole,
    })
}

/// The conditions of a status, for a message.
#[must_use]
pub fn conditions(status: Option<&DittoServerStatus>) -> String {
    let Some(status) = status else {
        return "no status".to_owned();
    };
    let lines: Vec<String> = status
        .conditions
        .iter()
        .map(|condition| {
            format!(
                "  {}={} {}: {}",
                condition.type_, condition.status, condition.reason, condition.message
            )
        })
        .collect();
    format!(
        "generation {:?}\n{}",
        status.observed_generation,
        lines.join("\n")
    )
}

/// Parameters of a write by a person.
#[must_use]
pub fn somebody() -> PatchParams {
    PatchParams {
        field_manager: Some("somebody".to_owned()),
        ..PatchParams::default()
    }
}

/// Puts the fields of `more` over `base`; objects are merged, null removes.
pub fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, more) => *base = more,
    }
}

/// Fails with every message of `failures`, so that one run shows them all.
///
/// # Errors
/// When there are any.
pub fn none_failed(failures: &[String]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of the cases failed:\n{}",
        failures.len(),
        failures.join("\n")
    )
}
