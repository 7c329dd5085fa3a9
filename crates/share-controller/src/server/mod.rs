//! The servers: one task, one session and one set of lists for each, whatever the number of its shares.
//! A server that hangs delays nobody else, and never holds a visit.

mod lists;
mod rotation;
mod snapshots;
mod worker;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::v1alpha1::{
    ApiStatus, ClaimStatus, DittoServerSpec, ShareStore, ShareStores, ShareUsage,
};
use api_types::{DittoFSShare, DittoServer};
use controller_runtime::rest::{Sessions, Site, Trouble};
use controller_runtime::{Events, Metrics, Primaries, Triggers};
use futures::StreamExt;
use futures::channel::mpsc;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use resources::Instance;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::wish::{Obstacle, Pushed, Wish};

/// A share in Kubernetes.
pub type Key = ObjectRef<DittoFSShare>;
/// A server in Kubernetes.
pub type ServerKey = ObjectRef<DittoServer>;

/// A server, as far as its task needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Where its API is.
    pub api: ApiStatus,
    /// Since when it serves: a restart changes it.
    pub available_since: String,
    /// Its spec.
    pub spec: Box<DittoServerSpec>,
    /// Nothing is written for the server itself; shares have an annotation of their own.
    pub paused: bool,
}

impl Target {
    /// The server, as a session with it needs to know it.
    pub fn site(&self) -> Site<'_> {
        Site {
            instance: Instance {
                name: &self.name,
                namespace: &self.namespace,
                uid: &self.uid,
                spec: &self.spec,
            },
            api: &self.api,
            may_write: true,
        }
    }
}

/// What is known of one share after the last work on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Generation of the spec that was acted on.
    pub generation: i64,
    /// [`Wish::fingerprint`] of what was acted on.
    pub fingerprint: u64,
    /// What keeps the stores from being as declared.
    pub stores: Option<Obstacle>,
    /// What keeps the share from being served.
    pub exported: Option<Obstacle>,
    /// What keeps the access from being as declared.
    pub access: Option<Obstacle>,
    /// Something should be changed, and writes are stopped.
    pub held_back: bool,
    /// Nothing is left of a share that was to be removed.
    pub gone: bool,
    /// UUID of the share, when it is loaded.
    pub id: Option<String>,
    /// Its stores.
    pub used: Option<ShareStores>,
    /// What its files need.
    pub usage: Option<ShareUsage>,
    /// The versions of Secrets that the server has.
    pub pushed: Pushed,
    /// When, by the server's clock, it was given a password that it takes at its next start.
    pub awaited: Option<Timestamp>,
    /// The claims that the share lies on, when it is loaded.
    pub claims: Option<Vec<ClaimStatus>>,
}

/// What is known of a share and of its server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What the last work on the share found.
    pub seen: Option<Seen>,
    /// Why the server could not be asked, if so.
    pub trouble: Option<Trouble>,
    /// Fields that somebody else had changed and that were set right since the last view.
    pub corrected: BTreeSet<String>,
}

/// The tasks of the servers. Cheap to clone.
#[derive(Clone)]
pub struct Servers(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    shares: Primaries<DittoFSShare>,
    events: Events,
    interval: Duration,
    metrics: Metrics,
    news: mpsc::UnboundedSender<Key>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    tasks: HashMap<ServerKey, Task>,
    /// Where each share is.
    places: HashMap<Key, ServerKey>,
    /// UIDs of the servers that declared snapshot policies at some time: they are looked at when they no longer do.
    with_policies: HashSet<String>,
}

