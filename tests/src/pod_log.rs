//! Which pods there ever were: a restart costs clients their sessions, so it is counted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};

use crate::World;

/// Every pod that the namespace ever had, by name and UID, from a watch.
#[derive(Clone, Debug, Default)]
pub struct PodLog(Arc<Mutex<BTreeSet<(String, String)>>>);

impl PodLog {
    /// Watches the namespace of `world` from now on.
    #[must_use]
    pub fn watch(world: &World) -> Self {
        let seen = Self::default();
        let pods = world.api::<Pod>();
        let keep = seen.clone();
        tokio::spawn(async move {
            let mut changes =
                std::pin::pin!(watcher(pods, watcher::Config::default()).applied_objects());
            while let Some(event) = changes.next().await {
                // A watch that broke is taken up again by its stream.
                let Ok(pod) = event else { continue };
                let mut seen = keep.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend(pod.uid().map(|uid| (pod.name_any(), uid)));
            }
        });
        seen
    }

    /// Number of pods so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Number of pods of the server `server` so far.
    #[must_use]
    pub fn count_of(&self, server: &str) -> usize {
        let pod = api_types::names::pod(server);
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(name, _)| *name == pod).count()
    }
}
