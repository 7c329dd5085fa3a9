//! What was read by name of objects that are watched as metadata only: read once for each version.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::core::ObjectMeta;

use super::cache::{Key, Version, key_of};

/// What was read by name of objects that a metadata stream watches, kept until the stream tells of
/// a newer version. Cheap to clone; all clones share one memory.
///
/// Only objects that were asked for are remembered, so that foreign ones cost nothing. That an
/// object does not exist is not remembered: no version says when that changes.
///
/// A value is as old as any store that a watch fills: a change that the stream has not delivered
/// yet is not seen, and wakes those whom it concerns once it is delivered. It is never older:
/// - what was read before the stream told of a newer version is not kept, in whatever order the
///   two arrive (resourceVersions of one resource compare as numbers, <https://kep.k8s.io/5504>);
/// - a list, in which deletions do not show, forgets everything when it begins and when it ends,
///   and what was asked for before either is not kept.
pub struct Remembered<V>(Arc<Mutex<State<V>>>);

struct State<V> {
    /// What was asked for in an earlier epoch cannot be judged any more.
    epoch: u64,
    /// The stream tells of every change; before that nothing is kept.
    live: bool,
    entries: HashMap<Key, Entry<V>>,
}

struct Entry<V> {
    /// The newest version that the stream told of since the object was first asked for.
    told: Version,
    value: Option<(Version, Arc<V>)>,
}

/// A read that is about to be sent.
#[derive(Debug)]
pub struct Asked {
    epoch: u64,
    key: Key,
}

impl<V> Clone for Remembered<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            epoch: 0,
            live: false,
            entries: HashMap::new(),
        })))
    }
}

impl<V> std::fmt::Debug for Remembered<V> {
    /// Numbers only: the values may be secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Remembered")
            .field("objects", &self.state().entries.len())
            .finish_non_exhaustive()
    }
}

impl<V> Remembered<V> {
    /// An empty memory. It keeps nothing until a stream fills in what changes: see
    /// [`crate::reference_triggers`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was read of the newest version that the stream told of.
    #[must_use]
    pub fn current(&self, namespace: &str, name: &str) -> Option<Arc<V>> {
        let key = (namespace.to_owned(), name.to_owned());
        let state = self.state();
        let (_, value) = state.entries.get(&key)?.value.as_ref()?;
        Some(Arc::clone(value))
    }

    /// To be called before an object is read or made: from here on changes of it are noted.
    #[must_use]
    pub fn ask(&self, namespace: &str, name: &str) -> Asked {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.state();
        state.entries.entry(key.clone()).or_default();
        Asked {
            epoch: state.epoch,
            key,
        }
    }

    /// Keeps what was made of the answer, unless the stream has told of something newer meanwhile.
    pub fn keep(&self, asked: &Asked, answer: &ObjectMeta, value: V) -> Arc<V> {
        let value = Arc::new(value);
        let mut state = self.state();
        let judged = state.live && state.epoch == asked.epoch;
        let entry = state.entries.get_mut(&asked.key).filter(|_| judged);
        if let (Some(entry), Some(version)) = (entry, version_of(answer)) {
            let newest = entry
                .value
                .as_ref()
                .is_none_or(|(kept, _)| *kept <= version);
            if version >= entry.told && newest {
                entry.value = Some((version, Arc::clone(&value)));
            }
        }
        value
    }

    /// Forgets an object that nothing refers to any more.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.state();
        if state.entries.remove(&key).is_some() {
            // An answer that is still on its way would come to an entry that missed changes.
            state.epoch += 1;
        }
    }

    /// The stream tells of an object: that it is there, has changed, or is gone.
    pub(super) fn told(&self, meta: &ObjectMeta) {
        let mut state = self.state();
        if let Some(entry) = state.entries.get_mut(&key_of(meta)) {
            // Without a number nothing that was read can be shown to be as new.
            let version = version_of(meta).unwrap_or(Version::MAX);
            entry.told = version.max(entry.told);
            if entry
                .value
                .as_ref()
                .is_some_and(|(kept, _)| *kept < version)
            {
                entry.value = None;
            }
        }
    }

    /// A list begins, or has ended; `live` once every collection is listed.
    pub(super) fn listing(&self, live: bool) {
        let mut state = self.state();
        state.epoch += 1;
        state.live = live;
        for entry in state.entries.values_mut() {
            entry.value = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self {
            told: 0,
            value: None,
        }
    }
}

fn version_of(meta: &ObjectMeta) -> Option<Version> {
    meta.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(version: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("ns".to_owned()),
            name: Some("a".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn live() -> Remembered<&'static str> {
        let memory = Remembered::new();
        memory.listing(true);
        memory
    }

    fn current(memory: &Remembered<&'static str>) -> Option<&'static str> {
        memory.current("ns", "a").map(|value| *value)
    }

    #[test]
    fn a_value_is_kept_until_the_stream_tells_of_a_newer_version() {
        let memory = live();
        let asked = memory.ask("ns", "a");
        memory.keep(&asked, &meta("9"), "nine");
        memory.told(&meta("8"));
        memory.told(&meta("9"));
        assert_eq!(current(&memory), Some("nine"), "old news, and its own");
        memory.told(&meta("10"));
        assert_eq!(current(&memory), None);
    }

    #[test]
    fn an_answer_that_is_overtaken_by_the_stream_is_not_kept() {
        let memory = live();
        let asked = memory.ask("ns", "a");
        memory.told(&meta("10"));
        memory.keep(&asked, &meta("9"), "nine");
        assert_eq!(current(&memory), None);
        let (slow, quick) = (memory.ask("ns", "a"), memory.ask("ns", "a"));
        memory.keep(&quick, &meta("11"), "eleven");
        memory.keep(&slow, &meta("10"), "ten");
        assert_eq!(current(&memory), Some("eleven"));
    }

    #[test]
    fn nothing_is_kept_across_a_list() {
        let memory = live();
        let before = memory.ask("ns", "a");
        memory.keep(&before, &meta("5"), "five");
        memory.listing(false);
        assert_eq!(current(&memory), None, "it may be gone");
        let during = memory.ask("ns", "a");
        memory.keep(&during, &meta("5"), "five");
        assert_eq!(current(&memory), None, "not before the list has ended");
        memory.listing(true);
        memory.keep(&before, &meta("5"), "five");
        memory.keep(&during, &meta("5"), "five");
        assert_eq!(current(&memory), None, "it may have gone before the list");
        memory.keep(&memory.ask("ns", "a"), &meta("5"), "five");
        assert_eq!(current(&memory), Some("five"));
    }

    #[test]
    fn what_is_forgotten_does_not_come_back_with_an_old_answer() {
        let memory = live();
        let old = memory.ask("ns", "a");
        memory.forget("ns", "a");
        memory.told(&meta("6"));
        let _ = memory.ask("ns", "a");
        memory.keep(&old, &meta("5"), "five");
        assert_eq!(current(&memory), None);
    }

    #[test]
    fn foreign_objects_and_versions_that_are_no_numbers_are_not_kept() {
        let memory = live();
        memory.told(&meta("5"));
        assert!(memory.state().entries.is_empty());
        memory.keep(&memory.ask("ns", "a"), &meta("x"), "x");
        assert_eq!(current(&memory), None);
    }
}
