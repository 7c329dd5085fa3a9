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

use super::{References, Triggers, WatchOptions, events::events};
use crate::{Context, kinds::Readable};

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
        Seen::Relisted => Vec::new(),
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
        Seen::Relisted => Vec::new(),
    })
}

/// Watches the metadata of every `K` in the scope and wakes the primaries
/// that refer to the object by kind, namespace and name. After an
/// interruption in which events may have been lost, every primary that refers
/// to an object of this kind is woken.
pub fn reference_triggers<K, P>(
    context: &Context,
    options: WatchOptions,
    references: References<P>,
) -> Triggers<P>
where
    K: Readable,
    P: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let apis = context.scope.apis::<PartialObjectMeta<K>>(&context.client);
    triggers(context, options, apis, move |event| match event {
        Seen::Object(object) => {
            let meta = &object.metadata;
            references.lookup(
                &K::kind(&()),
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            )
        }
        Seen::Relisted => references.lookup_kind(&K::kind(&())),
    })
}

enum Seen<'a, K> {
    Object(&'a PartialObjectMeta<K>),
    /// A list after the first one has ended.
    Relisted,
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
    stream::select_all(watches)
        .flat_map(move |(index, event)| {
            let woken = match &event {
                Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                    concerns(Seen::Object(object))
                }
                Event::Init => Vec::new(),
                Event::InitDone if listed[index] => concerns(Seen::Relisted),
                Event::InitDone => {
                    listed[index] = true;
                    if let (true, Some(gate)) = (listed.iter().all(|done| *done), &gate) {
                        gate.open();
                    }
                    Vec::new()
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
    events(name.to_owned(), api, options.config(), options.optional)
        .map(move |event| (index, event))
        .boxed()
}
