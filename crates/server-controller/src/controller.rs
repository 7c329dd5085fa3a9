//! The reconcile: the pipeline's steps in their order.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api_types::conditions::{ConditionType, find};
use api_types::names::{self, Volume};
use api_types::{DittoFSShare, DittoServer};
use async_trait::async_trait;
use controller_runtime::report::{ReportError, Reporter};
use controller_runtime::{Applier, Context, Events, Outcome, Reconcile, Scope};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use percona_bridge::Source;

use crate::MANAGER;
use crate::apply::storage::StorageOutcome;
use crate::apply::{self, Applied, deletion, finalizer};
use crate::observe::{self, Observed, identity, secret_names};
use crate::plan::{self, Deletion, Finalizer, Plan};
use crate::report::{ANNOUNCED, Unsaid};
use crate::status::{self, Surroundings, Visit, rollout};
use crate::takeover;
use crate::validate;
use crate::watches::{Rights, Watches};

/// Pause before a visit with a fresh view, after a takeover, or after somebody else changed a child
/// in between.
const FRESH_LOOK: Duration = Duration::from_millis(100);

/// Time between two looks at an object of somebody else that is in the way: it does not carry our
/// label, so no watch tells when it goes.
const NAME_CONFLICT_POLL: Duration = Duration::from_secs(10);

/// Time between two looks at shares whose metadata stores are given new credentials: no watch tells of them.
const STORES_POLL: Duration = Duration::from_secs(3);

/// Time between two looks at other servers that use the same database.
const RIVALS_POLL: Duration = Duration::from_secs(30);

/// How often a deletion that waits for something looks again by itself.
const DELETION_CHECK: Duration = Duration::from_secs(10);

/// Runs the controller until the context's shutdown is triggered.
///
/// # Errors
/// When the run loop ends for another reason.
pub async fn run(context: Context) -> anyhow::Result<()> {
    let rights = Rights::of(&context).await?;
    let (watches, primary, triggers) = Watches::start(&context, rights);
    let controller = Arc::new(ServerController {
        client: context.client.clone(),
        applier: Applier::new(context.client.clone(), MANAGER).counting(context.metrics.drift()),
        events: context.events(),
        surroundings: Surroundings {
            cluster_domain: context.settings.cluster_domain.clone(),
        },
        scope: context.scope.clone(),
        watches,
        unsaid: Unsaid::default(),
    });
    let options = context.run_options();
    controller_runtime::run(
        controller,
        primary,
        triggers,
        options,
        context.shutdown.triggered(),
    )
    .await?;
    Ok(())
}

struct ServerController {
    client: Client,
    applier: Applier,
    events: Events,
    surroundings: Surroundings,
    scope: Scope,
    watches: Watches,
    unsaid: Unsaid,
}

#[async_trait]
impl Reconcile for ServerController {
    type Object = DittoServer;

    async fn reconcile(&self, server: Arc<DittoServer>) -> anyhow::Result<Outcome> {
        let (namespace, name) = identity(&server);
        self.refer(&server, &namespace, &name);

        let now = Timestamp::now();
        let observed = observe::observe(&self.client, &self.watches, server, now).await?;
        if takeover::is_suspected(&observed)
            && takeover::run(&self.client, &self.watches.servers, &observed).await?
        {
            return Ok(Outcome::WaitFor(FRESH_LOOK));
        }
        if plan::is_leaving_by_steps(&observed.server) {
            takeover::protect(&self.client, &observed).await?;
        }
        let Some((observed, plan)) = self.settle_server(observed).await? else {
            // The watch tells of its end in a moment.
            return Ok(Outcome::WaitFor(FRESH_LOOK));
        };
        let (observed, plan) = self.settle_secrets(observed, plan).await?;
        let (observed, plan) = self.settle_database(observed, plan).await?;
        let validated = validate::validate(&observed)?;
        let applied =
            apply::apply(&self.client, &self.applier, &self.watches, &observed, &plan).await;
        if applied.is_outdated() {
            // What was observed is out of date: nothing may be reported from it.
            return Ok(Outcome::WaitFor(FRESH_LOOK));
        }
        let visit = Visit {
            observed: &observed,
            validated: &validated,
            plan: &plan,
            applied: &applied,
        };
        let status = status::status(visit, &self.surroundings, now);
        let more = rollout::is_being_made(visit);
        let unsaid = self.unsaid.wait(&observed.server, &status, more);
        if unsaid.is_none() {
            let reporter = Reporter {
                applier: &self.applier,
                primaries: &self.watches.servers,
                events: &self.events,
                announced: ANNOUNCED,
            };
            match reporter.report(&observed.server, &status).await {
                Err(ReportError::Apply(error)) if error.is_conflict() => {
                    return Ok(Outcome::WaitFor(FRESH_LOOK));
                }
                result => result?,
            }
        }
        if let Some(step) = &plan.deletion {
            return self.delete(&observed, step).await;
        }
        if plan.finalizer == Finalizer::Remove
            && let pause @ Outcome::WaitFor(_) = self.release(&observed).await?
        {
            return Ok(pause);
        }
        let spec = &observed.server.spec;
        let in_the_way = !validated.conflicts.is_empty();
        let again = [
            rollout::wake(&status, spec, observed.pod.as_deref(), now),
            status::storage_wake(&observed, &status, now),
            in_the_way.then_some(NAME_CONFLICT_POLL),
            unsaid,
            self.database_wake(&observed, now),
        ];
        outcome(applied, again.into_iter().flatten().min())
    }

