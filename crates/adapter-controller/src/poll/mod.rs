//! Looking at servers, each in a task of its own, outside the reconciles: a server that hangs
//! delays nobody else, and never holds a reconcile.

mod memory;
mod pace;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::DittoServer;
use api_types::conditions::Reason;
use api_types::v1alpha1::{ApiStatus, AwaitedRestart, DittoServerSpec, PushedSecret};
use async_trait::async_trait;
use controller_runtime::logs;
use controller_runtime::metrics::PollMetrics;
use controller_runtime::rest::{Site, Trouble};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use kube::runtime::reflector::ObjectRef;
use resources::Instance;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

#[cfg(test)]
pub(crate) use memory::tests as memory_tests;
pub use memory::{Found, Look, Memory, Seen, Serving};
pub use pace::{FLOOR, Pace};

/// Longest time of one look, over the time limits of the single calls.
const LOOK_LIMIT: Duration = Duration::from_secs(120);

/// Shortest time between the beginnings of two looks, whatever wakes them.
const BREATH: Duration = Duration::from_millis(500);

/// Everything that a look needs to know of its server. A change of it is a reason to look at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Namespace of the server.
    pub namespace: String,
    /// Name of the server.
    pub name: String,
    /// UID of the server.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Where its API is.
    pub api: ApiStatus,
    /// Since when it serves, as its condition says: a restart of the pod changes it.
    pub available_since: String,
    /// How often it is asked.
    pub pace: Pace,
    /// Answers in a row after which an adapter is missing.
    pub polls: u32,
    /// What it shall be.
    pub spec: Box<DittoServerSpec>,
    /// What it took for a later start before this process, as the status says.
    pub awaited: Vec<AwaitedRestart>,
    /// The Secrets that it had before this process, as the status says.
    pub pushed: Vec<PushedSecret>,
    /// The Secret of NFS over TLS whose files it uses, or is about to, as the status says.
    pub tls_secret: Option<String>,
    /// Whether anything may be written: in the server or in Kubernetes.
    pub may_write: bool,
    /// Whether the server was made by the Go operator, and its Services are ours by now: then that
    /// operator's account goes.
    pub leave_behind: bool,
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
            may_write: self.may_write,
        }
    }
}

/// Why a server is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is time.
    Due,
    /// It is the first look, or something that the look depends on changed: the spec, the address, a
    /// Secret, the pod.
    Changed,
}

/// Looks at one server again and again; keeps what is worth keeping in between, such as a session.
#[async_trait]
pub trait Looker: Send {
    /// One look.
    async fn look(&mut self, target: &Target, why: Why) -> Look;

    /// The server goes for good: what we left in it goes too, if that is easy.
    async fn retire(&mut self, target: &Target);
}

/// Makes the lookers.
pub trait Lookers: Send + Sync + 'static {
    /// A looker for one server.
    fn looker(&self) -> Box<dyn Looker>;
}

type Key = ObjectRef<DittoServer>;

/// The tasks that look at the servers. Cheap to clone.
#[derive(Clone)]
pub struct Pollers(Arc<Inner>);

struct Inner {
    tasks: Mutex<HashMap<Key, Task>>,
    lookers: Box<dyn Lookers>,
    metrics: PollMetrics,
    news: mpsc::UnboundedSender<Key>,
    jitter: fn() -> f64,
}

struct Task {
    target: watch::Sender<Target>,
    poke: Arc<Notify>,
    memory: Arc<Mutex<Memory>>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl std::fmt::Debug for Pollers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pollers")
            .field("tasks", &self.tasks().len())
            .finish()
    }
}

impl Pollers {
    /// No tasks yet, and the stream of servers of which there is news. Looks are counted in `metrics`.
    pub fn new(
        lookers: Box<dyn Lookers>,
        metrics: PollMetrics,
    ) -> (Self, controller_runtime::Triggers<DittoServer>) {
        Self::with_jitter(lookers, metrics, random)
    }

