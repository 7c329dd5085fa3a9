//! The reconcile: the pipeline's steps in their order. The work on the server is done by its task
//! ([`crate::server`]), outside the visits: a visit tells it what the share shall be, and reports what it found.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::conditions::{ConditionType, find};
use api_types::v1alpha1::{NamespacesFrom, Retention};
use api_types::{DittoFSShare, DittoServer, annotations, names};
use async_trait::async_trait;
use controller_runtime::report::{ReportError, Reporter};
use controller_runtime::rest::{OwnAccount, RestSettings, Sessions};
use controller_runtime::{
    Applier, Context, Events, Finalizer, Outcome, Primary, Reconcile, Watched,
};
use futures::StreamExt;
use futures::future::{Either, select};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use tokio::time::Instant;

use crate::observe::{self, Observed};
use crate::report::ANNOUNCED;
use crate::server::{Key, Servers, Target, View};
use crate::status::{self, Visit};
use crate::validate::{self, says_yes};
use crate::watches::{Changed, Watches};
use crate::wish::Obstacle;
use crate::{MANAGER, MANAGERS};

/// The finalizer of shares that are removed from their server at deletion.
pub const FINALIZER: &str = "dittofs.dittofs.com/share";

/// Name of our account in every server.
pub const USER: &str = "dittofs-share-controller";

const OURS: Finalizer = Finalizer {
    name: FINALIZER,
    manager: MANAGER,
};

const ACCOUNT: OwnAccount = OwnAccount {
    user: USER,
    controller: "share-controller",
    secret: names::share_credentials,
};

/// Pause before a visit with a fresh view after somebody else changed the share in between.
const FRESH_LOOK: Duration = Duration::from_millis(100);

/// Most events about fields that were set right at the same time.
const MOST_DRIFT_EVENTS: usize = 16;

/// Longest action of an event, in characters (`validateV1Event` of Kubernetes).
const MAX_ACTION: usize = 128;

/// Time between two looks at the labels of a namespace, which no watch tells of.
const CONSENT_CHECK: Duration = Duration::from_secs(60);

/// Runs the controller until the context's shutdown is triggered. Servers are reached as `rest` says, and
/// compared with what their shares declare every `interval`.
///
/// # Errors
/// When the run loop ends for another reason.
pub async fn run(context: Context, rest: RestSettings, interval: Duration) -> anyhow::Result<()> {
    let sessions = Sessions::new(&context, rest, MANAGER, ACCOUNT);
    let primary = Primary::new(&context, MANAGERS);
    let (servers, news) = Servers::new(
        sessions,
        primary.store(),
        context.events(),
        interval,
        &context.metrics,
    );
    let (watches, mut triggers, changed) = Watches::start(&context, primary.store(), &servers);
    let policies = keep_policies(watches.servers.clone(), servers.clone(), changed);
    triggers.push(news);
    let controller = Arc::new(ShareController {
        client: context.client.clone(),
        applier: Applier::new(context.client.clone(), MANAGER).counting(context.metrics.drift()),
        events: context.events(),
        domain: context.settings.cluster_domain.clone(),
        watches,
        servers,
        usage_written: Mutex::default(),
    });
    let options = context.run_options();
    let run = controller_runtime::run(
        controller,
        primary,
        triggers,
        options,
        context.shutdown.triggered(),
    );
    // The watches feed the other one, which has no end of its own.
    match select(pin!(run), pin!(policies)).await {
        Either::Left((ended, _)) => ended?,
        Either::Right(((), run)) => run.await?,
    }
    Ok(())
}

/// Follows the servers whose spec declares snapshot policies, whether they have shares or not.
async fn keep_policies(known: Watched<DittoServer>, servers: Servers, mut changed: Changed) {
    while let Some((namespace, name)) = changed.next().await {
        let server = known.cached(&namespace, &name);
        let target = server.and_then(|server| validate::target(&server).ok());
        servers.keep_policies(&ObjectRef::new(&name).within(&namespace), target);
    }
}

struct ShareController {
    client: Client,
    applier: Applier,
    events: Events,
    domain: String,
    watches: Watches,
    servers: Servers,
    usage_written: Mutex<HashMap<Key, Instant>>,
}

#[async_trait]
impl Reconcile for ShareController {
    type Object = DittoFSShare;

