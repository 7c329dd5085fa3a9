//! Ready: everything together.

use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Visit;

/// Our own conditions that must hold, in the order in which they are named.
const NEEDED: [ConditionType; 4] = [
    ConditionType::ConfigReady,
    ConditionType::DatabaseReady,
    ConditionType::StorageReady,
    ConditionType::Available,
];
/// Conditions of the adapter-controller that must hold for the current generation.
const ADAPTERS: [ConditionType; 2] = [ConditionType::Authenticated, ConditionType::AdaptersReady];

pub(super) fn ready(
    own: &[Verdict],
    all: &[Condition],
    generation: i64,
    visit: Visit<'_>,
) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::Ready, status, reason, message)
    };
    let server = &visit.observed.server;
    if server.metadata.deletion_timestamp.is_some() {
        return verdict(
            Status::False,
            Reason::Deleting,
            match &visit.plan.deletion {
                Some(step) => step.describe(visit.validated.instance.name),
                None => "The server is being deleted.".to_owned(),
            },
        );
    }
    if server.spec.replicas == 0 {
        return verdict(
            Status::False,
            Reason::Stopped,
            "The server is stopped: set spec.replicas to 1 to start it.".to_owned(),
        );
    }
    let of = |kind| own.iter().find(|verdict| verdict.kind == kind);
    for kind in NEEDED {
        let harmless = |verdict: &&Verdict| verdict.reason == Reason::DataStillInSQLite;
        let missing = of(kind).filter(|verdict| verdict.status != Status::True);
        if let Some(missing) = missing.filter(|verdict| !harmless(verdict)) {
            return verdict(
                Status::False,
                missing.reason,
                format!("{}: {}", kind.as_str(), missing.message),
            );
        }
    }
    if let Some(rollout) =
        of(ConditionType::Progressing).filter(|verdict| verdict.status == Status::True)
    {
        return verdict(Status::False, rollout.reason, rollout.message.clone());
    }
    for kind in ADAPTERS {
        let current =
            find(all, kind).filter(|condition| condition.observed_generation == Some(generation));
        match current {
            None => {
                return verdict(
                    Status::False,
                    Reason::AdapterStatusMissing,
                    format!(
                        "The adapter-controller has not reported {} for this generation: is it running?",
                        kind.as_str()
                    ),
                );
            }
            Some(condition) if condition.status != "True" => {
                return verdict(
                    Status::False,
                    Reason::AdaptersNotReady,
                    format!(
                        "{} ({}): {}",
                        kind.as_str(),
                        condition.reason,
                        condition.message
                    ),
                );
            }
            Some(_) => {}
        }
    }
    verdict(
        Status::True,
        Reason::AllReady,
        "The server is ready.".to_owned(),
    )
}
