//! Takes a server over from the Go operator: before the first apply, and again should that operator
//! have run in between.
//!
//! The order protects data. First the owner references go by which the garbage collector would
//! remove what must outlive the server: that of the administrator's Secret with the first write,
//! that of the database with the second; a foreground deletion at any later moment loses nothing.
//! Then the predecessor's fields become ours, so that the applies that follow can remove them.
//! Its traces on the server go last, in one write: after a crash the takeover begins again.

mod keep;

use api_types::names;
use api_types::{DittoServer, annotations, labels};
use controller_runtime::Primaries;
use controller_runtime::apply::{extract, hand_over};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use resources::{Children, Instance, ServiceMonitor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::MANAGER;
use crate::observe::{Observed, Served};
use crate::plan::{FINALIZER, is_paused};

/// The predecessor's back-off counter on the server.
const RETRY_COUNT: &str = "dittofs.dittofs.com/auth-retry-count";

/// What the predecessor kept in its own Secret beside its account: valid for days, and not needed
/// for anything. The account goes with the adapters.
const TOKENS: [&str; 3] = ["access-token", "refresh-token", "server-url"];

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

/// Whether a server may have to be taken over: it has children that are ours by UID and that we
/// never applied, or that lack our label. That operator replaces labels, and a takeover that was
/// interrupted has not come to them yet.
pub fn is_suspected(observed: &Observed) -> bool {
    let server = &observed.server;
    if server.metadata.deletion_timestamp.is_some() || is_paused(server) {
        return false;
    }
    any_child(observed, |instance, child| {
        child.is_owned_by(instance) && !(child.applied && child.labelled)
    })
}

/// What tells an inherited child from one of ours.
struct Traits {
    owners: Vec<String>,
    applied: bool,
    labelled: bool,
}

impl Traits {
    fn of<K: Resource + Serialize>(live: &K) -> Self {
        let applied =
            serde_json::to_value(live).is_ok_and(|live| extract(&live, MANAGER, None).is_some());
        let operator = live.labels().get(labels::MANAGED_BY).map(String::as_str);
        let owners = live.owner_references().iter();
        Traits {
            owners: owners.map(|owner| owner.uid.clone()).collect(),
            applied,
            labelled: operator == Some(labels::OPERATOR),
        }
    }

    fn is_owned_by(&self, instance: &Instance<'_>) -> bool {
        self.owners.iter().any(|uid| uid == instance.uid)
    }
}

fn any_child(observed: &Observed, holds: impl Fn(&Instance<'_>, &Traits) -> bool) -> bool {
    let Some(instance) = Instance::of(&observed.server) else {
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
    let children = [
        config.as_deref().map(Traits::of),
        headless.as_deref().map(Traits::of),
        api.as_deref().map(Traits::of),
        metrics.as_deref().map(Traits::of),
        stateful_set.as_deref().map(Traits::of),
        budget.as_deref().map(Traits::of),
        policy.as_deref().map(Traits::of),
        monitor.as_deref().map(Traits::of),
        rule.as_deref().map(Traits::of),
    ];
    children
        .iter()
        .flatten()
        .any(|child| holds(&instance, child))
}

/// Takes a suspected server over. Returns whether there was anything to do.
///
/// # Errors
/// The first step that failed.
pub async fn run(
    client: &Client,
    servers: &Primaries<DittoServer>,
    observed: &Observed,
) -> Result<bool, TakeoverError> {
    let Some(instance) = Instance::of(&observed.server) else {
        return Ok(false);
    };
    let mut steps = Steps {
        client,
        instance,
        served: observed.served,
        predecessors: Vec::new(),
    };
    let Some(server) = steps.read::<DittoServer>(instance.name).await? else {
        return Ok(false);
    };
    steps.predecessors = hand_over::predecessors(&to_json(&server), MANAGER, FINALIZER);
    let never_applied = any_child(observed, |instance, child| {
        child.is_owned_by(instance) && !child.applied
    });
    if steps.predecessors.is_empty() && (is_done(&server) || !never_applied) {
        return Ok(false);
    }
    steps.keep_data().await?;
    steps.hand_over_children().await?;
    steps.remove_tokens().await?;
    if let Some(server) = steps.hand_over_server().await? {
        // What follows depends on the mark: a visit must not begin without it.
        servers.remember(server);
    }
    tracing::info!(
        namespace = instance.namespace,
        name = instance.name,
        "taken over from the Go operator"
    );
    Ok(true)
}

/// Keeps what must outlive a server that is being deleted from going with it, taken over or not.
///
/// # Errors
/// The first step that failed.
pub async fn protect(client: &Client, observed: &Observed) -> Result<(), TakeoverError> {
    let Some(instance) = Instance::of(&observed.server) else {
        return Ok(());
    };
    let steps = Steps {
        client,
        instance,
        served: observed.served,
        predecessors: Vec::new(),
    };
    steps.disown().await
}

struct Steps<'a> {
    client: &'a Client,
    instance: Instance<'a>,
    served: Served,
    /// Field managers of that operator, as far as they left traces on the server.
    predecessors: Vec<String>,
}

impl Steps<'_> {
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
        if !is_owned(&live, &self.instance) {
            return Ok(());
        }
        match hand_over::child(
            &to_json(&live),
            self.instance.uid,
            MANAGER,
            &self.predecessors,
        ) {
            Some(fields) => {
                self.patch(&live, json!({"metadata": {"managedFields": fields}}))
                    .await
            }
            None => Ok(()),
        }
    }

    /// The tokens of the predecessor's account. Its name and password stay until the account goes.
    async fn remove_tokens(&self) -> Result<(), TakeoverError> {
        let name = names::predecessor_account_secret(self.instance.name);
        let Some(secret) = self.read::<Secret>(&name).await? else {
            return Ok(());
        };
        let data = secret.data.as_ref();
        let found = TOKENS.map(|key| data.is_some_and(|data| data.contains_key(key)));
        if !is_owned(&secret, &self.instance) || !found.contains(&true) {
            return Ok(());
        }
        let mut patch = json!({"data": {}});
        for key in TOKENS {
            patch["data"][key] = Value::Null;
        }
        self.patch(&secret, patch).await
    }

    /// The predecessor's entries and annotation on the server, and the mark. Gives the server as it
    /// is then.
    async fn hand_over_server(&self) -> Result<Option<DittoServer>, TakeoverError> {
        let name = self.instance.name;
        let Some(live) = self.read::<DittoServer>(name).await? else {
            return Ok(None);
        };
        let mut patch = json!({"metadata": {
            "uid": live.uid(),
            "resourceVersion": live.resource_version(),
            "annotations": {
                RETRY_COUNT: null,
                annotations::TAKEN_OVER: env!("CARGO_PKG_VERSION"),
            },
        }});
        if let Some(fields) = hand_over::server(&to_json(&live), MANAGER, FINALIZER) {
            patch["metadata"]["managedFields"] = fields;
        }
        let api = self.api::<DittoServer>();
        let written = api.patch(name, &parameters(), &Patch::Merge(&patch)).await;
        written.map(Some).map_err(failed::<DittoServer>(name))
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

/// Whether `live` has an owner reference to the server.
fn is_owned<K: Resource>(live: &K, instance: &Instance<'_>) -> bool {
    let mut owners = live.owner_references().iter();
    owners.any(|owner| owner.uid == instance.uid)
}

fn to_json<K: Serialize>(live: &K) -> Value {
    serde_json::to_value(live).unwrap_or_default()
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
