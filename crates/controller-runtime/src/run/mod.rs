//! The run loop: which object is visited when, how often at the same time,
//! and what a failure or panic of one visit means for the others.

mod primaries;
#[cfg(test)]
mod tests;
mod visit;

use std::{
    collections::HashSet, future::Future, hash::Hash, pin::pin, sync::Arc, task::Poll,
    time::Duration,
};

use futures::{Stream, StreamExt, channel::mpsc, future, stream};
use kube::runtime::{
    reflector::ObjectRef,
    scheduler::{ScheduleRequest, Scheduler, scheduler},
};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    backoff::Backoff,
    fence::LeaseLost,
    kinds::Readable,
    metrics::{Metrics, ReconcileMetrics, ReconcileResult},
    readiness::Readiness,
    watch::{Primaries, Primary, Triggers},
};

use visit::{Visit, visit};

/// Longest time that running reconciles get to end after a stop is asked for.
const GRACE: Duration = Duration::from_secs(10);

/// What a reconcile leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, until something changes.
    Settled,
    /// A visit after this time, or earlier when something changes.
    WaitFor(Duration),
}

/// A controller's own part: what to do about one object.
#[async_trait::async_trait]
pub trait Reconcile: Send + Sync + 'static {
    /// The kind that is reconciled.
    type Object: Readable;

    /// Makes the world fit one object. Never runs twice at the same time for
    /// the same object.
    ///
    /// # Errors
    /// Any error: the object is visited again with back-off.
    async fn reconcile(&self, object: Arc<Self::Object>) -> Result<Outcome, anyhow::Error>;

    /// Hash of everything in the object whose change must wake us; the status
    /// that we write ourselves is not part of it. The UID is added by the caller.
    fn significant(&self, object: &Self::Object) -> u64;

    /// Whether the object is ready, for the metric `object_ready`; `None` where another controller tells.
    fn ready(&self, _object: &Self::Object) -> Option<bool> {
        None
    }

    /// An object is gone: what is kept in memory for it can go. May be called
    /// more than once.
    fn gone(&self, namespace: &str, name: &str);
}

/// How [`run`] works.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Objects reconciled at the same time; at least 1.
    pub concurrency: u16,
    /// Nothing is reconciled before all of this is ready.
    pub readiness: Readiness,
    /// Where reconciles are counted.
    pub metrics: Metrics,
}

/// Why [`run`] ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The watch of the primaries ended, which must not happen.
    #[error("the watch of the primaries ended")]
    WatchEnded,
    /// A write was stopped because the leader lease is lost.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
}

/// Visits every object of the primary watch when it, or something that
/// concerns it, changes, until `shutdown` completes. Then running reconciles
/// get 10 s to end.
///
/// # Errors
/// [`RunError`]
pub async fn run<R: Reconcile>(
    reconciler: Arc<R>,
    primary: Primary<R::Object>,
    triggers: Vec<Triggers<R::Object>>,
    options: RunOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let store = primary.store();
    let backoff = Arc::new(Backoff::default());
    let (later, delayed) = mpsc::unbounded();
    let objects = options.metrics.objects();
    let changed = primaries::significant_changes(
        Arc::clone(&reconciler),
        Arc::clone(&backoff),
        objects,
        primary,
    );
    let triggers = stream::select_all(triggers).chain(stream::pending());
    let at_once = |object| {
        Some(ScheduleRequest {
            message: object,
            run_at: Instant::now(),
        })
    };
    // The end of the primary watch, marked by nothing, ends all of it.
    let changed = changed.map(at_once).chain(stream::iter([None]));
    let others = stream::select(triggers.map(at_once), delayed.map(Some));
    let requests = stream::select(changed, others)
        .take_while(|request| future::ready(request.is_some()))
        .filter_map(future::ready);
    let metrics = options.metrics.reconciles();
    Loop {
        reconciler,
        store,
        backoff,
        later,
        metrics,
        running: HashSet::new(),
        visits: JoinSet::new(),
    }
    .until(shutdown, requests, options)
    .await
}

type Request<K> = ScheduleRequest<ObjectRef<K>>;

