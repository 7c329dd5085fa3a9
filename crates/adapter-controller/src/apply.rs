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
        let known = failures.len();
        let after = if matches!(policy, Wish::Remove) {
            let service = write(applier, services, service, before.service, &mut failures).await;
            let policy = goes_on(policy, failures.len() > known, before.policy.is_some());
            let policy = write(applier, policies, policy, before.policy, &mut failures).await;
            Live { service, policy }
        } else {
            let policy = write(applier, policies, policy, before.policy, &mut failures).await;
            let service = goes_on(service, failures.len() > known, before.service.is_some());
            let service = write(applier, services, service, before.service, &mut failures).await;
            Live { service, policy }
        };
        live.insert(*kind, after);
    }
    Applied { live, failures }
}

/// The second wish of an adapter when the first may have `failed`: then no Service is made towards a
/// port that is closed, and no policy goes while its Service leads clients there. What exists is
/// still changed.
fn goes_on<K>(wish: &Wish<K>, failed: bool, exists: bool) -> &Wish<K> {
    match wish {
        Wish::Remove if failed => &Wish::Leave,
        Wish::Apply(_) if failed && !exists => &Wish::Leave,
        _ => wish,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_first_write_nothing_is_made_or_removed_and_what_exists_is_changed() {
        let apply = || Wish::Apply(Box::new(()));
        for (wish, failed, exists, expected) in [
            (apply(), false, false, apply()),
            (apply(), true, false, Wish::Leave),
            (apply(), true, true, apply()),
            (Wish::Remove, false, true, Wish::Remove),
            (Wish::Remove, true, true, Wish::Leave),
            (Wish::Conflict, true, true, Wish::Conflict),
        ] {
            let goes_on = goes_on(&wish, failed, exists);
            assert_eq!(*goes_on, expected, "{wish:?} {failed} {exists}");
        }
    }
}
