//! Which version of each object is known to be as it shall be, so that a write that changes nothing
//! is not repeated, and a comparison neither.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// Most objects remembered; beyond that everything is forgotten, which costs
/// a comparison and at most one write that changes nothing for each.
const BOUND: usize = 10_000;

#[derive(Default)]
pub(super) struct Memo(Mutex<HashMap<(String, Part), (String, u64)>>);

/// Main resource or subresource.
type Part = Option<&'static str>;

impl Memo {
    /// Whether exactly this version of the object is known to be as `desired`.
    pub(super) fn holds(&self, live: &ObjectMeta, part: Part, desired: &Value) -> bool {
        self.knows(live, part, desired, |version| {
            live.resource_version.as_deref() == Some(version)
        })
    }

    /// Whether an earlier version of the object was as `desired`: what differs now was changed by somebody else.
    pub(super) fn held(&self, live: &ObjectMeta, part: Part, desired: &Value) -> bool {
        self.knows(live, part, desired, |_| true)
    }

    /// Whether the version that is known of the object counts, and was as `desired`.
    fn knows(
        &self,
        live: &ObjectMeta,
        part: Part,
        desired: &Value,
        counts: impl Fn(&str) -> bool,
    ) -> bool {
        let Some(uid) = &live.uid else {
            return false;
        };
        let known = {
            let memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = memo.get(&(uid.clone(), part));
            known.and_then(|(version, hash)| counts(version).then_some(*hash))
        };
        known.is_some_and(|hash| hash == hash_of(desired))
    }

    /// Records that this version of the object is as `desired`.
    pub(super) fn record(&self, live: &ObjectMeta, part: Part, desired: &Value) {
        let (Some(uid), Some(version)) = (&live.uid, &live.resource_version) else {
            return;
        };
        let hash = hash_of(desired);
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memo.len() >= BOUND {
            memo.clear();
        }
        memo.insert((uid.clone(), part), (version.clone(), hash));
    }

    /// Forgets an object.
    pub(super) fn forget(&self, uid: Option<&str>) {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in [None, Some("status")] {
            memo.remove(&(uid.unwrap_or_default().to_owned(), part));
        }
    }
}

fn hash_of(desired: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    desired.hash(&mut hasher);
    hasher.finish()
}
