//! The third step, pure: what every child shall be.

mod database;
#[cfg(test)]
mod database_tests;
mod deletion;
#[cfg(test)]
mod fuzz;
mod monitoring;
mod restoration;
mod storage;
mod template;
#[cfg(test)]
mod tests;

use api_types::DittoServer;
use api_types::annotations;
use api_types::v1alpha1::{AdapterKind, Retention};
use controller_runtime::apply::extract;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use percona_bridge::{CnpgCluster, PerconaPGCluster, Source};
use resources::{AdapterPort, Children, Database, Instance, PrometheusRule, ServiceMonitor};

use crate::MANAGER;
use crate::observe::Observed;
use crate::status::{rollout, trouble::trouble};
use crate::validate::{Generated, Validated};
pub use deletion::Deletion;
pub(crate) use storage::is_orphan;
pub use storage::{ClaimTemplates, Growth};
use template::Rendered;

/// The finalizer, named as that of the Go operator. A server carries it only while something must be
/// done at its deletion; an inherited one that nothing needs is removed.
pub const FINALIZER: &str = "dittofs.dittofs.com/finalizer";

/// What a Service is that asks for nothing.
const SINGLE_STACK: &str = "SingleStack";

/// What shall happen to one child.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<T> {
    /// It shall be like this.
    Apply(Box<T>),
    /// It stays as it is: nothing is known that would change it, or it is not ours.
    Leave,
    /// It shall go.
    Remove,
}

/// What shall happen to every child.
pub type Wishes = Children<
    Wish<ConfigMap>,
    Wish<Service>,
    Wish<StatefulSet>,
    Wish<PodDisruptionBudget>,
    Wish<NetworkPolicy>,
    Wish<ServiceMonitor>,
    Wish<PrometheusRule>,
>;

/// What shall happen to the database cluster.
pub type DatabaseWishes = Database<Wish<PerconaPGCluster>, Wish<CnpgCluster>>;

/// What shall become of our finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It stays, or stays away.
    Keep,
    /// It shall be set before anything else: something must be done at the deletion.
    Add,
    /// It shall go, after everything else.
    Remove,
}

/// What shall happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Secrets to make; the plan is made anew once they exist.
    pub make: Vec<Generated>,
    /// The children.
    pub children: Wishes,
    /// The database cluster, which is no child: it outlives the server.
    pub database: DatabaseWishes,
    /// The Secret with the parts of the connection shall be made or brought up to date.
    pub connect: bool,
    /// A newer rendering of the pod waits for the next restart.
    pub held_back: bool,
    /// The StatefulSet for a pod that lost its own, as that pod runs: it takes the place of the wanted
    /// one where that would restart the pod.
    pub as_it_runs: Option<Box<StatefulSet>>,
    /// The pod is stuck in a revision that is not wanted any more and shall go.
    pub unstick: bool,
    /// The claims that shall grow.
    pub grow: Vec<Growth>,
    /// What shall become of the StatefulSet's claim templates.
    pub claim_templates: ClaimTemplates,
    /// Our finalizer.
    pub finalizer: Finalizer,
    /// The next step of a deletion that our finalizer holds up; nothing else is planned then.
    pub deletion: Option<Deletion>,
    /// Writes are stopped by annotation; everything above is then empty.
    pub paused: bool,
}

impl Plan {
    fn nothing() -> Self {
        Plan {
            make: Vec::new(),
            children: Children {
                config: Wish::Leave,
                headless: Wish::Leave,
                api: Wish::Leave,
                metrics: Wish::Leave,
                stateful_set: Wish::Leave,
                budget: Wish::Leave,
                policy: Wish::Leave,
                monitor: Wish::Leave,
                rule: Wish::Leave,
            },
            database: Database {
                percona: Wish::Leave,
                cloudnative_pg: Wish::Leave,
            },
            connect: false,
            held_back: false,
            as_it_runs: None,
            unstick: false,
            grow: Vec::new(),
            claim_templates: ClaimTemplates::Settled,
            finalizer: Finalizer::Keep,
            deletion: None,
            paused: false,
        }
    }
}

