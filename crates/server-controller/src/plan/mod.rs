//! The third step, pure: what every child shall be.

mod template;

use api_types::DittoServer;
use api_types::annotations;
use controller_runtime::apply::extract;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use percona_bridge::Source;
use resources::{AdapterPort, Children, Instance};

use crate::MANAGER;
use crate::observe::Observed;
use crate::validate::{Generated, Validated};
use template::Rendered;

/// The finalizer of the Go operator and of later steps of a deletion. Nothing needs it now: an
/// inherited one is removed.
pub const FINALIZER: &str = "dittofs.dittofs.com/finalizer";

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
>;

/// What shall happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Secrets to make; the plan is made anew once they exist.
    pub make: Vec<Generated>,
    /// The children.
    pub children: Wishes,
    /// A newer rendering of the pod waits for the next restart.
    pub held_back: bool,
    /// Our finalizer is on the server and shall go.
    pub release: bool,
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
            },
            held_back: false,
            release: false,
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
    let held = server
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER);
    if server.metadata.deletion_timestamp.is_some() {
        return Ok(Plan {
            release: held,
            ..Plan::nothing()
        });
    }
    if is_paused(server) {
        return Ok(Plan {
            paused: true,
            ..Plan::nothing()
        });
    }
    let instance = &validated.instance;
    if !validated.make.is_empty() {
        return Ok(Plan {
            make: validated.make.clone(),
            release: held,
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
    let Rendered {
        config,
        template,
        held_back,
    } = rendered;
    let stateful_set = template.map(|template| stateful_set(observed, instance, template));
    let metrics = resources::metrics_service(instance);
    let wishes = Children {
        config: config.map_or(Wish::Leave, |config| Wish::Apply(Box::new(config))),
        headless: Wish::Apply(Box::new(resources::headless_service(
            instance,
            &adapters(server),
        ))),
        api: Wish::Apply(Box::new(resources::api_service(instance))),
        metrics: match metrics {
            Some(service) => Wish::Apply(Box::new(service)),
            None => unwanted(observed.live.metrics.as_deref(), instance),
        },
        stateful_set: stateful_set.map_or(Wish::Leave, |set| Wish::Apply(Box::new(set))),
        budget: Wish::Apply(Box::new(resources::disruption_budget(instance))),
        policy: Wish::Apply(Box::new(resources::baseline_policy(instance))),
    };
    Ok(Plan {
        make: Vec::new(),
        children: only_ours(wishes, ours),
        held_back,
        release: held,
        paused: false,
    })
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

fn unwanted(live: Option<&Service>, instance: &Instance<'_>) -> Wish<Service> {
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
    } = wishes;
    Children {
        config: guard(config, &ours),
        headless: guard(headless, &ours),
        api: guard(api, &ours),
        metrics: guard(metrics, &ours),
        stateful_set: guard(stateful_set, &ours),
        budget: guard(budget, &ours),
        policy: guard(policy, &ours),
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