    /// Everything of a server that a visit reads, but what this controller wrote itself.
    fn significant(&self, server: &DittoServer) -> u64 {
        let mut hasher = DefaultHasher::new();
        let meta = &server.metadata;
        meta.generation.hash(&mut hasher);
        meta.annotations.hash(&mut hasher);
        meta.finalizers.hash(&mut hasher);
        meta.deletion_timestamp.is_some().hash(&mut hasher);
        if let Some(status) = &server.status {
            for condition in &status.conditions {
                if !own_condition(&condition.type_) {
                    (
                        &condition.type_,
                        &condition.status,
                        &condition.reason,
                        &condition.message,
                    )
                        .hash(&mut hasher);
                    condition.observed_generation.hash(&mut hasher);
                }
            }
            for adapter in status.adapters.iter().flatten() {
                (&adapter.kind, adapter.enabled, adapter.listen_port).hash(&mut hasher);
                adapter.tls_secret.hash(&mut hasher);
            }
            for pushed in status.pushed.iter().flatten() {
                pushed.what.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn ready(&self, server: &DittoServer) -> Option<bool> {
        let status = server.status.as_ref();
        let ready = status.and_then(|status| find(&status.conditions, ConditionType::Ready));
        Some(ready.is_some_and(|ready| ready.status == "True"))
    }

    fn gone(&self, namespace: &str, name: &str) {
        let server = ObjectRef::new(name).within(namespace);
        self.unsaid.forget(&server);
        self.watches.checks.forget(&server);
        self.watches.forget(self.watches.references.remove(&server));
        // A deletion asks for this one also where the server does not refer to it.
        self.watches
            .secrets
            .forget(namespace, &names::admin_secret(name));
    }
}

fn own_condition(kind: &str) -> bool {
    ConditionType::OF_SERVER_CONTROLLER
        .iter()
        .any(|own| own.as_str() == kind)
}

impl ServerController {
    /// Notes what the server refers to, so that a change of it wakes the server.
    fn refer(&self, server: &DittoServer, namespace: &str, name: &str) {
        let claims: Vec<_> = Volume::ALL
            .into_iter()
            .filter_map(|volume| self.watches.claims.cached(namespace, &volume.claim(name)))
            .collect();
        let classes = observe::class_names(server, claims.iter().map(Arc::as_ref));
        let secrets = secret_names(server)
            .into_iter()
            .map(|secret| (Secret::kind(&()), namespace.to_owned(), secret));
        let classes = classes
            .into_iter()
            .map(|class| (StorageClass::kind(&()), String::new(), class));
        let cluster = match observe::source(server) {
            Some(Source::Managed(managed)) => {
                let kind = managed.provider().kind().into();
                Some((kind, namespace.to_owned(), managed.cluster))
            }
            _ => None,
        };
        let server = ObjectRef::new(name).within(namespace);
        let targets = secrets.chain(classes).chain(cluster);
        let left = self.watches.references.set(&server, targets);
        self.watches.forget(left);
    }

    /// Sets the finalizer where something must be done at the deletion, before anything else: then
    /// nothing that needs it exists without it. `None` when the server turns out to be gone.
    async fn settle_server(
        &self,
        mut observed: Observed,
    ) -> anyhow::Result<Option<(Observed, Plan)>> {
        let mut plan = plan::plan(&observed, &validate::validate(&observed)?)?;
        if plan.restores(&observed)
            && !observe::still_wanted(&self.client, &observed.server).await?
        {
            return Ok(None);
        }
        if plan.finalizer == Finalizer::Add {
            let servers = &self.watches.servers;
            observed.server = finalizer::set(&self.client, servers, &observed.server, true).await?;
            plan = plan::plan(&observed, &validate::validate(&observed)?)?;
        }
        Ok(Some((observed, plan)))
    }

    /// Takes one step of a deletion; once nothing else is left, the finalizer goes. What is waited
    /// for wakes the server; a visit now and then finds what no watch tells of.
    async fn delete(&self, observed: &Observed, step: &Deletion) -> anyhow::Result<Outcome> {
        let step = deletion::carry_out(&self.client, &self.applier, &self.watches, observed, step);
        match step.await {
            Ok(true) => self.release(observed).await,
            Ok(false) => Ok(Outcome::WaitFor(DELETION_CHECK)),
            Err(conflict) if conflict.is_conflict() => Ok(Outcome::WaitFor(FRESH_LOOK)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the finalizer off.
    async fn release(&self, observed: &Observed) -> anyhow::Result<Outcome> {
        let servers = &self.watches.servers;
        match finalizer::set(&self.client, servers, &observed.server, false).await {
            Ok(_) => Ok(Outcome::Settled),
            Err(conflict) if conflict.is_conflict() => Ok(Outcome::WaitFor(FRESH_LOOK)),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the trial logins that are wanted, and plans by what they have brought so far. Then the Secret
    /// with the parts of the connection is brought up to date, before the pod that needs it.
    async fn settle_database(
        &self,
        mut observed: Observed,
        plan: Plan,
    ) -> anyhow::Result<(Observed, Plan)> {
        if plan.paused || plan.deletion.is_some() {
            return Ok((observed, plan));
        }
        let server = ObjectRef::from_obj(&*observed.server);
        let wanted = validate::validate(&observed)?.database.trials;
        let answers = self.watches.checks.ask(&server, &wanted);
        if wanted.is_empty() && !plan.connect {
            return Ok((observed, plan));
        }
        observed.database.trials = answers.into_iter().collect();
        observed.database.outdated = self.outdated_stores(&observed).await?;
        let mut plan = plan::plan(&observed, &validate::validate(&observed)?)?;
        if plan.connect {
            let names = secret_names(&observed.server);
            let namespace = {
                let validated = validate::validate(&observed)?;
                let instance = &validated.instance;
                if let Some(connection) = &validated.database.connection {
                    let secrets = &self.watches.secrets;
                    let parts = &connection.parts;
                    apply::database::connect(&self.client, secrets, instance, &observed, parts)
                        .await?;
                }
                instance.namespace.to_owned()
            };
            observed.secrets =
                observe::secrets(&self.client, &self.watches.secrets, &namespace, &names).await?;
            // The stores have the version of before.
            observed.database.outdated = self.outdated_stores(&observed).await?;
            plan = plan::plan(&observed, &validate::validate(&observed)?)?;
        }
        Ok((observed, plan))
    }

    /// The shares whose metadata stores must be given new credentials before the pod is restarted with them. A
    /// server that does not serve cannot be given anything.
    async fn outdated_stores(&self, observed: &Observed) -> anyhow::Result<Vec<String>> {
        let validated = validate::validate(observed)?;
        let has_stores = matches!(&validated.source, Ok(source) if !source.metadata().is_empty());
        let connection = validated.database.connection.as_ref();
        match connection {
            Some(connection)
                if has_stores && validated.database.restarts && status::serves(observed) =>
            {
                let apis = self.scope.apis::<DittoFSShare>(&self.client);
                Ok(observe::outdated_stores(apis, observed, &connection.secret).await?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// When to look again at a database that does not answer, although nothing that is watched changes.
    fn database_wake(&self, observed: &Observed, now: Timestamp) -> Option<Duration> {
        let server = ObjectRef::from_obj(&*observed.server);
        let patience = match observe::source(&observed.server) {
            Some(Source::Managed(managed)) => observe::patience(&observed.database, &managed, now),
            _ => None,
        };
        // Once it is over, warnings are looked for now and then.
        let patience = patience.map(|left| {
            if left.is_zero() {
                observe::PATIENCE
            } else {
                left
            }
        });
        let trial = self.watches.checks.wake(&server);
        let stores = (!observed.database.outdated.is_empty()).then_some(STORES_POLL);
        // Nobody tells when the other server goes.
        let rivals = (!observed.database.rivals.is_empty()).then_some(RIVALS_POLL);
        let wakes = patience.into_iter().chain(trial);
        wakes.chain(stores).chain(rivals).min()
    }

    /// Makes the Secrets that are ours to make and are not there, then looks again at them, so that
    /// the plan that follows is made from what the cluster holds, whoever made it.
    async fn settle_secrets(
        &self,
        mut observed: Observed,
        plan: Plan,
    ) -> anyhow::Result<(Observed, Plan)> {
        if plan.make.is_empty() {
            return Ok((observed, plan));
        }
        let namespace = {
            let validated = validate::validate(&observed)?;
            let secrets = &self.watches.secrets;
            // Each is awaited, also when another one fails: a request that is dropped under way may
            // still be carried out later.
            let makes = plan.make.iter().map(|generated| {
                apply::make(&self.client, secrets, &validated.instance, *generated)
            });
            join_all(makes)
                .await
                .into_iter()
                .collect::<Result<(), _>>()?;
            validated.instance.namespace.to_owned()
        };
        let names = secret_names(&observed.server);
        observed.secrets =
            observe::secrets(&self.client, &self.watches.secrets, &namespace, &names).await?;
        let validated = validate::validate(&observed)?;
        let plan = plan::plan(&observed, &validated)?;
        if !plan.make.is_empty() {
            anyhow::bail!("a Secret that was just made is not there");
        }
        Ok((observed, plan))
    }
}

/// A write that failed is tried again with the back-off of this server; a refusal too, because
/// what refuses (a quota, an admission policy, a role) is not watched.
fn outcome(applied: Applied, again: Option<Duration>) -> anyhow::Result<Outcome> {
    let StorageOutcome {
        refused,
        failure,
        template_differs: _,
    } = applied.storage;
    let mut failures = applied.failures.into_iter().chain(refused).chain(failure);
    match failures.next() {
        None => Ok(again.map_or(Outcome::Settled, Outcome::WaitFor)),
        Some(failure) => Err(failure.into()),
    }
}
