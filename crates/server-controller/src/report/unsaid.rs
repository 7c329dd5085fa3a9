//! Small news is gathered for a moment, so that what happens together is said in one write: the
//! children, the claims and the pod of a new server appear one after the other within milliseconds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api_types::DittoServer;
use api_types::conditions::ConditionType;
use api_types::v1alpha1::{DittoServerStatus, Retention};
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

/// How long small news waits for more.
const GATHER: Duration = Duration::from_millis(300);

/// The same while more is certain to come: the claims of a new StatefulSet without its pod.
const GATHER_MORE: Duration = Duration::from_millis(600);

/// The servers with news that is not written yet, and since when.
#[derive(Debug, Default)]
pub struct Unsaid(Mutex<HashMap<ObjectRef<DittoServer>, Instant>>);

impl Unsaid {
    /// How long `status` shall wait before it is written; `None` when it shall be written now, or
    /// says nothing new. `more` tells that something else is about to happen.
    pub fn wait(
        &self,
        server: &DittoServer,
        status: &DittoServerStatus,
        more: bool,
    ) -> Option<Duration> {
        let key = ObjectRef::from_obj(server);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if news(server, status) != News::Small {
            waiting.remove(&key);
            return None;
        }
        let since = *waiting.entry(key.clone()).or_insert_with(Instant::now);
        let whole = if more { GATHER_MORE } else { GATHER };
        let left = whole.saturating_sub(since.elapsed());
        if left.is_zero() {
            waiting.remove(&key);
            return None;
        }
        Some(left)
    }

