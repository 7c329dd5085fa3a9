//! A store of objects of a kind that the cluster may not have: its CustomResourceDefinition (CRD)
//! is followed by a watch, and the objects are watched while it is there.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{
    StreamExt, future,
    stream::{self, BoxStream},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Resource,
    core::{ObjectMeta, PartialObjectMeta},
    runtime::{
        reflector::ObjectRef,
        watcher::{Config, Event},
    },
};

use super::{
    References, Triggers, WatchOptions, Watched,
    cache::{Cache, Change},
    events::{Expectation, Heard, events, heard},
    guard::Guard,
};
use crate::{Context, Gate, Readiness, kinds::Readable};

/// A store of objects of a kind whose CRD may be installed and removed while the process runs.
/// Cheap to clone. It fills while its stream of triggers is polled by [`crate::run`].
pub struct Installable<K> {
    objects: Watched<K>,
    served: Arc<AtomicBool>,
}

impl<K> Clone for Installable<K> {
    fn clone(&self) -> Self {
        Self {
            objects: self.objects.clone(),
            served: Arc::clone(&self.served),
        }
    }
}

impl<K> Debug for Installable<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Installable")
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

impl<K: Readable> Installable<K> {
    /// Prepares the watch of the CRD called `crd`, and of the objects while it is installed.
    /// `owners` is that of [`Watched::start`]; `concerned` names the primaries to visit when the
    /// kind has come or gone. Of the CRD only metadata is requested. The process is not ready
    /// before it is known whether the kind is there and, if it is, which objects.
    ///
    /// A CRD is read by `list` and `watch` with its name as a field selector, which a role can
    /// grant by `resourceNames`.
    pub fn start<P>(
        context: &Context,
        crd: &'static str,
        options: WatchOptions,
        owners: impl Fn(&ObjectMeta) -> Vec<ObjectRef<P>> + Send + 'static,
        concerned: impl Fn() -> Vec<ObjectRef<P>> + Send + 'static,
    ) -> (Self, Triggers<P>)
    where
        P: Resource<DynamicType = ()> + 'static,
    {
        let none = References::new();
        Self::follow(context, crd, options, owners, concerned, false, none)
    }

    /// As [`Installable::start`], and wakes the primaries that refer to an object of the kind by namespace and
    /// name, whatever its labels. Of those objects nothing is kept: only their metadata is requested.
    pub fn start_with_references<P>(
        context: &Context,
        crd: &'static str,
        options: WatchOptions,
        owners: impl Fn(&ObjectMeta) -> Vec<ObjectRef<P>> + Send + 'static,
        concerned: impl Fn() -> Vec<ObjectRef<P>> + Send + 'static,
        references: References<P>,
    ) -> (Self, Triggers<P>)
    where
        P: Resource<DynamicType = ()> + Send + Sync + 'static,
    {
        Self::follow(context, crd, options, owners, concerned, true, references)
    }

    fn follow<P>(
        context: &Context,
        crd: &'static str,
        options: WatchOptions,
        owners: impl Fn(&ObjectMeta) -> Vec<ObjectRef<P>> + Send + 'static,
        concerned: impl Fn() -> Vec<ObjectRef<P>> + Send + 'static,
        all: bool,
        references: References<P>,
    ) -> (Self, Triggers<P>)
    where
        P: Resource<DynamicType = ()> + 'static,
    {
        let synced = Readiness::new();
        let served = Arc::new(AtomicBool::new(false));
        let mut follower = Follower::<K>::new(context, crd, options, &synced, &served);
        follower.all = all;
        let installable = Self {
            objects: Watched {
                client: context.client.clone(),
                cache: Arc::clone(&follower.cache),
                synced,
            },
            served,
        };
        let triggers = stream::unfold(follower, |mut follower| async move {
            Some((follower.next().await, follower))
        });
        let triggers = triggers.flat_map(move |news| {
            let News {
                changes,
                turned,
                seen,
            } = news;
            let mut woken: Vec<_> = changes
                .iter()
                .flat_map(|change| owners(&change.meta))
                .collect();
            if turned {
                woken.extend(concerned());
            }
            let kind = K::kind(&());
            match seen {
                None => {}
                Some(Seen::Object { namespace, name }) => {
                    woken.extend(references.lookup(&kind, &namespace, &name));
                }
                Some(Seen::Listed) => woken.extend(references.lookup_kind(&kind)),
            }
            stream::iter(woken)
        });
        (installable, triggers.boxed())
    }

