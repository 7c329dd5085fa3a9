//! Takes the Services and policies of an adapter over from the Go operator: once, before the first
//! apply, object by object.
//!
//! The predecessor's fields become ours, so that the applies that follow can remove them. What
//! clients use of it stays: see [`crate::plan`].

use api_types::names;
use api_types::v1alpha1::AdapterKind;
use controller_runtime::apply::{extract, hand_over};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use resources::Instance;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::MANAGER;
use crate::observe::{Live, Observed};
use crate::watches::Watches;

/// A takeover failed; it begins again with the next visit.
#[derive(Debug, thiserror::Error)]
#[error("taking over {kind} {name} failed")]
pub struct TakeoverError {
    kind: String,
    name: String,
    #[source]
    source: kube::Error,
}

/// Takes over what is the server's by UID and was never applied by us. Whether there was anything:
/// then what was observed is out of date.
///
/// # Errors
/// The first object that could not be taken over.
pub async fn run(
    client: &Client,
    watches: &Watches,
    observed: &Observed,
    instance: &Instance<'_>,
) -> Result<bool, TakeoverError> {
    let mut taken = false;
    for kind in AdapterKind::ALL {
        let Some(Live { service, policy }) = observed.live.get(&kind) else {
            continue;
        };
        let name = names::adapter(instance.name, kind);
        if is_inherited(instance, service.as_deref()) {
            taken |= take::<Service>(client, instance, &name).await?;
            watches.services.forget(instance.namespace, &name);
        }
        if is_inherited(instance, policy.as_deref()) {
            taken |= take::<NetworkPolicy>(client, instance, &name).await?;
            watches.policies.forget(instance.namespace, &name);
        }
    }
    Ok(taken)
}

fn is_inherited<K: Resource + Serialize>(instance: &Instance<'_>, live: Option<&K>) -> bool {
    live.is_some_and(|live| {
        let ours_by_uid = live
            .owner_references()
            .iter()
            .any(|owner| owner.uid == instance.uid);
        let applied =
            serde_json::to_value(live).is_ok_and(|live| extract(&live, MANAGER, None).is_some());
        ours_by_uid && !applied && live.meta().deletion_timestamp.is_none()
    })
}

async fn take<K>(
    client: &Client,
    instance: &Instance<'_>,
    name: &str,
) -> Result<bool, TakeoverError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let failed = |source| TakeoverError {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        source,
    };
    let api: Api<K> = Api::namespaced(client.clone(), instance.namespace);
    let Some(live) = api.get_opt(name).await.map_err(failed)? else {
        return Ok(false);
    };
    let value = serde_json::to_value(&live).unwrap_or_default();
    let Some(fields) = hand_over::child(&value, instance.uid, MANAGER, &[]) else {
        return Ok(false);
    };
    let patch = json!({"metadata": {
        "uid": live.uid(),
        "resourceVersion": live.resource_version(),
        "managedFields": fields,
    }});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch_metadata(name, &parameters, &Patch::Merge(&patch))
        .await
        .map_err(failed)?;
    tracing::info!(kind = %K::kind(&()), name, "taken over from the Go operator");
    Ok(true)
}
