//! The pods that a namespace ever had.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};

use crate::{World, until};

/// Every pod that the namespace ever had, by name and UID, from a watch.
#[derive(Clone, Debug, Default)]
pub struct PodLog(Arc<Mutex<BTreeSet<(String, String)>>>);

impl PodLog {
    /// Begins to watch.
    #[must_use]
    pub fn watch(world: &World) -> Self {
        use futures::StreamExt;
        let seen = Self::default();
        let pods = world.api::<Pod>();
        let keep = seen.clone();
        tokio::spawn(async move {
            let mut changes =
                std::pin::pin!(watcher(pods, watcher::Config::default()).applied_objects());
            while let Some(event) = changes.next().await {
                // A broken watch is taken up again by its stream.
                let Ok(pod) = event else { continue };
                let mut seen = keep.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend(pod.uid().map(|uid| (pod.name_any(), uid)));
            }
        });
        seen
    }

    /// How many pods the server `server` ever had.
    #[must_use]
    pub fn count(&self, server: &str) -> usize {
        let pod = api_types::names::pod(server);
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(name, _)| *name == pod).count()
    }
}

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
