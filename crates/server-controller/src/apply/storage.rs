//! Lets claims grow, and replaces a StatefulSet whose claim templates no longer agree with them.

use controller_runtime::apply::{Applier, ApplyError};
use controller_runtime::{LeaseLost, Watched};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::observe::{Live, Observed};
use crate::plan::{ClaimTemplates, Growth, Plan};
use crate::watches::Watches;

/// What became of the plan for storage.
#[derive(Debug, Default)]
pub struct StorageOutcome {
    /// Claims that could not be asked to grow.
    pub refused: Vec<ApplyError>,
    /// The StatefulSet could not be replaced.
    pub failure: Option<ApplyError>,
    /// A StatefulSet made anew would have another pod template, because somebody else set a field of
    /// the live one: it stays, so that the pod stays.
    pub template_differs: bool,
}

/// Carries out the plan for storage. `live` is what the children are after their writes.
pub async fn apply(
    client: &Client,
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    plan: &Plan,
    live: &Live,
) -> StorageOutcome {
    let mut outcome = StorageOutcome::default();
    for growth in &plan.grow {
        if let Err(error) = grow(client, &watches.claims, growth).await {
            outcome.refused.push(error);
        }
    }
    let (ClaimTemplates::Replace(successor), Some(set)) =
        (&plan.claim_templates, live.stateful_set.as_deref())
    else {
        return outcome;
    };
    // One that was written just now has something to roll out first.
    let planned_for = observed.live.stateful_set.as_deref();
    if planned_for.map(Resource::meta) != Some(set.meta()) {
        return outcome;
    }
    if observed.pod.is_some() {
        match rehearse(client, successor, set).await {
            Ok(true) => {}
            Ok(false) => {
                outcome.template_differs = true;
                return outcome;
            }
            Err(error) => {
                outcome.failure = Some(error);
                return outcome;
            }
        }
    }
    let orphaning = DeleteParams::orphan();
    match applier
        .delete_with(&watches.stateful_sets, set, orphaning)
        .await
    {
        Ok(_) => tracing::info!("the StatefulSet is replaced, its pod stays"),
        Err(error) => outcome.failure = Some(error),
    }
    outcome
}

/// Asks a claim for more, in the version that was observed.
async fn grow(
    client: &Client,
    claims: &Watched<PersistentVolumeClaim>,
    growth: &Growth,
) -> Result<(), ApplyError> {
    let meta = &growth.claim.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let patch = json!({
        "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        "spec": {"resources": {"requests": {"storage": growth.size}}},
    });
    let parameters = PatchParams {
        field_manager: Some(crate::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    match api.patch(name, &parameters, &Patch::Merge(patch)).await {
        Ok(claim) => {
            tracing::info!(claim = name, size = growth.size.0, "the claim shall grow");
            claims.remember(claim);
            Ok(())
        }
        // It stays in the store as it was: a claim that seems gone would be taken for a missing one.
        Err(error) => Err(failed::<PersistentVolumeClaim>(name, error)),
    }
}

/// The StatefulSet that is made for a pod that lost its own: `wanted`, unless that would restart the
/// pod. Then it is `as_it_runs`, and what is wanted waits for the next real restart.
///
/// # Errors
/// When the API server does not say what it would make of `wanted`.
pub(super) async fn around_pod<'p>(
    client: &Client,
    wanted: &'p StatefulSet,
    as_it_runs: &'p StatefulSet,
) -> Result<&'p StatefulSet, ApplyError> {
    Ok(if rehearse(client, wanted, as_it_runs).await? {
        wanted
    } else {
        as_it_runs
    })
}

/// Whether the API server would make of `successor` the pod template that `live` has, defaults and
/// the work of admission plugins included: then the pod stays as it is. Nothing is stored.
async fn rehearse(
    client: &Client,
    successor: &StatefulSet,
    live: &StatefulSet,
) -> Result<bool, ApplyError> {
    let mut rehearsed = successor.clone();
    let name = rehearsed.metadata.name.take().unwrap_or_default();
    rehearsed.metadata.generate_name = Some(format!("{name}-"));
    let namespace = live.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let parameters = PostParams {
        dry_run: true,
        field_manager: Some(crate::MANAGER.to_owned()),
    };
    let made = api
        .create(&parameters, &rehearsed)
        .await
        .map_err(|error| failed::<StatefulSet>(&name, error))?;
    Ok(template(&made) == template(live))
}

fn template(set: &StatefulSet) -> Option<&PodTemplateSpec> {
    set.spec.as_ref().map(|spec| &spec.template)
}

/// The error of a write, told apart as those of an apply are.
pub(super) fn failed<K: Resource<DynamicType = ()>>(name: &str, error: kube::Error) -> ApplyError {
    let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
    if LeaseLost::is_cause_of(&error) {
        return ApplyError::LeaseLost(LeaseLost);
    }
    match error {
        kube::Error::Api(status) if status.code == 409 => ApplyError::Conflict { kind, name },
        kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
            ApplyError::Invalid {
                kind,
                name,
                message: status.message,
            }
        }
        source => ApplyError::Api { kind, name, source },
    }
}