struct Task {
    uid: String,
    shared: Arc<Shared>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// What a task and its users share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug)]
struct State {
    target: Target,
    /// What the session depends on changed: it is opened anew.
    anew: bool,
    shares: HashMap<Key, Followed>,
    /// Followed for its snapshot policies, whether it has shares or not.
    by_itself: bool,
    /// Everything is compared at once: the server's own wishes changed.
    look: bool,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Followed {
    wish: Arc<Wish>,
    /// The wish was not acted on yet.
    dirty: bool,
    seen: Option<Seen>,
    corrected: BTreeSet<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Servers")
            .field("tasks", &self.pool().tasks.len())
            .finish_non_exhaustive()
    }
}

impl Servers {
    /// No tasks yet, and the stream of shares of which there is news. Each server is compared with what its
    /// shares declare every `interval`; `shares` are those in Kubernetes, and `events` are about servers. Rounds and
    /// corrections are counted in `metrics`.
    pub fn new(
        sessions: Sessions,
        shares: Primaries<DittoFSShare>,
        events: Events,
        interval: Duration,
        metrics: &Metrics,
    ) -> (Self, Triggers<DittoFSShare>) {
        let (news, told) = mpsc::unbounded();
        let inner = Inner {
            sessions,
            shares,
            events,
            interval,
            metrics: metrics.clone(),
            news,
            pool: Mutex::default(),
        };
        (Servers(Arc::new(inner)), told.boxed())
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the share `key` be what `wish` says on the server `server`; at once if anything of it is new.
    pub fn follow(&self, key: &Key, server: &ServerKey, target: Target, wish: Wish) {
        let mut pool = self.pool();
        if pool.places.get(key).is_some_and(|place| place != server) {
            pool.leave(key);
        }
        pool.places.insert(key.clone(), server.clone());
        let task = self.task(&mut pool, server, &target);
        let mut state = task.shared.state();
        let mut wake = state.is_news(target);
        let known = state.shares.get_mut(key);
        match known {
            // What the status tells of may be newer.
            Some(followed) if followed.wish.fingerprint == wish.fingerprint => {
                followed.wish = Arc::new(wish);
            }
            Some(followed) => {
                if followed.wish.uid != wish.uid {
                    followed.seen = None;
                }
                followed.wish = Arc::new(wish);
                followed.dirty = true;
                wake = true;
            }
            None => {
                let followed = Followed {
                    wish: Arc::new(wish),
                    dirty: true,
                    seen: None,
                    corrected: BTreeSet::new(),
                };
                state.shares.insert(key.clone(), followed);
                wake = true;
            }
        }
        if wake {
            task.shared.notify.notify_one();
        }
    }

    /// Keeps the snapshot policies that the spec of the server `key` declares; `None` when it cannot be asked.
    /// A server that never declared any is not asked for them.
    pub fn keep_policies(&self, key: &ServerKey, target: Option<Target>) {
        let mut pool = self.pool();
        let target = target.filter(|target| {
            !target.spec.snapshot_policies.is_empty() || pool.with_policies.contains(&target.uid)
        });
        let Some(target) = target else {
            if let Some(task) = pool.tasks.get(key) {
                task.shared.state().by_itself = false;
            }
            pool.drop_unused(key);
            return;
        };
        pool.with_policies.insert(target.uid.clone());
        let task = self.task(&mut pool, key, &target);
        let mut state = task.shared.state();
        let is_first = !std::mem::replace(&mut state.by_itself, true);
        state.look |= is_first;
        let wake = state.is_news(target) || is_first;
        if wake {
            task.shared.notify.notify_one();
        }
    }

    /// The task of a server; started when there is none, or the server is another one by now.
    fn task<'a>(&self, pool: &'a mut Pool, server: &ServerKey, target: &Target) -> &'a Task {
        let known = pool.tasks.get(server);
        if known.is_none_or(|task| task.uid != target.uid || task.handle.is_finished()) {
            pool.tasks
                .insert(server.clone(), self.start(target.clone()));
        }
        // It was there, or it was put there.
        &pool.tasks[server]
    }

    fn start(&self, target: Target) -> Task {
        let uid = target.uid.clone();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                target,
                anew: true,
                shares: HashMap::new(),
                by_itself: false,
                look: false,
                trouble: None,
            }),
            notify: Notify::new(),
        });
        let worker = worker::Worker::new(
            Arc::clone(&shared),
            self.0.sessions.clone(),
            self.0.shares.clone(),
            self.0.events.clone(),
            self.0.interval,
            &self.0.metrics,
            self.0.news.clone(),
        );
        Task {
            uid,
            shared,
            handle: tokio::spawn(worker.run()),
        }
    }

    /// What is known of a share; the corrected fields are told once.
    pub fn view(&self, key: &Key, uid: &str) -> View {
        let pool = self.pool();
        let task = pool
            .places
            .get(key)
            .and_then(|server| pool.tasks.get(server));
        let Some(task) = task else {
            return View::default();
        };
        let mut state = task.shared.state();
        let trouble = state.trouble.clone();
        let Some(followed) = state.shares.get_mut(key) else {
            return View::default();
        };
        if followed.wish.uid != uid {
            return View::default();
        }
        View {
            seen: followed.seen.clone(),
            trouble,
            corrected: std::mem::take(&mut followed.corrected),
        }
    }

    /// Something that the session with the server of this share depends on may have changed.
    pub fn poke(&self, key: &Key) {
        let pool = self.pool();
        let task = pool
            .places
            .get(key)
            .and_then(|server| pool.tasks.get(server));
        if let Some(task) = task {
            task.shared.state().anew = true;
            task.shared.notify.notify_one();
        }
    }

    /// Follows a share no longer.
    pub fn leave(&self, key: &Key) {
        self.pool().leave(key);
    }
}

impl Pool {
    fn leave(&mut self, key: &Key) {
        let Some(server) = self.places.remove(key) else {
            return;
        };
        if let Some(task) = self.tasks.get(&server) {
            task.shared.state().shares.remove(key);
        }
        self.drop_unused(&server);
    }

    fn drop_unused(&mut self, server: &ServerKey) {
        let unused = self.tasks.get(server).is_some_and(|task| {
            let state = task.shared.state();
            state.shares.is_empty() && !state.by_itself
        });
        if unused {
            self.tasks.remove(server);
        }
    }
}

impl State {
    /// Takes what is known of the server; returns whether its task has something to do for it.
    fn is_news(&mut self, target: Target) -> bool {
        if self.target == target {
            return false;
        }
        self.anew |=
            self.target.api != target.api || self.target.available_since != target.available_since;
        self.look |= self.target.spec.snapshot_policies != target.spec.snapshot_policies
            || self.target.paused != target.paused;
        self.target = target;
        self.anew || self.look
    }
}

/// A store for the status.
fn store(name: &str, id: &str) -> ShareStore {
    ShareStore {
        name: name.to_owned(),
        id: id.to_owned(),
    }
}
