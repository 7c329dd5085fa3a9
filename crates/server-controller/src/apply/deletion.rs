//! Carries out one step of a deletion. Every delete names the UID and the version that were
//! observed; what is gone already is no error.

use api_types::names::{self, Volume};
use controller_runtime::apply::{Applier, ApplyError};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use kube::core::params::Preconditions;
use kube::{Api, Client};

use super::storage::failed;
use crate::observe::{Observed, SecretState, identity};
use crate::plan::Deletion;
use crate::watches::Watches;

/// Carries out `step`. Returns whether nothing but the finalizer is left.
///
/// # Errors
/// When the API server does not take it, or something changed since it was observed.
pub async fn carry_out(
    client: &Client,
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    step: &Deletion,
) -> Result<bool, ApplyError> {
    match step {
        Deletion::RemoveStatefulSet => {
            if let Some(set) = observed.live.stateful_set.as_deref() {
                applier.delete(&watches.stateful_sets, set).await?;
            }
            Ok(false)
        }
        Deletion::RemovePod => {
            if let Some(pod) = observed.pod.as_deref() {
                applier.delete(&watches.pods, pod).await?;
            }
            Ok(false)
        }
        Deletion::RemoveDatabase => {
            super::database::remove(client, applier, watches, observed).await?;
            Ok(false)
        }
        Deletion::RemoveClaims(volumes) => {
            remove_claims(applier, watches, observed, volumes).await?;
            Ok(false)
        }
        Deletion::AwaitPod | Deletion::AwaitClaims(_) | Deletion::AdminSecretUnreadable => {
            Ok(false)
        }
        Deletion::RemoveAdminSecret => {
            remove_admin_secret(client, observed).await?;
            Ok(true)
        }
        Deletion::Release => Ok(true),
    }
}

async fn remove_claims(
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    volumes: &[Volume],
) -> Result<(), ApplyError> {
    for volume in volumes {
        if let Some(claim) = observed.claims.get(volume) {
            applier.delete(&watches.claims, claim.as_ref()).await?;
            tracing::info!(
                claim = claim.metadata.name.as_deref().unwrap_or_default(),
                "deleted, as the retention policy says"
            );
        }
    }
    Ok(())
}

async fn remove_admin_secret(client: &Client, observed: &Observed) -> Result<(), ApplyError> {
    let (namespace, server) = identity(&observed.server);
    let name = names::admin_secret(&server);
    let Some(SecretState::Present(secret)) = observed.secrets.get(&name) else {
        return Ok(());
    };
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: secret.object.metadata.uid.clone(),
        resource_version: secret.object.metadata.resource_version.clone(),
    });
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    match api.delete(&name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(failed::<Secret>(&name, error)),
    }
}
