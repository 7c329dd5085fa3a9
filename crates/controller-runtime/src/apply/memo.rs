//! What was applied last to each object, so that a write that changes nothing
//! is not repeated.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

/// Most objects remembered; beyond that everything is forgotten, which costs
/// at most one write that changes nothing for each.
const BOUND: usize = 10_000;

#[derive(Default)]
pub(super) struct Memo(Mutex<HashMap<(String, Part), (String, u64)>>);

/// Main resource or subresource.
type Part = Option<&'static str>;

impl Memo {
    /// Whether exactly this was applied to exactly this version of the object.
    pub(super) fn is_applied(&self, live: &Value, part: Part, desired: &Value) -> bool {
        let (Some(uid), Some(version)) = (text(live, "uid"), text(live, "resourceVersion")) else {
            return false;
        };
        let memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memo.get(&(uid.to_owned(), part))
            .is_some_and(|(at, hash)| at == version && *hash == hash_of(desired))
    }

    /// Records that `desired` was applied and gave an object of this identity.
    pub(super) fn record(
        &self,
        uid: Option<&str>,
        version: Option<&str>,
        part: Part,
        desired: &Value,
    ) {
        let (Some(uid), Some(version)) = (uid, version) else {
            return;
        };
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memo.len() >= BOUND {
            memo.clear();
        }
        memo.insert(
            (uid.to_owned(), part),
            (version.to_owned(), hash_of(desired)),
        );
    }

    /// Forgets an object.
    pub(super) fn forget(&self, uid: Option<&str>) {
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in [None, Some("status")] {
            memo.remove(&(uid.unwrap_or_default().to_owned(), part));
        }
    }
}

fn text<'a>(live: &'a Value, field: &str) -> Option<&'a str> {
    live.get("metadata")?.get(field)?.as_str()
}

fn hash_of(desired: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    desired.hash(&mut hasher);
    hasher.finish()
}
