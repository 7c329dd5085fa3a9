//! A store of our own objects of one kind, with the reads and writes that the
//! watch has not caught up with yet.

use std::{fmt::Debug, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, Resource,
    core::ObjectMeta,
    runtime::{reflector::ObjectRef, watcher::Event},
};

use super::{
    Triggers, WatchOptions,
    cache::{Cache, Change},
    events::events,
    guard::Guard,
};
use crate::{Context, Readiness, kinds::Readable};

/// A store of objects of one kind across the scope of the process. Cheap to
/// clone. It fills while its stream of triggers is polled by [`crate::run`].
pub struct Watched<K> {
    pub(super) client: Client,
    pub(super) cache: Arc<Cache<K>>,
    pub(super) synced: Readiness,
}

/// The store of primaries, readable by the reconciler.
pub type Primaries<K> = Watched<K>;

impl<K> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            cache: Arc::clone(&self.cache),
            synced: self.synced.clone(),
        }
    }
}

impl<K> Debug for Watched<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Watched")
            .field("synced", &self.synced.is_ready())
            .finish_non_exhaustive()
    }
}

impl<K: Readable> Watched<K> {
    /// Prepares a watch. `owners` names the primaries that an object concerns,
    /// from its metadata alone, so that objects that cannot be decoded wake
    /// them too. Our own writes come back as changes as well: other primaries
    /// may share the object. `K` may be `PartialObjectMeta<Secret>`: then only
    /// metadata is requested and kept.
    pub fn start<P>(
        context: &Context,
        options: WatchOptions,
        owners: impl Fn(&ObjectMeta) -> Vec<ObjectRef<P>> + Send + 'static,
    ) -> (Self, Triggers<P>)
    where
        P: Resource<DynamicType = ()> + 'static,
    {
        let (watched, changes) = Self::changes(context, options);
        let triggers = changes.flat_map(move |change| stream::iter(owners(&change.meta)));
        (watched, triggers.boxed())
    }

    pub(crate) fn changes(
        context: &Context,
        options: WatchOptions,
    ) -> (Self, BoxStream<'static, Change<K>>) {
        let name = options
            .name
            .clone()
            .unwrap_or_else(|| K::plural(&()).into_owned());
        let gate = (!options.optional).then(|| context.readiness.register(&name));
        let synced = Readiness::new();
        let own_gate = synced.register(&name);
        let config = options.config();
        let optional = options.optional;
        let cache = Arc::new(Cache::new(context.scope.clone(), options));
        let watches = context.scope.apis::<Guard<K>>(&context.client);
        let tagged = watches.into_iter().enumerate().map(|(index, api)| {
            events(name.clone(), api, config.clone(), optional)
                .map(move |event| (index, event))
                .boxed()
        });
        let changes = filled(
            Arc::clone(&cache),
            stream::select_all(tagged).boxed(),
            move || {
                if !own_gate.is_open() {
                    own_gate.open();
                    if let Some(gate) = &gate {
                        gate.open();
                    }
                }
            },
        );
        (
            Self {
                client: context.client.clone(),
                cache,
                synced,
            },
            changes,
        )
    }

    /// The newest known state of an object. `None` means that nothing is
    /// known, not that it does not exist.
    #[must_use]
    pub fn cached(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.cache.current(namespace, name)
    }

    /// Every object known, in no particular order.
    #[must_use]
    pub fn list_cached(&self) -> Vec<Arc<K>> {
        self.cache.all()
    }

    /// The newest known state of an object; when nothing is known, one read
    /// by name, so that an object without our label is seen as it is. `None`
    /// means that it does not exist.
    ///
    /// # Errors
    /// The error of the read by name; an object that cannot be decoded is
    /// [`kube::Error::SerdeError`].
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, kube::Error> {
        if let Some(object) = self.cached(namespace, name) {
            return Ok(Some(object));
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        Ok(api
            .get_opt(name)
            .await?
            .map(|object| self.cache.remember(object)))
    }

    /// Keeps an object as returned by our own write, until the watch has
    /// delivered this version, a later one or its deletion. Objects that the
    /// watch does not select are not kept. Returns the object as a store
    /// would hold it.
    pub fn remember(&self, object: K) -> Arc<K> {
        self.cache.remember(object)
    }

    /// Drops what is known of an object until the watch speaks of it again:
    /// the next [`Watched::get`] reads it by name.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.cache.forget(namespace, name);
    }

    /// As [`Watched::forget`], but what the watch has delivered since this
    /// resourceVersion stays.
    pub(crate) fn forget_version(&self, namespace: &str, name: &str, version: Option<&str>) {
        self.cache.forget_version(namespace, name, version);
    }

    /// Whether a full list was delivered once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.is_ready()
    }

    /// Completes once a full list was delivered; something must poll the
    /// triggers meanwhile.
    pub async fn synced(&self) {
        self.synced.ready().await;
    }
}

/// An event of the collection with this index.
type Tagged<K> = (usize, Event<Guard<K>>);

/// Fills a cache with events and passes on what they change.
fn filled<K>(
    cache: Arc<Cache<K>>,
    events: BoxStream<'static, Tagged<K>>,
    listed: impl Fn() + Send + 'static,
) -> BoxStream<'static, Change<K>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let changes = events.flat_map(move |(index, event)| {
        let (changes, all_listed) = cache.take(index, event);
        if all_listed {
            listed();
        }
        stream::iter(changes)
    });
    changes.boxed()
}

/// The watch of the objects that a controller reconciles, to be handed to
/// [`crate::run`].
pub struct Primary<K> {
    store: Primaries<K>,
    pub(crate) changes: BoxStream<'static, Change<K>>,
}

impl<K> Debug for Primary<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Primary")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<K: Readable> Primary<K> {
    /// Prepares the watch of every `K` in the scope of the process; of
    /// managedFields the entries of these field managers are kept.
    #[must_use]
    pub fn new(context: &Context, managers: &'static [&'static str]) -> Self {
        let (store, changes) =
            Watched::changes(context, WatchOptions::all().managers(managers).primary());
        Self { store, changes }
    }

    /// A primary watch that a test feeds, over the whole cluster.
    #[cfg(test)]
    pub(crate) fn fed(context: &Context, events: BoxStream<'static, Event<Guard<K>>>) -> Self {
        let cache = Arc::new(Cache::new(crate::Scope::Cluster, WatchOptions::all()));
        let synced = Readiness::new();
        let gate = synced.register("fed");
        let events = events.map(|event| (0, event)).boxed();
        let changes = filled(Arc::clone(&cache), events, move || gate.open());
        Self {
            store: Watched {
                client: context.client.clone(),
                cache,
                synced,
            },
            changes,
        }
    }

    /// The store, for the reconciler.
    #[must_use]
    pub fn store(&self) -> Primaries<K> {
        self.store.clone()
    }
}