struct Loop<R: Reconcile> {
    reconciler: Arc<R>,
    store: Primaries<R::Object>,
    backoff: Arc<Backoff<ObjectRef<R::Object>>>,
    later: mpsc::UnboundedSender<Request<R::Object>>,
    metrics: ReconcileMetrics,
    running: HashSet<ObjectRef<R::Object>>,
    visits: JoinSet<Visit<R::Object>>,
}

impl<R: Reconcile> Loop<R> {
    async fn until(
        mut self,
        shutdown: impl Future<Output = ()>,
        requests: impl Stream<Item = Request<R::Object>>,
        options: RunOptions,
    ) -> Result<(), RunError> {
        let limit = usize::from(options.concurrency.max(1));
        let mut shutdown = pin!(shutdown);
        let mut queue = pin!(scheduler(requests));
        let store = self.store.clone();
        let mut ready = pin!(async {
            options.readiness.ready().await;
            store.synced().await;
        });
        let mut is_ready = false;
        let result = loop {
            let may_start = is_ready && self.running.len() < limit;
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                Some(visit) = self.visits.join_next(), if !self.visits.is_empty() => {
                    if let Ok(visit) = visit && self.ended(visit) {
                        break Err(LeaseLost.into());
                    }
                }
                () = &mut ready, if !is_ready => is_ready = true,
                next = next(queue.as_mut(), may_start, &self.running) => match next {
                    Some(object) => self.begin(object),
                    None => break Err(RunError::WatchEnded),
                },
            }
        };
        self.finish().await;
        result
    }

    fn begin(&mut self, key: ObjectRef<R::Object>) {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let Some(object) = self.store.cached(namespace, &key.name) else {
            // Gone, or never there: a trigger may name what does not exist.
            self.backoff.reset(&key);
            return;
        };
        self.running.insert(key.clone());
        self.metrics.set_running(self.running.len());
        self.visits
            .spawn(visit(Arc::clone(&self.reconciler), key, object));
    }

    /// Takes in the result of a visit; true when the leader lease is lost.
    fn ended(&mut self, visit: Visit<R::Object>) -> bool {
        let Visit {
            key,
            result,
            duration,
        } = visit;
        self.running.remove(&key);
        self.metrics.set_running(self.running.len());
        let (counted, after, lost) = match result {
            Ok(Outcome::Settled) => (ReconcileResult::Ok, None, false),
            Ok(Outcome::WaitFor(time)) => (ReconcileResult::Waiting, Some(time), false),
            Err(failure) => (failure.result(), None, failure.is_lease_lost()),
        };
        self.metrics.observe(counted, duration);
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let after = match counted {
            ReconcileResult::Ok | ReconcileResult::Waiting => {
                self.backoff.reset(&key);
                after
            }
            ReconcileResult::Error | ReconcileResult::Panic => Some(self.backoff.fail(key.clone())),
        };
        if self.store.cached(namespace, &key.name).is_none() {
            // It went during the visit, which may have left something in memory.
            self.backoff.reset(&key);
            self.reconciler.gone(namespace, &key.name);
        } else if let Some(after) = after {
            // The receiver lives as long as the loop.
            let _ = self.later.unbounded_send(ScheduleRequest {
                message: key,
                run_at: Instant::now() + after,
            });
        }
        self.metrics.set_backing_off(self.backoff.len());
        lost
    }

    async fn finish(mut self) {
        let all_ended = async { while self.visits.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_ended).await.is_err() {
            tracing::warn!(
                left = self.visits.len(),
                "reconciles did not end in time and are cut off"
            );
            self.visits.shutdown().await;
        }
    }
}

/// The next object to visit; while none may start, only takes in requests.
async fn next<T, S>(
    mut queue: std::pin::Pin<&mut Scheduler<T, S>>,
    may_start: bool,
    running: &HashSet<T>,
) -> Option<T>
where
    T: Eq + Hash + Clone,
    S: Stream<Item = ScheduleRequest<T>>,
{
    future::poll_fn(|context| {
        if may_start {
            queue
                .as_mut()
                .hold_unless(|object| !running.contains(object))
                .poll_next_unpin(context)
        } else {
            match queue.as_mut().hold().poll_next_unpin(context) {
                Poll::Ready(None) => Poll::Ready(None),
                _ => Poll::Pending,
            }
        }
    })
    .await
}
