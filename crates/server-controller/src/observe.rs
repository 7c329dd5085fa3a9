//! The first step: everything that a decision about one server needs to know. Reads only.
//!
//! What cannot be read ends the visit, so that no decision is made from half a picture. The one
//! exception is a Secret that the API server refuses to show: that is a fact for people.

mod database;
mod orphan;
mod secrets;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::names::{self, Volume};
use api_types::v1alpha1::AdapterKind;
use api_types::{DittoServer, names::pod as pod_name};
use controller_runtime::{Readable, Watched};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, PersistentVolumeClaim, Pod, PodTemplateSpec, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client};
use percona_bridge::Source;
use resources::{Children, Instance, PrometheusRule, ServiceMonitor};

use crate::claims::templates_behind;
use crate::plan::is_held;
use crate::status::trouble;
use crate::takeover;
use crate::watches::Watches;

pub use database::{DatabaseFacts, LiveClusters, PATIENCE, outdated_stores, patience};
pub use secrets::{HeldSecret, SecretState};
pub(crate) use secrets::{keep, secrets};
pub use storage::{ClaimEvent, ClassState, StorageFacts, class_names, may_read_classes};

/// The live children; `None` where there is none.
pub type Live = Children<
    Option<Arc<ConfigMap>>,
    Option<Arc<Service>>,
    Option<Arc<StatefulSet>>,
    Option<Arc<PodDisruptionBudget>>,
    Option<Arc<NetworkPolicy>>,
    Option<Arc<ServiceMonitor>>,
    Option<Arc<PrometheusRule>>,
>;

/// Which kinds that the cluster may not have can be read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// ServiceMonitors.
    pub monitors: bool,
    /// PrometheusRules.
    pub rules: bool,
}

/// Everything that a decision about one server needs to know.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The server.
    pub server: Arc<DittoServer>,
    /// Its children.
    pub live: Live,
    /// Which kinds of children there can be.
    pub served: Served,
    /// The adapters that a policy of the adapter-controller admits clients to.
    pub admitted: BTreeSet<AdapterKind>,
    /// Its claims that exist.
    pub claims: BTreeMap<Volume, Arc<PersistentVolumeClaim>>,
    /// Its pod, if it exists.
    pub pod: Option<Arc<Pod>>,
    /// What the pod is made of, where its StatefulSet is gone and the pod was left behind.
    pub orphaned_template: Option<PodTemplateSpec>,
    /// What the kubelet says about a volume that it cannot mount; asked only after some patience.
    pub mount_failure: Option<String>,
    /// The Secrets that it refers to, by name.
    pub secrets: BTreeMap<String, SecretState>,
    /// What is known of storage beside the claims.
    pub storage: StorageFacts,
    /// What is known of the database cluster.
    pub database: DatabaseFacts,
}

impl Observed {
    /// Whether the Secret `secret` has a value under `key`; `None` when that is not known.
    pub fn has_key(&self, secret: &str, key: &str) -> Option<bool> {
        match self.secrets.get(secret)? {
            SecretState::Present(secret) => Some(secret.value(key).is_some()),
            SecretState::Missing | SecretState::Refused(_) => None,
        }
    }
}