    async fn reconcile(&self, share: Arc<DittoFSShare>) -> anyhow::Result<Outcome> {
        let key = key(&share);
        self.refer(&key, &share);
        let observed = observe::observe(&self.client, &self.watches, share).await?;
        let deleted = observed.share.metadata.deletion_timestamp.is_some();
        if deleted && !self.must_wait(&key, &observed) {
            return self.release(&key, &observed.share).await;
        }
        let observed = match self.settle_finalizer(observed, deleted).await {
            Ok(observed) => observed,
            Err(error) if error.is_conflict() => return Ok(Outcome::WaitFor(FRESH_LOOK)),
            Err(error) => return Err(error.into()),
        };
        let asked = self.ask(&key, &observed);
        let uid = observed.share.uid().unwrap_or_default();
        let view = match &asked {
            Ok(_) => self.servers.view(&key, &uid),
            Err(_) => View::default(),
        };
        self.tell_of_drift(&observed.share, &view).await;
        let is_gone = view
            .seen
            .as_ref()
            .is_some_and(|seen| seen.gone && asked.as_ref() == Ok(&seen.fingerprint));
        if deleted && is_gone {
            return self.release(&key, &observed.share).await;
        }
        let visit = Visit {
            share: &observed.share,
            server: observed.server.as_deref(),
            asked: asked.as_ref().map(|fingerprint| *fingerprint),
            view: &view,
            domain: &self.domain,
            usage_age: self.usage_written().get(&key).map(Instant::elapsed),
        };
        if let Some(status) = status::status(visit, Timestamp::now()) {
            let usage = |share: &DittoFSShare| share.status.as_ref()?.usage.clone();
            let is_new = status.usage != usage(&observed.share);
            let reporter = Reporter {
                applier: &self.applier,
                primaries: &self.watches.shares,
                events: &self.events,
                announced: ANNOUNCED,
            };
            match reporter.report(&observed.share, &status).await {
                Err(ReportError::Apply(error)) if error.is_conflict() => {
                    return Ok(Outcome::WaitFor(FRESH_LOOK));
                }
                result => result?,
            }
            if is_new {
                self.usage_written().insert(key, Instant::now());
            }
        }
        let by_labels = observed.server.as_ref().is_some_and(|server| {
            server.spec.shares.allowed_namespaces.from == NamespacesFrom::Selector
                && server.namespace() != observed.share.namespace()
        });
        Ok(if by_labels {
            Outcome::WaitFor(CONSENT_CHECK)
        } else {
            Outcome::Settled
        })
    }

    fn significant(&self, share: &DittoFSShare) -> u64 {
        significant(share)
    }

    fn ready(&self, share: &DittoFSShare) -> Option<bool> {
        let status = share.status.as_ref();
        let ready = status.and_then(|status| find(&status.conditions, ConditionType::Ready));
        Some(ready.is_some_and(|ready| ready.status == "True"))
    }

    fn gone(&self, namespace: &str, name: &str) {
        let key = ObjectRef::new(name).within(namespace);
        self.servers.leave(&key);
        self.usage_written().remove(&key);
        self.watches.forget(self.watches.references.remove(&key));
    }
}

