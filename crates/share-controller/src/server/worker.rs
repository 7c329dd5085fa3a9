//! The task of one server: reads its lists, and has one share after the other be as declared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapter_client::{Client, Error, HealthStatus};
use api_types::DittoFSShare;
use api_types::conditions::Reason;
use api_types::v1alpha1::{ShareStores, ShareUsage};
use controller_runtime::metrics::{DriftMetrics, PollMetrics};
use controller_runtime::rest::{Open, Sessions, Trouble, trouble};
use controller_runtime::{Events, Metrics, Primaries, logs};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;
use tracing::Instrument;

use super::rotation::{self, Passwords};
use super::{Key, Seen, Shared, Target, lists, store};
use crate::carry_out::carry_out;
use crate::marker::{Marker, Ownership};
use crate::observe;
use crate::plan::{Plan, Planned, Step, Turn, plan};
use crate::wish::{Goal, Obstacle, Wish};
use crate::world::{Claimant, World};

/// Age up to which lists are good for work on shares that changed since.
const WINDOW: Duration = Duration::from_secs(10);

/// Shortest time between two rounds, whatever wakes the task.
const BREATH: Duration = Duration::from_millis(200);

/// Longest time of one round, over the time limits of the single calls.
const ROUND_LIMIT: Duration = Duration::from_secs(600);

/// Wait after the first of several failures in a row; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(2);
/// Longest wait after a failure.
const LONGEST: Duration = Duration::from_secs(300);

/// Shares that are worked on at the same time.
const AT_ONCE: usize = 4;

/// Shares whose permissions and NFS options are read again in one round: so the number of requests does
/// not grow with the number of shares.
const READ_AGAIN: usize = 50;

/// Most requests for one share in one round.
const MOST_STEPS: usize = 2_000;

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    sessions: Sessions,
    /// The DittoFSShares in Kubernetes.
    shares: Primaries<DittoFSShare>,
    pub(super) events: Events,
    interval: Duration,
    news: mpsc::UnboundedSender<Key>,
    polls: PollMetrics,
    drift: DriftMetrics,
    open: Option<Open>,
    world: Mutex<World>,
    listed: Option<Instant>,
    /// When the details of shares were read.
    read: HashMap<String, Instant>,
    failures: u32,
    /// Something was changed by somebody else since the lists were read.
    outdated: AtomicBool,
    passwords: Passwords,
}