/// The configuration file could not be written, which no accepted spec brings about.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// See [`configgen::ConfigError`].
    #[error(transparent)]
    Config(#[from] configgen::ConfigError),
    /// A child is not JSON.
    #[error("a child cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Plans what shall happen for a validated server.
///
/// # Errors
/// [`PlanError`], which no accepted spec brings about.
pub fn plan(observed: &Observed, validated: &Validated<'_>) -> Result<Plan, PlanError> {
    let server = &observed.server;
    let instance = &validated.instance;
    if server.metadata.deletion_timestamp.is_some() {
        let source = usable(validated);
        return Ok(Plan {
            deletion: is_held(server).then(|| deletion::next(observed, instance, source)),
            ..Plan::nothing()
        });
    }
    if is_paused(server) {
        return Ok(Plan {
            paused: true,
            ..Plan::nothing()
        });
    }
    if !validated.make.is_empty() {
        return Ok(Plan {
            make: validated.make.clone(),
            finalizer: finalizer(observed, validated, &ClaimTemplates::Settled),
            ..Plan::nothing()
        });
    }
    let ours = |name: &str, kind: &str| {
        !validated
            .conflicts
            .iter()
            .any(|conflict| conflict.kind == kind && conflict.name == name)
    };
    let rendered = template::render(observed, validated)?;
    let claim_templates = storage::templates(observed, validated, &rendered);
    let Rendered {
        config,
        template,
        as_it_runs,
        held_back,
    } = rendered;
    let stateful_set = template
        .filter(|_| !is_leaving(observed))
        .map(|template| stateful_set(observed, instance, template));
    let as_it_runs =
        as_it_runs.map(|template| Box::new(self::stateful_set(observed, instance, template)));
    let metrics = resources::metrics_service(instance);
    let wishes = Children {
        config: config.map_or(Wish::Leave, |config| Wish::Apply(Box::new(config))),
        headless: Wish::Apply(Box::new(resources::headless_service(
            instance,
            &adapters(server),
        ))),
        api: Wish::Apply(Box::new(api_service(observed, instance)?)),
        metrics: match metrics {
            Some(service) => Wish::Apply(Box::new(service)),
            None => unwanted(observed.live.metrics.as_deref(), instance),
        },
        stateful_set: stateful_set.map_or(Wish::Leave, |set| Wish::Apply(Box::new(set))),
        budget: Wish::Apply(Box::new(resources::disruption_budget(instance))),
        policy: match resources::baseline_policy(instance) {
            Some(_) if observed.live.policy.is_none() && shuts_clients_out(observed) => Wish::Leave,
            Some(policy) => Wish::Apply(Box::new(policy)),
            None => unwanted(observed.live.policy.as_deref(), instance),
        },
        monitor: monitoring::monitor(observed, instance),
        rule: monitoring::rule(observed, instance),
    };
    let wishes = if validated.has_port_conflict() {
        reachable(wishes, observed)
    } else {
        wishes
    };
    Ok(Plan {
        make: Vec::new(),
        children: only_ours(wishes, ours),
        database: database::wishes(observed, validated),
        connect: database::connects(observed, validated),
        held_back,
        as_it_runs,
        unstick: is_stuck(observed, instance),
        grow: storage::growths(observed, instance),
        finalizer: finalizer(observed, validated, &claim_templates),
        claim_templates,
        deletion: None,
        paused: false,
    })
}

/// The wishes while the running pod must be mended before it may be replaced: what leads to its
/// ports, and admits to them, stays as it is.
fn reachable(wishes: Wishes, observed: &Observed) -> Wishes {
    fn kept<T>(wish: Wish<T>, is_live: bool) -> Wish<T> {
        if is_live { Wish::Leave } else { wish }
    }
    let live = &observed.live;
    Children {
        api: kept(wishes.api, live.api.is_some()),
        metrics: kept(wishes.metrics, live.metrics.is_some()),
        policy: kept(wishes.policy, live.policy.is_some()),
        ..wishes
    }
}

/// Whether a new baseline policy would cut clients of an adapter off, because the policy of the
/// adapter-controller that admits them is not there yet.
fn shuts_clients_out(observed: &Observed) -> bool {
    let server = &observed.server;
    let adapters = server.status.iter().flat_map(|status| &status.adapters);
    adapters
        .flatten()
        .filter(|adapter| adapter.enabled)
        .filter_map(|adapter| AdapterKind::parse(&adapter.kind))
        .any(|kind| {
            let mut overrides = server.spec.adapter_services.overrides.iter();
            let withdrawn =
                overrides.any(|other| other.adapter == kind && other.disabled == Some(true));
            !withdrawn && !observed.admitted.contains(&kind)
        })
}

/// Whether `server` carries our finalizer.
pub fn is_held(server: &DittoServer) -> bool {
    server
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER)
}

/// Whether `server` is being deleted and our finalizer holds it up.
pub fn is_leaving_by_steps(server: &DittoServer) -> bool {
    server.metadata.deletion_timestamp.is_some() && is_held(server)
}

/// The finalizer is needed while the data, or the database, shall go with the server, and while its pod is without a
/// StatefulSet, with which it would go otherwise.
fn finalizer(
    observed: &Observed,
    validated: &Validated<'_>,
    claim_templates: &ClaimTemplates,
) -> Finalizer {
    let instance = &validated.instance;
    let database =
        matches!(usable(validated), Some(Source::Managed(managed)) if managed.goes_with_server());
    let needed = instance.spec.storage.retention_policy.when_deleted == Retention::Delete
        || database
        || matches!(claim_templates, ClaimTemplates::Replace(_))
        || storage::is_bereft(observed, instance);
    match (needed, is_held(&observed.server)) {
        (true, false) => Finalizer::Add,
        (false, true) => Finalizer::Remove,
        (true, true) | (false, false) => Finalizer::Keep,
    }
}