/// Everything of a share that a visit reads, but what this controller wrote itself: of that only whether it
/// is there, so that what somebody wipes out is written again.
fn significant(share: &DittoFSShare) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = &share.metadata;
    meta.generation.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    meta.finalizers.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    if let Some(status) = &share.status {
        for kind in ConditionType::OF_SHARE {
            find(&status.conditions, kind).is_some().hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn key(share: &DittoFSShare) -> Key {
    ObjectRef::new(&share.name_any()).within(&share.namespace().unwrap_or_default())
}

impl ShareController {
    fn usage_written(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.usage_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the share needs, so that a change of it wakes the share: its server, its Secrets, and the
    /// Secrets that open the server's API.
    fn refer(&self, key: &Key, share: &DittoFSShare) {
        let namespace = share.namespace().unwrap_or_default();
        let (of, name) = observe::server_of(share);
        let secret =
            |namespace: &str, name: String| (Secret::kind(&()), namespace.to_owned(), name);
        let mut needed = vec![
            (DittoServer::kind(&()), of.clone(), name.clone()),
            secret(&of, names::share_credentials(&name)),
        ];
        let own = observe::secret_names(share).into_iter();
        needed.extend(own.map(|name| secret(&namespace, name)));
        if let Some(server) = self.watches.servers.cached(&of, &name) {
            let database = observe::database_of(share, &server);
            let database = database.and_then(|database| database.secret_ref.clone());
            needed.extend(database.map(|of_database| secret(&of, of_database.name.0)));
            let api = server.status.as_ref().and_then(|status| status.api.clone());
            if let Some(api) = api {
                let refs = [api.admin_secret_ref, api.ca_secret_ref];
                let refs = refs.into_iter().flatten().map(|of_api| of_api.name.0);
                let client = api.client_cert_secret_ref.map(|of_api| of_api.name.0);
                needed.extend(refs.chain(client).map(|name| secret(&of, name)));
            }
        }
        self.watches
            .forget(self.watches.references.set(key, needed));
    }

    /// Whether the deletion of a share must wait for its server.
    fn must_wait(&self, key: &Key, observed: &Observed) -> bool {
        let share = &observed.share;
        let server = observed.server.as_ref();
        let serves = server.is_some_and(|server| server.metadata.deletion_timestamp.is_none());
        let wait = OURS.is_on(&**share)
            && share.spec.deletion_policy == Retention::Delete
            && !says_yes(share, annotations::ABANDON)
            && serves;
        if !wait {
            self.servers.leave(key);
        }
        wait
    }

    /// Takes the finalizer off.
    async fn release(&self, key: &Key, share: &Arc<DittoFSShare>) -> anyhow::Result<Outcome> {
        self.servers.leave(key);
        if !OURS.is_on(&**share) {
            return Ok(Outcome::Settled);
        }
        let shares = &self.watches.shares;
        match OURS.set(&self.client, shares, share, false).await {
            Ok(_) => Ok(Outcome::Settled),
            Err(error) if error.is_conflict() => Ok(Outcome::WaitFor(FRESH_LOOK)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the finalizer where something must be done at the deletion, before anything is made, and takes
    /// it off where nothing must be.
    async fn settle_finalizer(
        &self,
        mut observed: Observed,
        deleted: bool,
    ) -> Result<Observed, controller_runtime::ApplyError> {
        let wanted = observed.share.spec.deletion_policy == Retention::Delete;
        let paused = says_yes(&observed.share, annotations::PAUSED);
        if !deleted && !paused && wanted != OURS.is_on(&*observed.share) {
            let shares = &self.watches.shares;
            let share = OURS.set(&self.client, shares, &observed.share, wanted);
            observed.share = share.await?;
        }
        Ok(observed)
    }

    /// Tells the server's task what the share shall be. Returns the fingerprint of that, or why nothing is
    /// asked of the server.
    fn ask(&self, key: &Key, observed: &Observed) -> Result<u64, Obstacle> {
        let asked = validate::gate(observed).and_then(|target: Target| {
            let server = observed.server.as_ref();
            let server = server.ok_or_else(|| {
                Obstacle::new(
                    api_types::conditions::Reason::ServerMissing,
                    "There is no server.",
                )
            })?;
            let wish = validate::wish(observed, server)
                .map_err(|unusable| validate::unusable_value(&unusable))?;
            let fingerprint = wish.fingerprint;
            let server = ObjectRef::new(&target.name).within(&target.namespace);
            self.servers.follow(key, &server, target, wish);
            Ok(fingerprint)
        });
        if asked.is_err() {
            self.servers.leave(key);
        }
        asked
    }

    /// An event for each field that was set right. The API server keeps one event for each reason and action,
    /// and counts: so the field is the action.
    async fn tell_of_drift(&self, share: &DittoFSShare, view: &View) {
        let about = share.object_ref(&());
        for field in view.corrected.iter().take(MOST_DRIFT_EVENTS) {
            let note =
                format!("Somebody changed {field} in the server, and it is as declared again.");
            let action: String = field.chars().take(MAX_ACTION).collect();
            let key = format!("drift {field}");
            self.events
                .transition(
                    &about,
                    &key,
                    EventType::Warning,
                    "DriftCorrected",
                    &action,
                    &note,
                )
                .await;
            // The next one is news again.
            self.events.settle(&about, &key, "");
        }
    }
}