/// Something could not be read; nothing may be concluded.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read")]
pub struct ObserveError {
    what: String,
    #[source]
    source: kube::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ObserveError {
    let what = what.into();
    move |source| ObserveError { what, source }
}

/// Reads the world of `server`: children from the stores, or by name where a store has none.
///
/// # Errors
/// When anything but a Secret cannot be read.
pub async fn observe(
    client: &Client,
    watches: &Watches,
    server: Arc<DittoServer>,
    now: Timestamp,
) -> Result<Observed, ObserveError> {
    let (namespace, name) = identity(&server);
    let served = watches.served();
    // What is deleted for good is looked up by name, not only in the stores.
    let leaving = server.metadata.deletion_timestamp.is_some() && is_held(&server);
    let mut names = secret_names(&server);
    if leaving {
        names.push(names::admin_secret(&name));
    }
    // What one does not need the other for is read at the same time.
    let set = watches
        .stateful_sets
        .cached(&namespace, &names::stateful_set(&name));
    let look_up = LookUp::of(&server, set.as_deref(), leaving);
    let source = source(&server);
    let (live, mut claims, secrets, database) = tokio::try_join!(
        children(watches, &namespace, &name, &server),
        claims_of(watches, &namespace, &name, look_up),
        secrets(client, &watches.secrets, &namespace, &names),
        database::facts(client, watches, &namespace, &server, source.as_ref(), now),
    )?;
    // A StatefulSet that is in no store was found by name.
    let more = LookUp::of(&server, live.stateful_set.as_deref(), leaving);
    if set.is_none() && more == LookUp::All {
        claims = claims_of(watches, &namespace, &name, more).await?;
    }
    let pod = if leaving {
        watches.pods.get(&namespace, &pod_name(&name)).await
    } else {
        Ok(watches.pods.cached(&namespace, &pod_name(&name)))
    }
    .map_err(failed("the pod"))?;
    let mount_failure = match &pod {
        Some(pod) if trouble::mount_patience(pod, now) == Some(Duration::ZERO) => {
            mount_failure(client, pod).await?
        }
        _ => None,
    };
    let orphaned_template = match Instance::of(&server) {
        Some(instance) => {
            let set = live.stateful_set.as_deref();
            orphan::template(client, &instance, set, pod.as_deref()).await?
        }
        None => None,
    };
    let mut admitted = BTreeSet::from(AdapterKind::ALL);
    admitted.retain(|kind| {
        let policy = names::adapter(&name, *kind);
        watches.policies.cached(&namespace, &policy).is_some()
    });
    let mut observed = Observed {
        server,
        live,
        served,
        admitted,
        claims,
        pod,
        orphaned_template,
        mount_failure,
        secrets,
        storage: StorageFacts::default(),
        database,
    };
    if !leaving {
        observed.storage = storage::facts(client, watches, &observed, now).await?;
    }
    Ok(observed)
}

/// Whether `server` still exists and is not being deleted, asked now: the stores hear of a deletion a
/// moment later, and what is made meanwhile would be left over.
///
/// # Errors
/// When it cannot be read.
pub async fn still_wanted(client: &Client, server: &DittoServer) -> Result<bool, ObserveError> {
    let (namespace, name) = identity(server);
    let api: Api<DittoServer> = Api::namespaced(client.clone(), &namespace);
    let found = api
        .get_metadata_opt(&name)
        .await
        .map_err(failed("the server"))?;
    Ok(found.is_some_and(|found| {
        found.metadata.uid == server.metadata.uid && found.metadata.deletion_timestamp.is_none()
    }))
}

/// Which claims are looked up by name when the store has none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LookUp {
    None,
    ControlPlane,
    All,
}

impl LookUp {
    fn of(server: &DittoServer, set: Option<&StatefulSet>, leaving: bool) -> Self {
        let behind =
            |set| Instance::of(server).is_some_and(|instance| templates_behind(set, &instance));
        match set {
            _ if leaving => LookUp::All,
            Some(set) if behind(set) => LookUp::All,
            // One that is left from an earlier server decides whether a password may be made.
            None => LookUp::ControlPlane,
            Some(_) => LookUp::None,
        }
    }

    fn covers(self, volume: Volume) -> bool {
        match self {
            LookUp::None => false,
            LookUp::ControlPlane => volume == Volume::ControlPlane,
            LookUp::All => true,
        }
    }
}

/// Namespace and name of a server from a cluster.
pub fn identity(server: &DittoServer) -> (String, String) {
    (
        server.metadata.namespace.clone().unwrap_or_default(),
        server.metadata.name.clone().unwrap_or_default(),
    )
}

/// The database of `server`, where the spec says which.
pub fn source(server: &DittoServer) -> Option<Source> {
    let (_, name) = identity(server);
    percona_bridge::source(&name, &server.spec, takeover::is_done(server)).ok()
}

/// The Secrets that `server` refers to, each once.
pub fn secret_names(server: &DittoServer) -> Vec<String> {
    let (_, name) = identity(server);
    let source = source(server);
    let mut names: Vec<String> = configgen::inputs(&name, &server.spec, source.as_ref())
        .into_iter()
        .map(|input| input.reference.name.0)
        .collect();
    names.sort();
    names.dedup();
    names
}