/// What one round is about.
struct Round {
    target: Target,
    /// Every share is compared; else those that changed.
    full: bool,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        sessions: Sessions,
        shares: Primaries<DittoFSShare>,
        events: Events,
        interval: Duration,
        metrics: &Metrics,
        news: mpsc::UnboundedSender<Key>,
    ) -> Self {
        Worker {
            shared,
            sessions,
            shares,
            events,
            interval,
            news,
            polls: metrics.polls(),
            drift: metrics.drift(),
            open: None,
            world: Mutex::default(),
            listed: None,
            read: HashMap::new(),
            failures: 0,
            outdated: AtomicBool::new(false),
            passwords: Passwords::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let began = Instant::now();
            let round = self.begin(began >= due);
            let full = round.full;
            let span = span(&round.target);
            let result = {
                let round = AssertUnwindSafe(self.round(round)).catch_unwind();
                let round = tokio::time::timeout(ROUND_LIMIT, round);
                match round.instrument(span.clone()).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => {
                        span.in_scope(|| tracing::error!("the work on a server panicked"));
                        Err(Trouble::new(
                            Reason::UnexpectedAnswer,
                            "The server's answer could not be handled: see the log of the share-controller.",
                        ))
                    }
                    Err(_) => Err(Trouble::new(
                        Reason::Unreachable,
                        "The server does not answer in time.",
                    )),
                }
            };
            let trouble = result.as_ref().err().map(|trouble| trouble.reason.as_str());
            self.polls.observe(trouble, began.elapsed());
            let wait = span.in_scope(|| self.end(result.err()));
            if full || self.failures > 0 {
                due = began + wait;
            }
            if self.outdated.load(Ordering::Relaxed) {
                due = due.min(began + FIRST);
            }
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.shared.notify.notified() => {}
            }
            tokio::time::sleep_until(began + BREATH).await;
        }
    }

    fn begin(&mut self, due: bool) -> Round {
        let mut state = self.shared.state();
        let anew = std::mem::take(&mut state.anew);
        let look = std::mem::take(&mut state.look);
        let target = state.target.clone();
        drop(state);
        if anew {
            self.open = None;
            self.listed = None;
        }
        Round {
            target,
            full: due || anew || look,
        }
    }

    /// Notes how a round ended, and says how long to wait for the next.
    fn end(&mut self, trouble: Option<Trouble>) -> Duration {
        let (told, retry_after) = {
            let mut state = self.shared.state();
            let is_news = state.trouble != trouble;
            state.trouble = trouble.clone();
            let told: Vec<Key> = if is_news {
                state.shares.keys().cloned().collect()
            } else {
                Vec::new()
            };
            (
                told,
                trouble.as_ref().and_then(|trouble| trouble.retry_after),
            )
        };
        for key in told {
            // The receiver lives as long as the controller.
            let _ = self.news.unbounded_send(key);
        }
        let wait = match trouble {
            None => {
                self.failures = 0;
                self.interval
            }
            Some(trouble) => {
                tracing::debug!(
                    reason = trouble.reason.as_str(),
                    "the server cannot be asked"
                );
                self.open = None;
                self.listed = None;
                let first = match trouble.reason {
                    // What a person must mend is woken by that.
                    Reason::Unauthorized | Reason::Forbidden => self.interval,
                    _ => FIRST,
                };
                let wait = first.saturating_mul(1 << self.failures.min(8));
                self.failures = self.failures.saturating_add(1);
                wait.min(LONGEST.max(self.interval))
                    .max(retry_after.unwrap_or_default().min(LONGEST * 12))
            }
        };
        wait + wait.mul_f64(0.1 * random())
    }

    async fn round(&mut self, round: Round) -> Result<(), Trouble> {
        let Round { target, full } = round;
        if self.is_idle(&target) {
            return Ok(());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.sessions.open(&target.site()).await?,
        };
        let outdated = self.outdated.swap(false, Ordering::Relaxed);
        let old = outdated || self.listed.is_none_or(|at| at.elapsed() > WINDOW);
        if full || old {
            let known = self.world().clone();
            let world = lists::read(&self.sessions, &target, &mut open, &known).await?;
            *self.world() = world;
            self.listed = Some(Instant::now());
            let absent = self.absent(&target).await;
            self.world().absent = absent;
        }
        let wishes = self.wishes(full);
        self.forget_details(full, &wishes);
        // Two of the same share name wait for each other: the first one gets it.
        let mut by_name: BTreeMap<String, Vec<(Key, Arc<Wish>)>> = BTreeMap::new();
        for (key, wish) in wishes {
            let name = wish.declared.share.clone();
            by_name.entry(name).or_default().push((key, wish));
        }
        let this = &*self;
        let client = &open.account;
        let ended: Vec<Option<Trouble>> = stream::iter(by_name.into_values())
            .map(|wishes| async move {
                for (key, wish) in wishes {
                    let span = tracing::info_span!(
                        "share",
                        kind = "DittoFSShare",
                        namespace = wish.namespace,
                        object = wish.name
                    );
                    let work = this.work(client, &key, &wish).instrument(span);
                    if let Err(trouble) = work.await {
                        return Some(trouble);
                    }
                }
                None
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        self.note_details();
        if let Some(trouble) = ended.into_iter().flatten().next() {
            return Err(trouble);
        }
        if full {
            self.passwords.retain(&self.shared);
            self.keep_policies(&open.account, &target).await?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// The DittoFSShares, as `namespace/name`, that keep or ask for an account which a share asks for, and that do not
    /// exist in Kubernetes, or are those of other shares by now. One that cannot be read exists. Of those that only ask
    /// it is not known while the keeper exists.
    async fn absent(&self, target: &Target) -> BTreeSet<String> {
        let asked: BTreeSet<String> = {
            let state = self.shared.state();
            let wishes = state.shares.values().map(|followed| &followed.wish);
            let accounts = wishes.flat_map(|wish| &wish.accounts);
            accounts.map(|account| account.name.clone()).collect()
        };
        let mut absent = BTreeSet::new();
        for user in asked {
            let (keeper, all) = self.world().claimants(&user);
            if let Some(keeper) = &keeper
                && self.exists(target, keeper).await
            {
                continue;
            }
            for claimant in all.into_iter().chain(keeper) {
                if !self.exists(target, &claimant).await {
                    absent.insert(format!("{}/{}", claimant.namespace, claimant.name));
                }
            }
        }
        absent
    }

    async fn exists(&self, target: &Target, claimant: &Claimant) -> bool {
        let Claimant {
            namespace,
            name,
            share,
        } = claimant;
        match self.shares.get(namespace, name).await {
            Ok(None) => false,
            Ok(Some(found)) => {
                observe::server_of(&found) == (target.namespace.clone(), target.name.clone())
                    && found.share_name() == share
            }
            Err(_) => true,
        }
    }

    /// Whether the lists of the server were read, and nothing happened since that makes them worthless.
    pub(super) fn has_listed(&self) -> bool {
        self.listed.is_some()
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shares to work on, in an order that stays the same.
    fn wishes(&self, full: bool) -> Vec<(Key, Arc<Wish>)> {
        let mut wishes: Vec<(Key, Arc<Wish>)> = self
            .shared
            .state()
            .shares
            .iter()
            .filter(|(_, followed)| full || followed.dirty)
            .map(|(key, followed)| (key.clone(), Arc::clone(&followed.wish)))
            .collect();
        wishes.sort_by_key(|(_, wish)| wish.owner());
        wishes
    }

    /// Forgets what no list tells, of shares of which it shall be read again.
    fn forget_details(&mut self, full: bool, wishes: &[(Key, Arc<Wish>)]) {
        let age = if full { self.interval / 2 } else { WINDOW };
        let mut old: Vec<(Instant, String)> = wishes
            .iter()
            .filter_map(|(_, wish)| {
                let share = &wish.declared.share;
                let at = *self.read.get(share)?;
                (at.elapsed() >= age).then(|| (at, share.clone()))
            })
            .collect();
        old.sort();
        for (_, share) in old.into_iter().take(READ_AGAIN) {
            self.read.remove(&share);
            self.world().details.remove(&share);
        }
    }

    fn note_details(&mut self) {
        let names: Vec<String> = self.world().details.keys().cloned().collect();
        self.read.retain(|name, _| names.contains(name));
        for name in names {
            self.read.entry(name).or_insert_with(Instant::now);
        }
    }

    /// Has one share be as its wish says, as far as the server lets it.
    async fn work(&self, client: &Client, key: &Key, wish: &Wish) -> Result<(), Trouble> {
        let before = self
            .shared
            .state()
            .shares
            .get(key)
            .and_then(|followed| followed.seen.clone());
        // What differs from a state that was reached before was changed by somebody else.
        let settled = before.as_ref().is_some_and(|seen| {
            seen.fingerprint == wish.fingerprint && seen.access.is_none() && seen.stores.is_none()
        });
        let mut turn = Turn {
            pushed: match &before {
                Some(seen) => seen.pushed.clone(),
                None => wish.pushed.clone(),
            },
            awaited: before.as_ref().map_or(wish.awaited, |seen| seen.awaited),
            ..Turn::default()
        };
        let settling = rotation::settle(client, wish, &mut turn).await;
        settling.map_err(|error| trouble::of(&error))?;
        let mut corrected = Vec::new();
        let mut last = Plan::default();
        for _ in 0..MOST_STEPS {
            let plan = plan(wish, &self.world(), &turn);
            let next = match (&plan.next, wish.goal) {
                (Some(next), Goal::Keep | Goal::Remove) => Some(next.clone()),
                _ => None,
            };
            last = plan;
            let Some(next) = next else {
                break;
            };
            let Planned {
                step,
                stage,
                fields,
            } = next;
            let (id, about) = (step.id(), step.about());
            let sent = self.passwords.carry_out(client, key, wish, step.clone());
            match sent.await {
                Ok(effect) => {
                    effect(&mut self.world(), &mut turn);
                    turn.done.insert(id);
                    if settled {
                        for field in &fields {
                            self.drift.corrected("DittoFSShare", field);
                        }
                        corrected.extend(fields);
                    }
                }
                Err(error) if is_of_the_server(&error) => {
                    self.keep_pushed(key, wish, &turn);
                    return Err(trouble::of(&error));
                }
                Err(error) => {
                    tracing::debug!(%error, "the server refuses {about}");
                    if matches!(error, Error::Conflict { .. }) {
                        self.outdated.store(true, Ordering::Relaxed);
                        self.unclaim(client, wish, &step).await;
                    }
                    let obstacle = match step {
                        Step::Drain => Obstacle::new(
                            Reason::RemovingShare,
                            format!(
                                "What is only on the server is sent to the bucket first, which is not done: {error}. It is tried again."
                            ),
                        ),
                        Step::UpdateMetadata(..) if wish.own_connection => {
                            rotation::refused(&error)
                        }
                        _ => Obstacle::new(
                            stage.refusal(),
                            format!("The server refuses {about}: {error}."),
                        ),
                    };
                    turn.failed.insert(id, (stage, obstacle));
                }
            }
        }
        self.passwords.remember(key, wish, &turn);
        let target = self.shared.state().target.clone();
        let mut seen = seen(wish, &self.world(), &turn, &last);
        seen.stores = seen.stores.or_else(|| rotation::awaits(&turn, &target));
        self.note(key, wish, seen, corrected);
        Ok(())
    }

    /// Somebody else made what `step` was to make: the marker must not say that it is ours.
    async fn unclaim(&self, client: &Client, wish: &Wish, step: &Step) {
        let share = &wish.declared.share;
        let value = self.world().marker(share).to_owned();
        let Ownership::Ours(marker) = Marker::read(&value, &wish.namespace, &wish.name) else {
            return;
        };
        let Some(marker) = step.unclaimed(*marker) else {
            return;
        };
        let put = Step::PutMarker(Box::new(marker));
        match carry_out(client, wish, put).await {
            Ok(effect) => effect(&mut self.world(), &mut Turn::default()),
            Err(error) => tracing::warn!(%error, share, "the marker lists what is not ours"),
        }
    }

    fn note(&self, key: &Key, wish: &Wish, seen: Seen, corrected: Vec<String>) {
        let mut state = self.shared.state();
        let Some(followed) = state.shares.get_mut(key) else {
            return;
        };
        if followed.wish.fingerprint == wish.fingerprint {
            followed.dirty = false;
        }
        let news = followed.seen.as_ref() != Some(&seen) || !corrected.is_empty();
        followed.seen = Some(seen);
        followed.corrected.extend(corrected);
        drop(state);
        if news {
            let _ = self.news.unbounded_send(key.clone());
        }
    }

    /// What was pushed before the server went away is not pushed again.
    fn keep_pushed(&self, key: &Key, wish: &Wish, turn: &Turn) {
        let mut state = self.shared.state();
        if let Some(followed) = state.shares.get_mut(key)
            && followed.wish.uid == wish.uid
            && let Some(seen) = &mut followed.seen
        {
            seen.pushed = turn.pushed.clone();
            seen.awaited = turn.awaited;
        }
    }
}

/// What the log says of each line of one round.
fn span(target: &Target) -> tracing::Span {
    tracing::info_span!(
        "poll",
        kind = "DittoServer",
        namespace = target.namespace,
        object = target.name,
        id = logs::id()
    )
}

/// Whether an error says more of the server than of what it was asked for.
pub(super) fn is_of_the_server(error: &Error) -> bool {
    match error {
        Error::NotFound { .. }
        | Error::Conflict { .. }
        | Error::Precondition { .. }
        | Error::Invalid { .. }
        | Error::ServerError { .. } => false,
        Error::Forbidden { .. }
        | Error::Unreachable { .. }
        | Error::TlsError { .. }
        | Error::Unauthorized { .. }
        | Error::RateLimited { .. }
        | Error::Protocol { .. } => true,
        _ => true,
    }
}

fn seen(wish: &Wish, world: &World, turn: &Turn, plan: &Plan) -> Seen {
    let live = world.shares.get(&wish.declared.share);
    // A share of somebody else is none of ours to tell of.
    let conflict = plan
        .exported
        .as_ref()
        .is_some_and(|obstacle| obstacle.reason == Reason::NameConflict);
    let live = live.filter(|_| !conflict);
    let loaded = live.filter(|share| share.status.status != HealthStatus::Unknown);
    let replaced = plan
        .exported
        .as_ref()
        .is_some_and(|obstacle| obstacle.reason == Reason::DataVolumeReplaced);
    Seen {
        generation: wish.generation,
        fingerprint: wish.fingerprint,
        stores: plan.stores.clone(),
        exported: plan.exported.clone(),
        access: plan.access.clone(),
        held_back: wish.goal == Goal::Look && plan.next.is_some(),
        gone: plan.gone || (wish.goal == Goal::Remove && is_removed(wish, world)),
        id: loaded.map(|share| share.id.clone()),
        used: live.map(|share| ShareStores {
            metadata: world
                .metadata
                .values()
                .find(|other| other.id == share.metadata_store_id)
                .map(|other| store(&other.name, &other.id)),
            local: world
                .local
                .values()
                .find(|other| other.id == share.local_block_store_id)
                .map(|other| store(&other.name, &other.id)),
            remote: world
                .remote
                .values()
                .find(|other| Some(&other.id) == share.remote_block_store_id.as_ref())
                .map(|other| store(&other.name, &other.id)),
        }),
        usage: loaded.map(|share| ShareUsage {
            used_bytes: share.used_bytes,
            physical_bytes: share.physical_bytes,
        }),
        pushed: turn
            .pushed
            .iter()
            .filter(|(what, _)| wish.feeds(what))
            .map(|(what, version)| (what.clone(), version.clone()))
            .collect(),
        awaited: turn.awaited,
        claims: loaded.filter(|_| !replaced).map(|_| wish.claims.clone()),
    }
}

fn is_removed(wish: &Wish, world: &World) -> bool {
    world.marker(&wish.declared.share).is_empty()
}

/// A random number from 0 to 1.
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness the rounds are only less spread.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
