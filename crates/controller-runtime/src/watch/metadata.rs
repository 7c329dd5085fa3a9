//! Watches that read metadata only and keep no store.

use std::fmt::Debug;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api, Resource,
    core::PartialObjectMeta,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use serde::de::DeserializeOwned;

use super::{References, Remembered, Triggers, WatchOptions, events::events};
use crate::{Context, kinds::Readable};

/// Objects in a page of a list. Nothing is kept of the objects of others, so a page is all the memory
/// that they cost.
const PAGE: u32 = 50;

/// Watches the metadata of every `K` in the scope and hands each object that
/// appears, changes or goes to `concerns`. Nothing is stored, so what was
/// deleted while the watch was interrupted is not reported; use
/// [`reference_triggers`] where that matters.
pub fn metadata_triggers<K, P>(
    context: &Context,
    options: WatchOptions,
    concerns: impl Fn(&PartialObjectMeta<K>) -> Vec<ObjectRef<P>> + Send + 'static,
) -> Triggers<P>
where
    K: Readable,
    P: Resource<DynamicType = ()> + 'static,
{
    let apis = context.scope.apis(&context.client);
    triggers(context, options, apis, move |event| match event {
        Seen::Object(object) => concerns(object),
        Seen::Listing | Seen::Listed { .. } => Vec::new(),
    })
}

/// As [`metadata_triggers`], for a kind that is not namespaced, such as
/// Namespace or StorageClass; the scope of the process does not matter.
pub fn cluster_metadata_triggers<K, P>(
    context: &Context,
    options: WatchOptions,
    concerns: impl Fn(&PartialObjectMeta<K>) -> Vec<ObjectRef<P>> + Send + 'static,
) -> Triggers<P>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Resource<DynamicType = ()> + 'static,
{
    let apis = vec![Api::all(context.client.clone())];
    triggers(context, options, apis, move |event| match event {
        Seen::Object(object) => concerns(object),
        Seen::Listing | Seen::Listed { .. } => Vec::new(),
    })
}

/// Watches the metadata of every `K` in the scope and wakes the primaries
/// that refer to the object by kind, namespace and name. After an
/// interruption in which events may have been lost, every primary that refers
/// to an object of this kind is woken. What `remembered` keeps of an object is
/// dropped before anybody is woken because of it.
pub fn reference_triggers<K, P, V>(
    context: &Context,
    options: WatchOptions,
    references: References<P>,
    remembered: Remembered<V>,
) -> Triggers<P>
where
    K: Readable,
    P: Resource<DynamicType = ()> + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let apis = context.scope.apis::<PartialObjectMeta<K>>(&context.client);
    referring(context, options, apis, references, remembered)
}

/// As [`reference_triggers`], for a kind that is not namespaced, such as
/// StorageClass; the scope of the process does not matter. References to it
/// have the empty namespace.
pub fn cluster_reference_triggers<K, P, V>(
    context: &Context,
    options: WatchOptions,
    references: References<P>,
    remembered: Remembered<V>,
) -> Triggers<P>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Resource<DynamicType = ()> + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let apis = vec![Api::<PartialObjectMeta<K>>::all(context.client.clone())];
    referring(context, options, apis, references, remembered)
}

fn referring<K, P, V>(
    context: &Context,
    options: WatchOptions,
    apis: Vec<Api<PartialObjectMeta<K>>>,
    references: References<P>,
    remembered: Remembered<V>,
) -> Triggers<P>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Resource<DynamicType = ()> + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    triggers(context, options, apis, move |event| match event {
        Seen::Object(object) => {
            let meta = &object.metadata;
            remembered.told(meta);
            references.lookup(
                &K::kind(&()),
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            )
        }
        Seen::Listing => {
            remembered.listing(false);
            Vec::new()
        }
        Seen::Listed { again, all } => {
            remembered.listing(all);
            if again {
                references.lookup_kind(&K::kind(&()))
            } else {
                Vec::new()
            }
        }
    })
}

enum Seen<'a, K> {
    Object(&'a PartialObjectMeta<K>),
    /// A list begins.
    Listing,
    /// A list has ended.
    Listed {
        /// It was not the first one of its collection.
        again: bool,
        /// Every collection is listed now.
        all: bool,
    },
}

fn triggers<K, P>(
    context: &Context,
    options: WatchOptions,
    apis: Vec<Api<PartialObjectMeta<K>>>,
    concerns: impl Fn(Seen<'_, K>) -> Vec<ObjectRef<P>> + Send + 'static,
) -> Triggers<P>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    P: Resource<DynamicType = ()> + 'static,
{
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| format!("{} (metadata)", K::plural(&())));
    let gate = (!options.optional).then(|| context.readiness.register(&name));
    let watches = apis
        .into_iter()
        .enumerate()
        .map(|(index, api)| tagged(index, &name, api, &options));
    let mut listed = vec![false; watches.len()];
    let mut listing = vec![true; watches.len()];
    stream::select_all(watches)
        .flat_map(move |(index, event)| {
            let woken = match &event {
                Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                    concerns(Seen::Object(object))
                }
                Event::Init => {
                    listing[index] = true;
                    concerns(Seen::Listing)
                }
                Event::InitDone => {
                    let again = std::mem::replace(&mut listed[index], true);
                    listing[index] = false;
                    if let (true, Some(gate)) = (listed.iter().all(|done| *done), &gate) {
                        gate.open();
                    }
                    let all = listing.iter().all(|listing| !*listing);
                    concerns(Seen::Listed { again, all })
                }
            };
            stream::iter(woken)
        })
        .boxed()
}

type Tagged<K> = BoxStream<'static, (usize, Event<PartialObjectMeta<K>>)>;

fn tagged<K>(
    index: usize,
    name: &str,
    api: Api<PartialObjectMeta<K>>,
    options: &WatchOptions,
) -> Tagged<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = options.config().page_size(PAGE);
    events(name.to_owned(), api, config, options.optional)
        .map(move |event| (index, event))
        .boxed()
}
