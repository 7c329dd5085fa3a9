//! The fourth step: writes what differs, the StatefulSet after everything that its pod needs. A child that cannot be written does
//! not keep the others, nor the status, from being written.

pub mod database;
pub mod deletion;
pub mod finalizer;
pub mod storage;

use std::sync::Arc;

use controller_runtime::apply::{Applied as Written, Applier, ApplyError};
use controller_runtime::{Remembered, Watched, Writable};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use resources::{Children, Instance};
use secrecy::SecretString;

use crate::observe::{HeldSecret, Live, Observed, keep};
use crate::plan::{Plan, Wish};
use crate::validate::Generated;
use crate::watches::Watches;
use storage::StorageOutcome;

/// The children as they are after the writes, and what could not be written.
#[derive(Debug)]
pub struct Applied {
    /// The children.
    pub live: Live,
    /// What could not be written.
    pub failures: Vec<ApplyError>,
    /// What became of the plan for storage.
    pub storage: StorageOutcome,
}

impl Applied {
    /// Whether something had changed since it was observed: nothing may be reported from it.
    pub fn is_outdated(&self) -> bool {
        let StorageOutcome {
            refused,
            failure,
            template_differs: _,
        } = &self.storage;
        let mut failures = self.failures.iter().chain(refused).chain(failure);
        failures.any(ApplyError::is_conflict)
    }
}

/// A generated Secret could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The API server did not take it.
    #[error("Secret {name} cannot be created")]
    Api {
        /// Name of the Secret.
        name: String,
        /// The error of the client.
        #[source]
        source: kube::Error,
    },
}

/// Makes a generated Secret by POST. One that exists meanwhile is left as it is. The answer holds
/// what the cluster now holds, so it is remembered and not read again.
///
/// # Errors
/// [`MakeError`]
pub async fn make(
    client: &Client,
    remembered: &Remembered<HeldSecret>,
    instance: &Instance<'_>,
    generated: Generated,
) -> Result<(), MakeError> {
    let secret = match generated {
        Generated::Jwt => resources::jwt_secret(instance, &random(32)?),
        Generated::Admin => resources::admin_secret(instance, &random(18)?),
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), instance.namespace);
    let parameters = kube::api::PostParams {
        field_manager: Some(crate::MANAGER.to_owned()),
        ..kube::api::PostParams::default()
    };
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let asked = remembered.ask(instance.namespace, name);
    match api.create(&parameters, &secret).await {
        Ok(made) => {
            keep(remembered, &asked, made);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(source) => Err(MakeError::Api {
            name: secret.metadata.name.unwrap_or_default(),
            source,
        }),
    }
}

/// `bytes` random bytes as URL-safe text without padding, as the Go operator made them.
fn random(bytes: usize) -> Result<SecretString, MakeError> {
    use base64::Engine;
    let mut buffer = vec![0_u8; bytes];
    getrandom::fill(&mut buffer).map_err(MakeError::Random)?;
    Ok(SecretString::from(
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&buffer),
    ))
}

