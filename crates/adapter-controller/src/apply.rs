//! The third step: writes what differs. A child that cannot be written does not keep the others,
//! nor the status, from being written.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::v1alpha1::AdapterKind;
use controller_runtime::apply::{Applied as Written, Applier, ApplyError};
use controller_runtime::{Watched, Writable};

use crate::observe::{Live, Observed};
use crate::plan::{Plan, Wish, Wishes};
use crate::watches::Watches;

/// The children as they are after the writes, and what could not be written.
#[derive(Debug)]
pub struct Applied {
    /// The children of each adapter.
    pub live: BTreeMap<AdapterKind, Live>,
    /// What could not be written.
    pub failures: Vec<ApplyError>,
}

impl Applied {
    /// Whether something had changed since it was observed: nothing may be reported from it.
    pub fn is_outdated(&self) -> bool {
        self.failures.iter().any(ApplyError::is_conflict)
    }
}

/// Writes every child that differs from its wish: a policy before the Service that leads clients to
/// it, and after it on the way out.
pub async fn apply(
    applier: &Applier,
    watches: &Watches,
    observed: &Observed,
    plan: &Plan,
) -> Applied {
    let mut failures = Vec::new();
    let mut live = BTreeMap::new();
    for (kind, wishes) in &plan.adapters {
        let Wishes { service, policy } = wishes;
        let before = observed.live.get(kind).cloned().unwrap_or_default();
        let (services, policies) = (&watches.services, &watches.policies);
        let after = if matches!(policy, Wish::Remove) {
            let service = write(applier, services, service, before.service, &mut failures).await;
            let policy = write(applier, policies, policy, before.policy, &mut failures).await;
            Live { service, policy }
        } else {
            let policy = write(applier, policies, policy, before.policy, &mut failures).await;
            let service = write(applier, services, service, before.service, &mut failures).await;
            Live { service, policy }
        };
        live.insert(*kind, after);
    }
    Applied { live, failures }
}

async fn write<K: Writable>(
    applier: &Applier,
    watched: &Watched<K>,
    wish: &Wish<K>,
    live: Option<Arc<K>>,
    failures: &mut Vec<ApplyError>,
) -> Option<Arc<K>> {
    let result = match wish {
        Wish::Leave => return live,
        // Somebody else's is nothing that the status may speak of.
        Wish::Conflict => return None,
        Wish::Apply(desired) => {
            let written = applier.apply(watched, desired, live.as_deref()).await;
            written.map(|written: Written<K>| Some(Arc::clone(written.object())))
        }
        Wish::Remove => match &live {
            Some(object) => applier.delete(watched, object).await.map(|_| None),
            None => Ok(None),
        },
    };
    result.unwrap_or_else(|error| {
        tracing::debug!(%error, "a child was not written");
        failures.push(error);
        live
    })
}
