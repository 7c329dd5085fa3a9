//! Writing a status where it differs, with an event for each transition of its conditions.

use api_types::conditions::{self, ConditionType, Conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::object::HasStatus;
use kube::runtime::events::EventType;
use serde::Serialize;

use crate::apply::{Applier, ApplyError};
use crate::{Events, Primaries, Writable};

/// A condition whose transitions are news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Which condition.
    pub kind: ConditionType,
    /// Its good status.
    pub good: &'static str,
    /// Whether a bad one is news on the very first visit.
    pub first: bool,
    /// Whether it is news that nobody can tell.
    pub unknown: bool,
    /// Whether a good one is news only after a bad one, and not when it follows on nobody knowing.
    pub recovery: bool,
}

/// Reports the visits of one controller.
#[derive(Debug)]
pub struct Reporter<'a, K> {
    /// Writes the status.
    pub applier: &'a Applier,
    /// The store of the objects.
    pub primaries: &'a Primaries<K>,
    /// Writes the events.
    pub events: &'a Events,
    /// What is news.
    pub announced: &'a [Announced],
}

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The API server does not take it.
    #[error("the status cannot be written")]
    Apply(#[from] ApplyError),
    /// It is not JSON.
    #[error("the status is not JSON")]
    Json(#[from] serde_json::Error),
}

impl<K> Reporter<'_, K>
where
    K: Writable + HasStatus,
    K::Status: Conditions + Serialize,
{
    /// Writes `status` over that of `object` where it differs.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn report(&self, object: &K, status: &K::Status) -> Result<(), ReportError> {
        let value = serde_json::to_value(status)?;
        let written = self
            .applier
            .apply_status_value(self.primaries, value, object)
            .await?;
        if written.is_write() {
            self.announce(object, status).await;
        }
        Ok(())
    }

    /// An event for each condition whose reason changed: a warning when it turned bad, a normal
    /// one when it turned good again.
    async fn announce(&self, object: &K, status: &K::Status) {
        let before: &[Condition] = object.status().map_or(&[], Conditions::conditions);
        let about = object.object_ref(&());
        for announced in self.announced {
            let Some(now) = conditions::find(status.conditions(), announced.kind) else {
                continue;
            };
            let was = conditions::find(before, announced.kind);
            let Some(severity) = news(*announced, was, now) else {
                continue;
            };
            self.events
                .transition(
                    &about,
                    announced.kind.as_str(),
                    severity,
                    &now.reason,
                    "Reconcile",
                    &now.message,
                )
                .await;
        }
    }
}

/// What kind of news it is that a condition `was` so and is so `now`; `None` when it is none.
fn news(announced: Announced, was: Option<&Condition>, now: &Condition) -> Option<EventType> {
    let Announced {
        kind: _,
        good,
        first,
        unknown,
        recovery,
    } = announced;
    let same = was.is_some_and(|was| was.reason == now.reason);
    let is_good = now.status == good;
    let recovers = was.is_some_and(|was| was.status != good && was.status != "Unknown");
    if recovery && is_good && !recovers {
        return None;
    }
    if same || (now.status == "Unknown" && !unknown) || (was.is_none() && (is_good || !first)) {
        return None;
    }
    Some(if is_good {
        EventType::Normal
    } else {
        EventType::Warning
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition(status: &str, reason: &str) -> Condition {
        Condition {
            type_: "AdaptersReady".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_transition_is_news_once_and_what_nobody_can_tell_is_none() {
        let announced = |first, unknown| Announced {
            kind: ConditionType::AdaptersReady,
            good: "True",
            first,
            unknown,
            recovery: false,
        };
        let (good, bad) = (condition("True", "A"), condition("False", "B"));
        let nobody = condition("Unknown", "C");
        let told = |first, unknown, was, now| {
            news(announced(first, unknown), was, now).map(|kind| kind == EventType::Warning)
        };
        assert_eq!(told(false, false, Some(&good), &bad), Some(true));
        assert_eq!(told(false, false, Some(&bad), &good), Some(false));
        assert_eq!(told(false, false, Some(&bad), &bad), None);
        assert_eq!(told(false, false, None, &bad), None);
        assert_eq!(told(true, false, None, &bad), Some(true));
        assert_eq!(told(true, false, None, &good), None);
        assert_eq!(told(true, false, Some(&good), &nobody), None);
        assert_eq!(told(true, true, Some(&good), &nobody), Some(true));
        assert_eq!(told(true, false, Some(&nobody), &good), Some(false));
        let recovery = Announced {
            recovery: true,
            ..announced(true, false)
        };
        assert!(news(recovery, Some(&nobody), &good).is_none());
        assert!(news(recovery, Some(&bad), &good).is_some());
        assert!(news(recovery, Some(&nobody), &bad).is_some());
    }
}