    /// The objects, while the API server serves the kind and all of them have been listed; `None`
    /// otherwise: nothing can be read or written.
    #[must_use]
    pub fn served(&self) -> Option<&Watched<K>> {
        self.served.load(Ordering::Acquire).then_some(&self.objects)
    }
}

/// Objects in a page of a list of metadata: nothing is kept of them.
const PAGE: u32 = 50;

type Definition = PartialObjectMeta<CustomResourceDefinition>;
type Objects<K> = BoxStream<'static, Input<K>>;

/// What the metadata of every object of the kind tells.
enum Seen {
    /// One has appeared, changed or gone.
    Object { namespace: String, name: String },
    /// All have been listed: one of those known before may be gone.
    Listed,
}

/// What a step of the follower brings.
struct News<K> {
    changes: Vec<Change<K>>,
    /// Whether the kind has come or gone.
    turned: bool,
    seen: Option<Seen>,
}

struct Follower<K> {
    crd: &'static str,
    context: Context,
    config: Config,
    definitions: BoxStream<'static, Event<Definition>>,
    /// The CRD found so far in a list of CRDs that is under way, by UID.
    listing: Option<String>,
    /// The CRD that is installed and not being deleted, by UID.
    installed: Option<String>,
    /// The watches of the objects, while the CRD is installed.
    objects: Option<Objects<K>>,
    /// Which collections have been listed since the watches began.
    listed: Vec<bool>,
    cache: Arc<Cache<K>>,
    served: Arc<AtomicBool>,
    gates: [Gate; 2],
    /// Whether the metadata of objects that are not kept is followed too.
    all: bool,
}

enum Input<K> {
    Definition(Event<Definition>),
    Object(usize, Heard<Guard<K>>),
    Seen(Seen),
}

impl<K: Readable> Follower<K> {
    fn new(
        context: &Context,
        crd: &'static str,
        options: WatchOptions,
        synced: &Readiness,
        served: &Arc<AtomicBool>,
    ) -> Self {
        let config = options.config();
        let definitions = events(
            format!("CRD {crd} (metadata)"),
            Api::<Definition>::all(context.client.clone()),
            Config::default().fields(&format!("metadata.name={crd}")),
            false,
        );
        Self {
            crd,
            config,
            definitions: definitions.boxed(),
            listing: None,
            installed: None,
            objects: None,
            listed: vec![false; context.scope.collections()],
            cache: Arc::new(Cache::new(context.scope.clone(), options)),
            served: Arc::clone(served),
            gates: [context.readiness.register(crd), synced.register(crd)],
            context: context.clone(),
            all: false,
        }
    }

    async fn next(&mut self) -> News<K> {
        match self.input().await {
            Input::Definition(event) => self.define(event),
            Input::Object(index, Heard::Event(event)) => self.take(index, event),
            Input::Object(_, Heard::UnknownKind) => {
                // The CRD does not serve our version: there is nothing to wait for.
                self.open();
                self.vanish()
            }
            Input::Seen(seen) => News {
                seen: Some(seen),
                ..News::nothing()
            },
        }
    }

    async fn input(&mut self) -> Input<K> {
        let objects = async {
            match &mut self.objects {
                Some(objects) => objects.next().await,
                None => future::pending().await,
            }
        };
        // What the CRD does comes first: objects that go with it need no visit then. The streams
        // are endless.
        tokio::select! {
            biased;
            Some(event) = self.definitions.next() => Input::Definition(event),
            Some(input) = objects => input,
            else => future::pending().await,
        }
    }