/// Writes every child that differs from its wish.
pub async fn apply(
    client: &Client,
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    plan: &Plan,
) -> Applied {
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
    } = &plan.children;
    let live = &observed.live;
    let services = &watches.services;
    let (config, headless, api, metrics, budget, policy, monitor, rule) = tokio::join!(
        write(applier, &watches.config_maps, config, &live.config),
        write(applier, services, headless, &live.headless),
        write(applier, services, api, &live.api),
        write(applier, services, metrics, &live.metrics),
        write(applier, &watches.budgets, budget, &live.budget),
        write(applier, &watches.policies, policy, &live.policy),
        write_installed(applier, watches.monitors(), monitor, &live.monitor),
        write_installed(applier, watches.rules(), rule, &live.rule),
    );
    let mut failures = Vec::new();
    let mut applied = Children {
        config: done(config, &live.config, &mut failures),
        headless: done(headless, &live.headless, &mut failures),
        api: done(api, &live.api, &mut failures),
        metrics: done(metrics, &live.metrics, &mut failures),
        budget: done(budget, &live.budget, &mut failures),
        policy: done(policy, &live.policy, &mut failures),
        stateful_set: live.stateful_set.clone(),
        monitor: None,
        rule: None,
    };
    // Last, and only when everything that the pod needs is there.
    if failures.is_empty() {
        let set = match around_pod(client, stateful_set, plan).await {
            Ok(wish) => {
                let watched = &watches.stateful_sets;
                write(applier, watched, &wish, &live.stateful_set).await
            }
            Err(error) => Err(error),
        };
        applied.stateful_set = done(set, &live.stateful_set, &mut failures);
    }
    // The pod does not need them.
    applied.monitor = done(monitor, &live.monitor, &mut failures);
    applied.rule = done(rule, &live.rule, &mut failures);
    if let (true, Some(pod)) = (plan.unstick, &observed.pod)
        && let Err(error) = applier.delete(&watches.pods, pod.as_ref()).await
    {
        failures.push(error);
    }
    let storage = storage::apply(client, applier, watches, observed, plan, &applied).await;
    let mut applied = Applied {
        live: applied,
        failures,
        storage,
    };
    // The pod is not made before it is ready, so nothing waits for the write.
    database::apply(applier, watches, observed, plan, &mut applied).await;
    applied
}

/// The wish for the StatefulSet, with regard to a pod that lost its own.
async fn around_pod(
    client: &Client,
    wish: &Wish<StatefulSet>,
    plan: &Plan,
) -> Result<Wish<StatefulSet>, ApplyError> {
    Ok(match (wish, &plan.as_it_runs) {
        (Wish::Apply(wanted), Some(as_it_runs)) => {
            let chosen = storage::around_pod(client, wanted, as_it_runs).await?;
            Wish::Apply(Box::new(chosen.clone()))
        }
        (wish, _) => wish.clone(),
    })
}

async fn write<K: Writable>(
    applier: &Applier,
    watched: &Watched<K>,
    wish: &Wish<K>,
    live: &Option<Arc<K>>,
) -> Result<Option<Arc<K>>, ApplyError> {
    match (wish, live) {
        (Wish::Apply(desired), live) => applier
            .apply(watched, desired.as_ref(), live.as_deref())
            .await
            .map(|written| {
                if let Written::Created(object) = &written {
                    log(object.meta(), &K::kind(&()));
                }
                Some(Arc::clone(written.object()))
            }),
        (Wish::Remove, Some(live)) => applier.delete(watched, live.as_ref()).await.map(|_| None),
        (Wish::Leave, live) => Ok(live.clone()),
        (Wish::Remove, None) => Ok(None),
    }
}

/// The child after the write; as it was where that failed.
fn done<K>(
    written: Result<Option<Arc<K>>, ApplyError>,
    live: &Option<Arc<K>>,
    failures: &mut Vec<ApplyError>,
) -> Option<Arc<K>> {
    written.unwrap_or_else(|error| {
        failures.push(error);
        live.clone()
    })
}

/// As [`write`], for a kind that the cluster may not have. Where it has just gone, the visit is out
/// of date.
async fn write_installed<K: Writable>(
    applier: &Applier,
    store: Option<&Watched<K>>,
    wish: &Wish<K>,
    live: &Option<Arc<K>>,
) -> Result<Option<Arc<K>>, ApplyError> {
    let Some(store) = store else {
        return Ok(None);
    };
    let written = write(applier, store, wish, live).await;
    written.map_err(|failure| match failure {
        ApplyError::Api {
            kind,
            name,
            source: kube::Error::Api(status),
        } if matches!(status.code, 404 | 405) => ApplyError::Conflict { kind, name },
        failure => failure,
    })
}

fn log(meta: &ObjectMeta, kind: &str) {
    tracing::info!(
        kind,
        namespace = meta.namespace.as_deref().unwrap_or_default(),
        name = meta.name.as_deref().unwrap_or_default(),
        "created"
    );
}
