//! What is known of the objects of one kind: what the watch delivered, and
//! what our own writes returned that the watch has not delivered yet.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::{Resource, core::ObjectMeta, runtime::watcher::Event};

use super::{WatchOptions, guard::Guard};
use crate::Scope;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// A resourceVersion. Versions of one resource compare as numbers
/// (KEP-5504, <https://kep.k8s.io/5504>).
pub(crate) type Version = u64;

/// What an event changed.
#[derive(Debug)]
pub(crate) struct Change<K> {
    /// Namespace and name.
    pub(crate) key: Key,
    /// Labels, owners and so on, also of an object that cannot be decoded.
    pub(crate) meta: Arc<ObjectMeta>,
    /// The object now; `None` when it is gone or cannot be decoded.
    pub(crate) object: Option<Arc<K>>,
    /// Whether the object is gone.
    pub(crate) gone: bool,
}

pub(crate) struct Cache<K> {
    scope: Scope,
    options: WatchOptions,
    state: RwLock<State<K>>,
}

struct State<K> {
    slots: HashMap<Key, Slot<K>>,
    collections: Vec<Collection>,
}

struct Slot<K> {
    seen: Option<Seen<K>>,
    mine: Option<(Version, Arc<K>)>,
    /// Asked to be forgotten until the next event.
    hidden: bool,
}

struct Seen<K> {
    version: Version,
    raw_version: String,
    meta: Arc<ObjectMeta>,
    object: Option<Arc<K>>,
    /// Why it cannot be decoded.
    error: Option<String>,
}

/// One watch: all events up to `position` were delivered.
#[derive(Default)]
struct Collection {
    position: Version,
    listing: Option<(HashSet<Key>, Version)>,
    synced: bool,
}

impl<K> Default for Slot<K> {
    fn default() -> Self {
        Self {
            seen: None,
            mine: None,
            hidden: false,
        }
    }
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()>,
{
    pub(crate) fn new(scope: Scope, options: WatchOptions) -> Self {
        let collections = (0..scope.collections())
            .map(|_| Collection::default())
            .collect();
        let state = RwLock::new(State {
            slots: HashMap::new(),
            collections,
        });
        Self {
            scope,
            options,
            state,
        }
    }

    /// Newest known state of an object; `None` when nothing is known.
    pub(crate) fn current(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        let position = self.scope.collection_of(namespace);
        let state = self.read();
        let slot = state.slots.get(&key)?;
        let position = position.map_or(0, |index| state.collections[index].position);
        slot.current(position)
    }

    /// Every known object.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        let state = self.read();
        state
            .slots
            .iter()
            .filter_map(|(key, slot)| {
                let index = self.scope.collection_of(&key.0);
                slot.current(index.map_or(0, |index| state.collections[index].position))
            })
            .collect()
    }

    /// Keeps an object as returned by the server until the watch has caught
    /// up with it.
    pub(crate) fn remember(&self, mut object: K) -> Arc<K> {
        self.trim(object.meta_mut());
        let object = Arc::new(object);
        let meta = object.meta();
        let (Some(version), Some(index)) = (
            meta.resource_version
                .as_deref()
                .and_then(|version| version.parse::<Version>().ok()),
            self.scope
                .collection_of(meta.namespace.as_deref().unwrap_or_default()),
        ) else {
            return object;
        };
        let selected = self.options.selects(meta.labels.as_ref());
        let key = key_of(meta);
        let mut state = self.write();
        let position = state.collections[index].position;
        if !selected {
            // The watch will never deliver it: only a read by name tells the truth.
            if let Some(slot) = state.slots.get_mut(&key) {
                slot.mine = None;
                slot.hidden = !self.options.primary;
            }
        } else if version > position {
            let slot = state.slots.entry(key).or_default();
            if slot.mine.as_ref().is_none_or(|(mine, _)| *mine <= version) {
                slot.mine = Some((version, Arc::clone(&object)));
                slot.hidden = false;
            }
        }
        object
    }