    fn define(&mut self, event: Event<Definition>) -> News<K> {
        match event {
            Event::Init => {
                self.listing = None;
                News::nothing()
            }
            Event::InitApply(definition) => {
                self.listing = uid(&definition);
                News::nothing()
            }
            Event::InitDone => {
                let found = self.listing.take();
                self.install(found)
            }
            Event::Apply(definition) => self.install(uid(&definition)),
            Event::Delete(_) => self.install(None),
        }
    }

    /// Takes in which CRD is installed now.
    fn install(&mut self, uid: Option<String>) -> News<K> {
        let same = self.installed == uid;
        let is_served = self.served.load(Ordering::Acquire);
        self.installed = uid;
        match &self.installed {
            None => {
                if !same {
                    tracing::info!(crd = self.crd, "the CRD is gone");
                }
                self.objects = None;
                self.open();
                self.vanish()
            }
            Some(_) if same && is_served => News::nothing(),
            // Another CRD of this name, or news of one that was not served yet.
            Some(_) => {
                let news = self.vanish();
                self.watch();
                news
            }
        }
    }

    fn watch(&mut self) {
        let apis = self.context.scope.apis::<Guard<K>>(&self.context.client);
        self.listed.fill(false);
        let watches = apis.into_iter().enumerate().map(|(index, api)| {
            let name = K::plural(&()).into_owned();
            heard(name, api, self.config.clone(), Expectation::Announced)
                .map(move |heard| Input::Object(index, heard))
                .boxed()
        });
        let mut watches: Vec<Objects<K>> = watches.collect();
        if self.all {
            watches.extend(self.metadata());
        }
        self.objects = Some(stream::select_all(watches).boxed());
    }

    /// The metadata of every object of the kind.
    fn metadata(&self) -> impl Iterator<Item = Objects<K>> + use<K> {
        let apis = self
            .context
            .scope
            .apis::<PartialObjectMeta<K>>(&self.context.client);
        apis.into_iter().map(|api| {
            let name = format!("{} (metadata)", K::plural(&()));
            heard(
                name,
                api,
                Config::default().page_size(PAGE),
                Expectation::Announced,
            )
            .filter_map(async |heard| match heard {
                Heard::Event(
                    Event::Apply(object) | Event::InitApply(object) | Event::Delete(object),
                ) => Some(Input::Seen(Seen::Object {
                    namespace: object.metadata.namespace.unwrap_or_default(),
                    name: object.metadata.name.unwrap_or_default(),
                })),
                Heard::Event(Event::InitDone) => Some(Input::Seen(Seen::Listed)),
                Heard::Event(Event::Init) | Heard::UnknownKind => None,
            })
            .boxed()
        })
    }

    fn take(&mut self, index: usize, event: Event<Guard<K>>) -> News<K> {
        let listed = matches!(event, Event::InitDone);
        let (changes, _) = self.cache.take(index, event);
        self.listed[index] |= listed;
        let complete = listed && self.listed.iter().all(|listed| *listed);
        let turned = complete && !self.served.swap(true, Ordering::AcqRel);
        if turned {
            tracing::info!(crd = self.crd, "the CRD is installed");
            self.open();
        }
        News {
            changes,
            turned,
            seen: None,
        }
    }

    /// The kind is not served: what was known of its objects is gone with it.
    fn vanish(&mut self) -> News<K> {
        let turned = self.served.swap(false, Ordering::AcqRel);
        self.listed.fill(false);
        let mut changes = Vec::new();
        for index in 0..self.listed.len() {
            for event in [Event::Init, Event::InitDone] {
                changes.extend(self.cache.take(index, event).0);
            }
        }
        News {
            changes,
            turned,
            seen: None,
        }
    }

    fn open(&self) {
        for gate in &self.gates {
            gate.open();
        }
    }
}

impl<K> News<K> {
    fn nothing() -> Self {
        Self {
            changes: Vec::new(),
            turned: false,
            seen: None,
        }
    }
}

/// The UID of a CRD that is there to stay.
fn uid(definition: &Definition) -> Option<String> {
    let meta = &definition.metadata;
    let leaving = meta.deletion_timestamp.is_some();
    meta.uid.clone().filter(|_| !leaving)
}