    fn with_jitter(
        lookers: Box<dyn Lookers>,
        metrics: PollMetrics,
        jitter: fn() -> f64,
    ) -> (Self, controller_runtime::Triggers<DittoServer>) {
        let (news, told) = mpsc::unbounded();
        let inner = Inner {
            tasks: Mutex::default(),
            lookers,
            metrics,
            news,
            jitter,
        };
        (Pollers(Arc::new(inner)), told.boxed())
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Key, Task>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a server from now on; at once if that is new, or if `target` changed.
    pub fn follow(&self, key: &Key, target: Target) {
        let mut tasks = self.tasks();
        if let Some(task) = tasks.get(key)
            && task.target.borrow().uid == target.uid
        {
            task.target.send_if_modified(|known| {
                let differs = *known != target;
                if differs {
                    *known = target;
                }
                differs
            });
            return;
        }
        let (sender, receiver) = watch::channel(target);
        let poke = Arc::new(Notify::new());
        let memory = Arc::new(Mutex::new(Memory::default()));
        let polling = Polling {
            key: key.clone(),
            target: receiver,
            poke: Arc::clone(&poke),
            memory: Arc::clone(&memory),
            news: self.0.news.clone(),
            jitter: self.0.jitter,
            looker: self.0.lookers.looker(),
            metrics: self.0.metrics.clone(),
        };
        let handle = tokio::spawn(polling.run());
        tasks.insert(
            key.clone(),
            Task {
                target: sender,
                poke,
                memory,
                handle,
            },
        );
    }

    /// What is known of a server that is followed.
    pub fn memory(&self, key: &Key, uid: &str) -> Option<Memory> {
        let tasks = self.tasks();
        let task = tasks.get(key)?;
        let is_same = task.target.borrow().uid == uid;
        is_same.then(|| lock(&task.memory).clone())
    }

    /// Looks at a server at once, if it is followed: something that the look depends on changed.
    pub fn poke(&self, key: &Key) {
        if let Some(task) = self.tasks().get(key) {
            task.poke.notify_one();
        }
    }

    /// Looks at a server no longer.
    pub fn leave(&self, key: &Key) {
        self.tasks().remove(key);
    }

    /// Looks at a server no longer, because it goes for good; cleans up in it without being waited for.
    pub fn retire(&self, key: &Key) {
        let Some(task) = self.tasks().remove(key) else {
            return;
        };
        let target = task.target.borrow().clone();
        let mut looker = self.0.lookers.looker();
        let span = span(&target);
        let retired = async move {
            let retired = AssertUnwindSafe(looker.retire(&target)).catch_unwind();
            let _ = tokio::time::timeout(LOOK_LIMIT, retired).await;
        };
        tokio::spawn(retired.instrument(span));
    }
}

/// What the log says of each line of one look.
fn span(target: &Target) -> tracing::Span {
    tracing::info_span!(
        "poll",
        kind = "DittoServer",
        namespace = target.namespace.as_str(),
        object = target.name.as_str(),
        id = logs::id()
    )
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Polling {
    key: Key,
    target: watch::Receiver<Target>,
    poke: Arc<Notify>,
    memory: Arc<Mutex<Memory>>,
    news: mpsc::UnboundedSender<Key>,
    jitter: fn() -> f64,
    looker: Box<dyn Looker>,
    metrics: PollMetrics,
}

impl Polling {
    async fn run(mut self) {
        let mut why = Why::Changed;
        loop {
            let began = Instant::now();
            let target = self.target.borrow_and_update().clone();
            let look = self.look(&target, why).instrument(span(&target)).await;
            let trouble = look.as_ref().err().map(|trouble| trouble.reason.as_str());
            self.metrics.observe(trouble, began.elapsed());
            let (told, wait) = {
                let mut memory = lock(&self.memory);
                let before = memory.significant(target.polls);
                memory.take(look, target.generation, began, target.pace.interval);
                let told = before != memory.significant(target.polls);
                (told, target.pace.after(&memory, (self.jitter)()))
            };
            if told {
                // The receiver lives as long as the controller.
                let _ = self.news.unbounded_send(self.key.clone());
            }
            why = tokio::select! {
                () = tokio::time::sleep_until(began + wait) => Why::Due,
                () = self.poke.notified() => Why::Changed,
                changed = self.target.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    Why::Changed
                }
            };
            tokio::time::sleep_until(began + BREATH).await;
        }
    }

    async fn look(&mut self, target: &Target, why: Why) -> Look {
        let look = AssertUnwindSafe(self.looker.look(target, why)).catch_unwind();
        match tokio::time::timeout(LOOK_LIMIT, look).await {
            Ok(Ok(look)) => {
                if let Err(trouble) = &look {
                    tracing::debug!(reason = trouble.reason.as_str(), "the look failed");
                }
                look
            }
            Ok(Err(_)) => {
                tracing::error!("the look panicked");
                Err(Trouble::new(
                    Reason::UnexpectedAnswer,
                    "The server's answer could not be handled: see the log of the adapter-controller.",
                ))
            }
            Err(_) => Err(Trouble::new(
                Reason::Unreachable,
                "The server does not answer in time.",
            )),
        }
    }
}

/// A random number from 0 to 1.
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness the looks are only less spread.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