    /// Drops what is known of an object until the watch speaks of it again.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        self.forget_up_to(namespace, name, Version::MAX);
    }

    /// Drops what is known of an object up to this resourceVersion: what the
    /// watch has delivered since is not out of date. A store of primaries only
    /// drops what our own writes returned: what it has not, does not exist.
    pub(crate) fn forget_version(&self, namespace: &str, name: &str, version: Option<&str>) {
        let version = version.and_then(|version| version.parse().ok());
        self.forget_up_to(namespace, name, version.unwrap_or(Version::MAX));
    }

    fn forget_up_to(&self, namespace: &str, name: &str, version: Version) {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(slot) = self.write().slots.get_mut(&key) {
            if slot.mine.as_ref().is_some_and(|(mine, _)| *mine <= version) {
                slot.mine = None;
            }
            let newer = slot
                .seen
                .as_ref()
                .is_some_and(|seen| seen.version > version);
            slot.hidden |= !newer && !self.options.primary;
        }
    }

    /// Takes in an event of the collection with this index. The second value
    /// says whether every collection has been listed once.
    pub(crate) fn take(&self, index: usize, event: Event<Guard<K>>) -> (Vec<Change<K>>, bool) {
        let mut state = self.write();
        let changes = match event {
            Event::Init => {
                state.collections[index].listing = Some((HashSet::new(), 0));
                Vec::new()
            }
            Event::InitApply(object) => {
                let seen = self.seen(object);
                let key = key_of(&seen.meta);
                if let Some((keys, highest)) = &mut state.collections[index].listing {
                    keys.insert(key.clone());
                    *highest = seen.version.max(*highest);
                }
                state.see(key, seen).into_iter().collect()
            }
            Event::InitDone => {
                state.listed(index, |key| self.scope.collection_of(&key.0) == Some(index))
            }
            Event::Apply(object) => {
                let seen = self.seen(object);
                let version = seen.version;
                let change = state.see(key_of(&seen.meta), seen);
                state.advance(index, version);
                change.into_iter().collect()
            }
            Event::Delete(object) => {
                let seen = self.seen(object);
                let key = key_of(&seen.meta);
                state.advance(index, seen.version);
                // A successor that we made ourselves stays known.
                let successor = state.slots.remove(&key).and_then(|slot| slot.mine);
                if let Some(mine) = successor.filter(|(version, _)| *version > seen.version) {
                    state.slots.entry(key.clone()).or_default().mine = Some(mine);
                }
                vec![Change {
                    key,
                    meta: seen.meta,
                    object: None,
                    gone: true,
                }]
            }
        };
        (
            changes,
            state.collections.iter().all(|collection| collection.synced),
        )
    }

    fn seen(&self, guarded: Guard<K>) -> Seen<K> {
        let mut error = None;
        let (object, mut meta) = match guarded.0 {
            Ok(mut object) => {
                self.trim(object.meta_mut());
                let meta = object.meta().clone();
                (Some(Arc::new(object)), meta)
            }
            Err(undecodable) => {
                error = Some(undecodable.error);
                (None, undecodable.metadata)
            }
        };
        meta.managed_fields = None;
        let raw_version = meta.resource_version.clone().unwrap_or_default();
        Seen {
            version: raw_version.parse().unwrap_or_default(),
            raw_version,
            meta: Arc::new(meta),
            object,
            error,
        }
    }

    /// Keeps only the managedFields entries that we compare with.
    pub(crate) fn trim(&self, meta: &mut ObjectMeta) {
        if let Some(entries) = &mut meta.managed_fields {
            entries.retain(|entry| {
                entry
                    .manager
                    .as_deref()
                    .is_some_and(|manager| self.options.managers.contains(&manager))
            });
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Slot<K> {
    fn current(&self, position: Version) -> Option<Arc<K>> {
        let seen_version = self.seen.as_ref().map_or(0, |seen| seen.version);
        match &self.mine {
            Some((version, object)) if *version > position && *version > seen_version => {
                Some(Arc::clone(object))
            }
            _ if self.hidden => None,
            _ => self.seen.as_ref().and_then(|seen| seen.object.clone()),
        }
    }
}

impl<K: Resource<DynamicType = ()>> State<K> {
    /// Stores what the watch shows; tells of it unless it is old news.
    fn see(&mut self, key: Key, seen: Seen<K>) -> Option<Change<K>> {
        let slot = self.slots.entry(key.clone()).or_default();
        slot.hidden = false;
        let repeated = slot
            .seen
            .as_ref()
            .is_some_and(|before| before.raw_version == seen.raw_version);
        if slot
            .mine
            .as_ref()
            .is_some_and(|(version, _)| *version <= seen.version)
        {
            slot.mine = None;
        }
        let change = Change {
            key,
            meta: Arc::clone(&seen.meta),
            object: seen.object.clone(),
            gone: false,
        };
        if !repeated && let Some(error) = &seen.error {
            undecodable::<K>(&seen.meta, error);
        }
        slot.seen = Some(seen);
        (!repeated).then_some(change)
    }

    /// Every event of this watch up to `version` was delivered, so what our
    /// older writes returned is history.
    fn advance(&mut self, index: usize, version: Version) {
        let position = &mut self.collections[index].position;
        *position = version.max(*position);
    }

    /// A full list was delivered: what it lacks is gone.
    fn listed(&mut self, index: usize, in_collection: impl Fn(&Key) -> bool) -> Vec<Change<K>> {
        let collection = &mut self.collections[index];
        collection.synced = true;
        let Some((keys, highest)) = collection.listing.take() else {
            return Vec::new();
        };
        collection.position = highest.max(collection.position);
        let position = collection.position;
        let mut changes = Vec::new();
        self.slots.retain(|key, slot| {
            if !in_collection(key) {
                return true;
            }
            if keys.contains(key) {
                if slot
                    .mine
                    .as_ref()
                    .is_some_and(|(version, _)| *version <= position)
                {
                    slot.mine = None;
                }
                return true;
            }
            if let Some(seen) = slot.seen.take() {
                changes.push(Change {
                    key: key.clone(),
                    meta: seen.meta,
                    object: None,
                    gone: true,
                });
            }
            // An object of ours that the list lacks may exist or not: a read by name tells.
            false
        });
        changes
    }
}

pub(crate) fn key_of(meta: &ObjectMeta) -> Key {
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

/// Says that an object cannot be decoded. Errors of the decoder quote values,
/// which must not happen to Secrets.
fn undecodable<K: Resource<DynamicType = ()>>(meta: &ObjectMeta, error: &str) {
    let kind = K::kind(&());
    tracing::warn!(
        %kind,
        namespace = meta.namespace.as_deref().unwrap_or_default(),
        name = meta.name.as_deref().unwrap_or_default(),
        resource_version = meta.resource_version.as_deref().unwrap_or_default(),
        error = if kind == "Secret" { "not shown" } else { error },
        "the object cannot be decoded and is left alone"
    );
}
