//! What our part of the status says, made from what was observed and applied. Pure.

mod adapters;
pub mod addresses;
mod authenticated;

use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use api_types::v1alpha1::{AdapterKind, DittoServerStatus};
use controller_runtime::apply::ApplyError;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::apply::Applied;
use crate::known::available_since;
use crate::observe::Observed;
use crate::plan::{Plan, Wish, Wishes};

/// What one visit found and did.
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    /// What was observed before the writes.
    pub observed: &'a Observed,
    /// What was planned.
    pub plan: &'a Plan,
    /// The children after the writes.
    pub applied: &'a Applied,
}

/// Our part of the status after a visit; `None` when it stays as it is, because the look that it
/// would speak of is under way. `now` dates the conditions whose status changed.
pub fn status(visit: Visit<'_>, now: Timestamp) -> Option<DittoServerStatus> {
    let Visit { observed, .. } = visit;
    let server = &observed.server;
    let generation = server.metadata.generation.unwrap_or_default();
    let previous: &[Condition] = server
        .status
        .as_ref()
        .map_or(&[], |status| status.conditions.as_slice());
    let serves = available_since(server).is_some();
    let current = observed.memory.generation == Some(generation);
    let complete = ConditionType::OF_ADAPTER_CONTROLLER
        .into_iter()
        .all(|kind| find(previous, kind).is_some());
    let spoken_of = ConditionType::OF_ADAPTER_CONTROLLER
        .into_iter()
        .filter_map(|kind| find(previous, kind))
        .all(|condition| condition.reason != Reason::ServerNotAvailable.as_str());
    if serves && !current && complete && spoken_of {
        return None;
    }
    let mut verdicts = if serves {
        vec![
            authenticated::authenticated(&observed.memory),
            adapters::adapters_ready(visit),
            addresses::addresses_ready(visit, previous, now),
        ]
    } else {
        not_available(visit)
    };
    verdicts.sort_by_key(|verdict| verdict.kind.as_str());
    let adapters: Vec<_> = AdapterKind::ALL
        .into_iter()
        .filter_map(|kind| adapters::adapter(visit, kind))
        .collect();
    let before = server.status.as_ref();
    let pushed = match &observed.memory.found {
        Some(found) => Some(found.pushed.clone()),
        None => before.and_then(|status| status.pushed.clone()),
    };
    Some(DittoServerStatus {
        adapters: (!adapters.is_empty()).then_some(adapters),
        pushed: pushed.filter(|pushed| !pushed.is_empty()),
        conditions: verdicts
            .into_iter()
            .map(|verdict| verdict.over(previous, generation, now))
            .collect(),
        ..DittoServerStatus::default()
    })
}

fn not_available(visit: Visit<'_>) -> Vec<Verdict> {
    let stopped = visit.observed.server.spec.replicas == 0;
    let message = if stopped {
        "The server is stopped: set spec.replicas to 1 to start it."
    } else {
        "The server does not serve at the moment: see Available. Its Services stay."
    };
    ConditionType::OF_ADAPTER_CONTROLLER
        .into_iter()
        .map(|kind| Verdict::new(kind, Status::Unknown, Reason::ServerNotAvailable, message))
        .collect()
}

/// What keeps a child from being as it shall be: somebody else's object, or a refusal.
fn obstacle(visit: Visit<'_>) -> Option<(Reason, String)> {
    let server = visit.observed.server.metadata.name.as_deref();
    let server = server.unwrap_or_default();
    for (kind, wishes) in &visit.plan.adapters {
        let Wishes { service, policy } = wishes;
        let taken = [
            ("Service", *service == Wish::Conflict),
            ("NetworkPolicy", *policy == Wish::Conflict),
        ];
        if let Some((object, _)) = taken.into_iter().find(|(_, conflict)| *conflict) {
            let name = api_types::names::adapter(server, *kind);
            return Some((
                Reason::NameConflict,
                format!(
                    "{object} {name} belongs to somebody else and is left untouched: rename or remove it, or give the DittoServer another name."
                ),
            ));
        }
    }
    let failure = visit.applied.failures.first()?;
    let message = match failure {
        ApplyError::Invalid {
            kind,
            name,
            message,
        } => {
            format!("The API server refuses {kind} {name}: {message}")
        }
        ApplyError::Api {
            kind,
            name,
            source: kube::Error::Api(status),
        } if status.code == 403 => {
            format!("{kind} {name} may not be written: {}", status.message)
        }
        other => format!("{other}."),
    };
    Some((Reason::ChildRefused, message))
}

#[cfg(test)]
mod tests;