/// Whether the live StatefulSet is being deleted: another one is made once it is gone.
fn is_leaving(observed: &Observed) -> bool {
    observed
        .live
        .stateful_set
        .as_deref()
        .is_some_and(|set| set.metadata.deletion_timestamp.is_some())
}

/// Whether a person stopped all writes for `server`.
pub fn is_paused(server: &DittoServer) -> bool {
    server
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(annotations::PAUSED))
        .is_some_and(|value| value == "true")
}

/// The adapters as last seen by the adapter-controller; the headless Service's ports follow them.
fn adapters(server: &DittoServer) -> Vec<AdapterPort> {
    server
        .status
        .iter()
        .flat_map(|status| status.adapters.iter().flatten())
        .filter(|adapter| adapter.enabled)
        .filter_map(|adapter| {
            Some(AdapterPort {
                kind: adapter.kind.clone(),
                port: u16::try_from(adapter.listen_port?).ok()?,
            })
        })
        .collect()
}

/// Whether the pod is in trouble in a revision that is being replaced. The StatefulSet controller
/// waits for it to become ready before it replaces it, for ever (kubernetes/kubernetes#67250).
/// A pod that serves, or that is only slow, is not touched.
fn is_stuck(observed: &Observed, instance: &Instance<'_>) -> bool {
    let (Some(set), Some(pod)) = (
        observed.live.stateful_set.as_deref(),
        observed.pod.as_deref(),
    ) else {
        return false;
    };
    let of_set = pod.metadata.owner_references.iter().flatten().any(|owner| {
        owner.controller == Some(true) && Some(&owner.uid) == set.metadata.uid.as_ref()
    });
    instance.owns(set)
        && of_set
        && rollout::is_current(set, pod) == Some(false)
        && (trouble(pod).is_some() || observed.mount_failure.is_some())
}

/// The API Service. A Service keeps the number of IP families that it once had when nobody asks for
/// one any more: what we set is set back to the default first, and given up once it is so.
fn api_service(observed: &Observed, instance: &Instance<'_>) -> Result<Service, PlanError> {
    let mut service = resources::api_service(instance);
    if let Some(live) = observed.live.api.as_deref()
        && let Some(spec) = &mut service.spec
        && spec.ip_family_policy.is_none()
        && live
            .spec
            .as_ref()
            .and_then(|live| live.ip_family_policy.as_deref())
            != Some(SINGLE_STACK)
        && owned_part(live)?.is_some_and(|owned| !owned["spec"]["ipFamilyPolicy"].is_null())
    {
        spec.ip_family_policy = Some(SINGLE_STACK.to_owned());
    }
    Ok(service)
}

/// A child that the spec does not want goes if it is ours.
fn unwanted<K: kube::Resource>(live: Option<&K>, instance: &Instance<'_>) -> Wish<K> {
    match live {
        Some(live) if instance.owns(live) => Wish::Remove,
        _ => Wish::Leave,
    }
}

/// Leaves alone what is somebody else's.
fn only_ours(wishes: Wishes, ours: impl Fn(&str, &str) -> bool) -> Wishes {
    fn guard<K: kube::Resource<DynamicType = ()>>(
        wish: Wish<K>,
        ours: impl Fn(&str, &str) -> bool,
    ) -> Wish<K> {
        match wish {
            Wish::Apply(object)
                if !ours(
                    object.meta().name.as_deref().unwrap_or_default(),
                    &K::kind(&()),
                ) =>
            {
                Wish::Leave
            }
            other => other,
        }
    }
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
    } = wishes;
    Children {
        config: guard(config, &ours),
        headless: guard(headless, &ours),
        api: guard(api, &ours),
        metrics: guard(metrics, &ours),
        stateful_set: guard(stateful_set, &ours),
        budget: guard(budget, &ours),
        policy: guard(policy, &ours),
        monitor: guard(monitor, &ours),
        rule: guard(rule, &ours),
    }
}

/// The StatefulSet around `template`. Claim templates cannot be changed: those of a live one stay.
fn stateful_set(
    observed: &Observed,
    instance: &Instance<'_>,
    template: template::Template,
) -> StatefulSet {
    let claims = live_claims(observed).unwrap_or_else(|| resources::claim_templates(instance));
    resources::stateful_set(instance, template.pod, template.rendering, claims)
}

fn live_claims(observed: &Observed) -> Option<Vec<PersistentVolumeClaim>> {
    observed
        .live
        .stateful_set
        .as_ref()?
        .spec
        .as_ref()?
        .volume_claim_templates
        .clone()
}

/// The part of `live` that we own, as we would send it again.
fn owned_part<K: serde::Serialize>(live: &K) -> Result<Option<serde_json::Value>, PlanError> {
    Ok(extract(&serde_json::to_value(live)?, MANAGER, None))
}

/// The source of a server whose database this release can provide.
fn usable<'v>(validated: &'v Validated<'_>) -> Option<&'v Source> {
    validated.source.as_ref().ok()
}