    /// Forgets a server that is gone.
    pub fn forget(&self, server: &ObjectRef<DittoServer>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(server);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    /// Nothing that a person or a program waits for: no condition turns, the spec is the same.
    Small,
    Big,
}

fn news(server: &DittoServer, after: &DittoServerStatus) -> News {
    // A deletion removes only the claims that the status knows.
    let claims_matter = server.spec.storage.retention_policy.when_deleted == Retention::Delete;
    let Some(before) = server.status.as_ref().filter(|before| is_told(before)) else {
        return if claims_matter || !is_good_start(after) {
            News::Big
        } else {
            News::Small
        };
    };
    let turned = after.conditions.iter().any(|now| {
        let was = before.conditions.iter().find(|was| was.type_ == now.type_);
        was.is_none_or(|was| was.status != now.status)
    });
    if turned
        || before.observed_generation != after.observed_generation
        || before.phase != after.phase
        || server.metadata.deletion_timestamp.is_some()
        || claims_matter && before.storage != after.storage
    {
        return News::Big;
    }
    if own_part(before, after) == *after {
        News::None
    } else {
        News::Small
    }
}

/// Whether this controller has written a status before: another one may have come first.
fn is_told(before: &DittoServerStatus) -> bool {
    let mut own = ConditionType::OF_SERVER_CONTROLLER.iter();
    own.any(|own| {
        let mut conditions = before.conditions.iter();
        conditions.any(|condition| condition.type_ == own.as_str())
    })
}

/// Whether the first status of a server says only what everybody expects: that it is being made.
fn is_good_start(after: &DittoServerStatus) -> bool {
    let is = |kind: ConditionType, status: &str| {
        let mut conditions = after.conditions.iter();
        conditions.any(|condition| condition.type_ == kind.as_str() && condition.status == status)
    };
    is(ConditionType::ConfigReady, "True")
        && is(ConditionType::DatabaseReady, "True")
        && is(ConditionType::Progressing, "True")
        && is(ConditionType::Degraded, "False")
        // Which cluster of a provider holds the data is known from the status only.
        && after.database.as_ref().is_none_or(|database| database.cluster_uid.is_none())
}

/// The part of a status that this controller writes, with its conditions in the order of `after`.
fn own_part(before: &DittoServerStatus, after: &DittoServerStatus) -> DittoServerStatus {
    let conditions = after.conditions.iter().filter_map(|now| {
        before
            .conditions
            .iter()
            .find(|was| was.type_ == now.type_)
            .cloned()
    });
    DittoServerStatus {
        conditions: conditions.collect(),
        adapters: None,
        pushed: None,
        awaiting_restart: None,
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::Observed;
    use crate::testing::{provisioned, reported, serving, with_pod, with_stateful_set};

    fn world(spec: serde_json::Value) -> (Observed, DittoServerStatus) {
        let mut world = with_stateful_set(provisioned(spec));
        let before = reported(&world);
        let mut server = DittoServer::clone(&world.server);
        server.status = Some(before);
        world.server = std::sync::Arc::new(server);
        let mut starting = with_pod(world.clone(), json!({}));
        // Their binding turns a condition.
        starting.claims.clear();
        let after = reported(&starting);
        (world, after)
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_and_claims_that_appear_are_told_a_moment_later() {
        let (world, after) = world(json!({"storage": {"metadataSize": "1Gi"}}));
        let unsaid = Unsaid::default();
        let server = &world.server;
        assert_ne!(server.status.as_ref(), Some(&after));
        assert_eq!(unsaid.wait(server, &after, true), Some(GATHER_MORE));
        assert_eq!(unsaid.wait(server, &after, false), Some(GATHER));
        tokio::time::advance(GATHER / 2).await;
        assert_eq!(unsaid.wait(server, &after, false), Some(GATHER / 2));
        tokio::time::advance(GATHER / 2).await;
        assert!(unsaid.wait(server, &after, true).is_some());
        assert_eq!(unsaid.wait(server, &after, false), None);
        let later = unsaid.wait(server, &after, false);
        assert_eq!(later, Some(GATHER), "later news");
        let same = reported(&world);
        assert_eq!(unsaid.wait(server, &same, false), None, "and taken back");
        assert!(unsaid.0.lock().unwrap().is_empty());
    }

    #[test]
    fn what_people_wait_for_is_told_at_once() {
        let (world, small) = world(json!({}));
        let server = &world.server;
        assert_eq!(news(server, &small), News::Small);
        let fresh = DittoServer::new("files", server.spec.clone());
        assert_eq!(news(&fresh, &small), News::Small, "it is being made");
        let missing = json!({"identity": {"jwt": {"secretRef": {"name": "mine", "key": "k"}}}});
        let missing = reported(&provisioned(missing));
        assert_eq!(news(&fresh, &missing), News::Big, "something is missing");
        let available = reported(&with_pod(world.clone(), serving()));
        assert_eq!(news(server, &available), News::Big, "a condition turns");
        let mut answered = small.clone();
        answered.observed_generation = Some(7);
        assert_eq!(news(server, &answered), News::Big, "an answer to a change");
    }

    #[test]
    fn a_status_of_others_that_came_first_is_not_taken_for_our_own() {
        let (world, after) = world(json!({}));
        let mut server = DittoServer::clone(&world.server);
        let status = server.status.as_mut().unwrap();
        let ours = ConditionType::OF_SERVER_CONTROLLER;
        status
            .conditions
            .retain(|condition| ours.iter().all(|own| own.as_str() != condition.type_));
        assert_eq!(news(&server, &after), News::Small);
    }

    #[test]
    fn claims_that_a_deletion_will_remove_are_recorded_at_once() {
        let news_of_a_claim = |when: &str| {
            let policy = json!({"metadataSize": "1Gi", "retentionPolicy": {"whenDeleted": when}});
            let (world, mut after) = world(json!({"storage": policy}));
            let claims = reported(&with_pod(world.clone(), json!({}))).storage;
            after.storage = claims;
            let mut fresh = DittoServer::clone(&world.server);
            fresh.status = None;
            [news(&world.server, &after), news(&fresh, &after)]
        };
        assert_eq!(news_of_a_claim("Retain"), [News::Small; 2]);
        assert_eq!(news_of_a_claim("Delete"), [News::Big; 2]);
    }
}