async fn children(
    watches: &Watches,
    namespace: &str,
    name: &str,
    server: &DittoServer,
) -> Result<Live, ObserveError> {
    let metrics = server.spec.metrics.as_ref();
    let wants_metrics = metrics.is_some_and(|metrics| metrics.enabled);
    let wants_monitor = metrics.is_some_and(|metrics| metrics.wanted_monitor().is_some());
    let wants_rule = metrics.is_some_and(|metrics| metrics.wanted_rule().is_some());
    let services = &watches.services;
    let (headless, api) = (names::headless_service(name), names::api_service(name));
    let (config, headless, api, metrics, stateful_set, budget, policy, monitor, rule) = tokio::try_join!(
        child(
            &watches.config_maps,
            namespace,
            names::config(name),
            true,
            "the ConfigMap"
        ),
        child(services, namespace, headless, true, "the headless Service"),
        child(services, namespace, api, true, "the API Service"),
        child(
            services,
            namespace,
            names::metrics_service(name),
            wants_metrics,
            "the metrics Service"
        ),
        child(
            &watches.stateful_sets,
            namespace,
            names::stateful_set(name),
            true,
            "the StatefulSet"
        ),
        child(
            &watches.budgets,
            namespace,
            names::disruption_budget(name),
            true,
            "the PodDisruptionBudget"
        ),
        child(
            &watches.policies,
            namespace,
            names::baseline_policy(name),
            server.spec.network_policy.enabled,
            "the NetworkPolicy"
        ),
        installed(
            watches.monitors(),
            namespace,
            names::service_monitor(name),
            wants_monitor,
            "the ServiceMonitor"
        ),
        installed(
            watches.rules(),
            namespace,
            names::prometheus_rule(name),
            wants_rule,
            "the PrometheusRule"
        ),
    )?;
    Ok(Children {
        config,
        headless,
        api,
        metrics,
        stateful_set,
        budget,
        policy,
        monitor,
        rule,
    })
}

/// A child from its store, or by name where the store has none. An unwanted one only matters when
/// it is ours, and ours are in the store.
async fn child<K: Readable>(
    watched: &Watched<K>,
    namespace: &str,
    name: String,
    wanted: bool,
    what: &str,
) -> Result<Option<Arc<K>>, ObserveError> {
    if wanted {
        watched.get(namespace, &name).await.map_err(failed(what))
    } else {
        Ok(watched.cached(namespace, &name))
    }
}

/// As [`child`], for a kind that the cluster may not have.
async fn installed<K: Readable>(
    store: Option<&Watched<K>>,
    namespace: &str,
    name: String,
    wanted: bool,
    what: &str,
) -> Result<Option<Arc<K>>, ObserveError> {
    match store {
        Some(store) => child(store, namespace, name, wanted, what).await,
        None => Ok(None),
    }
}

async fn claims_of(
    watches: &Watches,
    namespace: &str,
    name: &str,
    look_up: LookUp,
) -> Result<BTreeMap<Volume, Arc<PersistentVolumeClaim>>, ObserveError> {
    let mut found = BTreeMap::new();
    for volume in Volume::ALL {
        let claim = volume.claim(name);
        let live = if look_up.covers(volume) {
            watches
                .claims
                .get(namespace, &claim)
                .await
                .map_err(failed("a claim"))?
        } else {
            watches.claims.cached(namespace, &claim)
        };
        found.extend(live.map(|live| (volume, live)));
    }
    Ok(found)
}

/// The kubelet's last complaint about a volume of `pod`. Events are the only place where it says so.
async fn mount_failure(client: &Client, pod: &Pod) -> Result<Option<String>, ObserveError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let about =
        ListParams::default().fields(&format!("involvedObject.uid={uid},reason=FailedMount"));
    let events = api.list(&about).await.map_err(failed("the pod's events"))?;
    let last = events.items.into_iter().max_by_key(|event| {
        event
            .last_timestamp
            .clone()
            .or_else(|| event.first_timestamp.clone())
    });
    Ok(last.and_then(|event| event.message))
}
