//! The pod of a server.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::{World, until};

/// The pod of the server `server`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn pod_of(world: &World, server: &str) -> Result<Pod> {
    let name = api_types::names::pod(server);
    Ok(world.api::<Pod>().get(&name).await?)
}

/// Waits until the server `server` has another pod than the one with this UID.
///
/// # Errors
/// When it does not.
pub async fn another_pod(world: &World, server: &str, than: Option<&str>) -> Result<Pod> {
    let name = api_types::names::pod(server);
    until(&format!("another pod {name}"), async || {
        let pod = world.api::<Pod>().get_opt(&name).await?;
        Ok(match pod {
            Some(pod) if pod.metadata.uid.as_deref() != than => Ok(pod),
            _ => Err("the old pod, or none".to_owned()),
        })
    })
    .await
}

/// What the kubelet says of the server's container in `pod`.
///
/// # Errors
/// When it has not said anything yet.
pub fn container_of(pod: &Pod) -> Result<&ContainerStatus> {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    containers
        .and_then(|containers| containers.first())
        .context("no status")
}
