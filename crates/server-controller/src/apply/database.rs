//! Writes the database cluster, and the Secret with the parts of a connection.

use std::collections::BTreeMap;

use controller_runtime::apply::{Applier, ApplyError};
use controller_runtime::{Remembered, Watched, Writable};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use percona_bridge::{Managed, Parts, Source};
use resources::Instance;
use serde_json::json;

use super::{Applied, storage::failed, write_installed};
use crate::observe::{self, HeldSecret, Observed, SecretState, identity, keep};
use crate::plan::Plan;
use crate::watches::Watches;

/// Writes the database cluster, if it differs.
pub(super) async fn apply(
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    plan: &Plan,
    applied: &mut Applied,
) {
    let resources::Database {
        percona,
        cloudnative_pg,
    } = &plan.database;
    let live = &observed.database.live;
    let (percona, cloudnative_pg) = tokio::join!(
        write_installed(applier, watches.perconas(), percona, &live.percona),
        write_installed(
            applier,
            watches.cnpgs(),
            cloudnative_pg,
            &live.cloudnative_pg
        ),
    );
    applied.failures.extend(percona.err());
    applied.failures.extend(cloudnative_pg.err());
}

/// Makes the Secret with the parts of a connection, or brings it up to date.
///
/// # Errors
/// When the API server does not take it.
pub async fn connect(
    client: &Client,
    remembered: &Remembered<HeldSecret>,
    instance: &Instance<'_>,
    observed: &Observed,
    parts: &Parts,
) -> Result<(), ApplyError> {
    let wanted = resources::connection_secret(instance, parts);
    let name = wanted.name_any();
    let api: Api<Secret> = Api::namespaced(client.clone(), instance.namespace);
    let manager = Some(crate::MANAGER.to_owned());
    let asked = remembered.ask(instance.namespace, &name);
    let written = match observed.secrets.get(&name) {
        Some(SecretState::Present(live)) => {
            let texts = wanted.string_data.unwrap_or_default();
            let data: BTreeMap<String, ByteString> = texts
                .into_iter()
                .map(|(key, value)| (key, ByteString(value.into_bytes())))
                .collect();
            let meta = &live.object.metadata;
            let patch = json!({
                "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
                "data": data,
            });
            let parameters = PatchParams {
                field_manager: manager,
                ..PatchParams::default()
            };
            api.patch(&name, &parameters, &Patch::Merge(&patch)).await
        }
        _ => {
            let parameters = PostParams {
                field_manager: manager,
                ..PostParams::default()
            };
            api.create(&parameters, &wanted).await
        }
    };
    let written = written.map_err(|error| failed::<Secret>(&name, error))?;
    keep(remembered, &asked, written);
    Ok(())
}

/// Deletes the database cluster with its data: by the finalizers of its operator, which are set before.
pub(super) async fn remove(
    client: &Client,
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
) -> Result<(), ApplyError> {
    let Some(Source::Managed(managed)) = observe::source(&observed.server) else {
        return Ok(());
    };
    let live = &observed.database.live;
    if let (Some(store), Some(cluster)) = (watches.perconas(), live.percona.as_deref()) {
        remove_one(client, applier, store, &managed, cluster).await?;
    }
    if let (Some(store), Some(cluster)) = (watches.cnpgs(), live.cloudnative_pg.as_deref()) {
        remove_one(client, applier, store, &managed, cluster).await?;
    }
    let (namespace, server) = identity(&observed.server);
    tracing::info!(
        namespace,
        server,
        cluster = managed.cluster,
        "deleted the database cluster, as its deletion policy says"
    );
    Ok(())
}

async fn remove_one<K: Writable>(
    client: &Client,
    applier: &Applier,
    store: &Watched<K>,
    managed: &Managed,
    cluster: &K,
) -> Result<(), ApplyError> {
    let mut finalizers = cluster.finalizers().to_vec();
    let wanted = managed.provider().finalizers().iter();
    let missing: Vec<String> = wanted
        .filter(|name| !finalizers.iter().any(|present| present == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if missing.is_empty() {
        applier.delete(store, cluster).await?;
        return Ok(());
    }
    finalizers.extend(missing);
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"metadata": {
        "uid": cluster.uid(),
        "resourceVersion": cluster.resource_version(),
        "finalizers": finalizers,
    }});
    let parameters = PatchParams {
        field_manager: Some(crate::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let held = api
        .patch(&name, &parameters, &Patch::Merge(&patch))
        .await
        .map_err(|error| failed::<K>(&name, error))?;
    applier
        .delete(store, store.remember(held).as_ref())
        .await
        .map(|_| ())
}
