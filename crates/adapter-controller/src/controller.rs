//! The reconcile: the pipeline's steps in their order.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api_types::conditions::{ConditionType, find};
use api_types::names;
use api_types::v1alpha1::AdapterKind;
use api_types::{DittoServer, DittoServerSpec};
use async_trait::async_trait;
use controller_runtime::report::{ReportError, Reporter};
use controller_runtime::rest::RestSettings;
use controller_runtime::{Applier, Context, Events, Outcome, Reconcile};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use resources::Instance;

use crate::MANAGER;
use crate::apply;
use crate::known::{available_since, has_own_services, is_paused, is_taken_over, last_status};
use crate::observe;
use crate::plan::{self, Plan, Wish, Wishes};
use crate::poll::{Pace, Pollers, Target};
use crate::report::ANNOUNCED;
use crate::rest::Sessions;
use crate::status::{self, Visit, addresses};
use crate::takeover;
use crate::watches::Watches;

/// Pause before a visit with a fresh view after somebody else changed a child in between.
const FRESH_LOOK: Duration = Duration::from_millis(100);

/// Time between two looks at an object of somebody else that is in the way: it does not carry our
/// label, so no watch tells when it goes.
const NAME_CONFLICT_POLL: Duration = Duration::from_secs(10);

/// Runs the controller until the context's shutdown is triggered. Servers are reached as `rest`
/// says.
///
/// # Errors
/// When the run loop ends for another reason.
pub async fn run(context: Context, rest: RestSettings) -> anyhow::Result<()> {
    let sessions = Sessions::new(&context, rest);
    let (pollers, news) = Pollers::new(Box::new(sessions), context.metrics.polls());
    let (watches, primary, mut triggers) = Watches::start(&context, &pollers);
    triggers.push(news);
    let controller = Arc::new(AdapterController {
        client: context.client.clone(),
        applier: Applier::new(context.client.clone(), MANAGER).counting(context.metrics.drift()),
        events: context.events(),
        watches,
        pollers,
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

struct AdapterController {
    client: Client,
    applier: Applier,
    events: Events,
    watches: Watches,
    pollers: Pollers,
}

#[async_trait]
impl Reconcile for AdapterController {
    type Object = DittoServer;

    async fn reconcile(&self, server: Arc<DittoServer>) -> anyhow::Result<Outcome> {
        let key = key(&server);
        if server.metadata.deletion_timestamp.is_some() {
            self.pollers.retire(&key);
            return Ok(Outcome::Settled);
        }
        self.refer(&key, &server);
        self.look(&key, &server);
        let uid = server.uid().unwrap_or_default();
        let memory = self.pollers.memory(&key, &uid).unwrap_or_default();

        let now = Timestamp::now();
        let (client, watches) = (&self.client, &self.watches);
        let mut observed = observe::observe(client, watches, server, memory.clone(), now).await?;
        let owner = Arc::clone(&observed.server);
        let instance = Instance::of(&owner)
            .ok_or_else(|| anyhow::anyhow!("the object has no name, namespace or UID"))?;
        if !is_paused(&owner) && takeover::run(client, watches, &observed, &instance).await? {
            observed = observe::observe(client, watches, Arc::clone(&owner), memory, now).await?;
        }
        let plan = plan::plan(&observed, &instance)?;
        let applied = apply::apply(&self.applier, watches, &observed, &plan).await;
        if applied.is_outdated() {
            // What was observed is out of date: nothing may be reported from it.
            return Ok(Outcome::WaitFor(FRESH_LOOK));
        }
        let visit = Visit {
            observed: &observed,
            plan: &plan,
            applied: &applied,
        };
        let status = status::status(visit, now);
        if let Some(status) = &status {
            let reporter = Reporter {
                applier: &self.applier,
                primaries: &watches.servers,
                events: &self.events,
                announced: ANNOUNCED,
            };
            match reporter.report(&owner, status).await {
                Err(ReportError::Apply(error)) if error.is_conflict() => {
                    return Ok(Outcome::WaitFor(FRESH_LOOK));
                }
                result => result?,
            }
        }
        // A write that failed is tried again with the back-off of this server; a refusal too, because
        // what refuses (a quota, an admission policy, a role) is not watched.
        if let Some(failure) = applied.failures.into_iter().next() {
            return Err(failure.into());
        }
        let again = [
            addresses::wake(&observed, &applied.live, status.as_ref(), now),
            is_in_the_way(&plan).then_some(NAME_CONFLICT_POLL),
        ];
        let again = again.into_iter().flatten().min();
        Ok(again.map_or(Outcome::Settled, Outcome::WaitFor))
    }

    fn significant(&self, server: &DittoServer) -> u64 {
        significant(server)
    }

    fn gone(&self, namespace: &str, name: &str) {
        let key = ObjectRef::new(name).within(namespace);
        self.pollers.retire(&key);
        self.watches.references.remove(&key);
    }
}

/// Everything of a server that a visit reads, but what this controller wrote itself: of that only
/// whether it is there, so that what somebody wipes out is written again.
fn significant(server: &DittoServer) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = &server.metadata;
    meta.generation.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    if let Some(status) = &server.status {
        if let Some(available) = find(&status.conditions, ConditionType::Available) {
            available.status.hash(&mut hasher);
        }
        available_since(server).hash(&mut hasher);
        format!("{:?}", status.api).hash(&mut hasher);
        for kind in ConditionType::OF_ADAPTER_CONTROLLER {
            find(&status.conditions, kind).is_some().hash(&mut hasher);
        }
        status.adapters.is_some().hash(&mut hasher);
        // What is sent to the server waits for these.
        let nfs = last_status(server, AdapterKind::Nfs);
        nfs.and_then(|nfs| nfs.tls_secret.as_ref())
            .hash(&mut hasher);
        for pushed in status.pushed.iter().flatten() {
            pushed.what.hash(&mut hasher);
        }
        for note in status.awaiting_restart.iter().flatten() {
            (&note.what, &note.settings).hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn key(server: &DittoServer) -> ObjectRef<DittoServer> {
    ObjectRef::new(&server.name_any()).within(&server.namespace().unwrap_or_default())
}

fn is_in_the_way(plan: &Plan) -> bool {
    plan.adapters.values().any(|wishes| {
        let Wishes { service, policy } = wishes;
        *service == Wish::Conflict || *policy == Wish::Conflict
    })
}

/// The Secrets whose values, or files, are pushed to the server.
fn declared_secrets(spec: &DittoServerSpec) -> Vec<String> {
    let adapters = spec.adapters.as_ref();
    let nfs = adapters.and_then(|adapters| adapters.nfs.as_ref());
    let tls = nfs.and_then(|nfs| nfs.tls.as_ref());
    let identity = spec.identity.as_ref();
    let ldap = identity.and_then(|identity| identity.ldap.as_ref());
    let kerberos = identity.and_then(|identity| identity.kerberos.as_ref());
    let machine = kerberos.and_then(|kerberos| kerberos.machine_account.as_ref());
    let references = [
        ldap.and_then(|ldap| ldap.bind_password_secret_ref.as_ref()),
        kerberos.and_then(|kerberos| kerberos.keytab_secret_ref.as_ref()),
        machine.and_then(|machine| machine.secret_ref.as_ref()),
    ];
    let references = references.into_iter().flatten();
    let references = references.map(|reference| reference.name.0.clone());
    tls.map(|tls| tls.secret_name.0.clone())
        .into_iter()
        .chain(references)
        .collect()
}

impl AdapterController {
    /// Notes which Secrets open the server's API, so that a change of one makes us look at once.
    fn refer(&self, key: &ObjectRef<DittoServer>, server: &DittoServer) {
        let api = server
            .status
            .as_ref()
            .and_then(|status| status.api.as_ref());
        let mut secrets = vec![names::adapter_credentials(&server.name_any())];
        if let Some(api) = api {
            secrets.extend(api.admin_secret_ref.iter().map(|of| of.name.0.clone()));
            secrets.extend(api.ca_secret_ref.iter().map(|of| of.name.0.clone()));
            secrets.extend(
                api.client_cert_secret_ref
                    .iter()
                    .map(|of| of.name.0.clone()),
            );
        }
        secrets.extend(declared_secrets(&server.spec));
        let namespace = server.namespace().unwrap_or_default();
        let secrets = secrets
            .into_iter()
            .map(|name| (Secret::kind(&()), namespace.clone(), name));
        self.watches.references.set(key, secrets);
    }

    /// Has the server looked at while it serves.
    fn look(&self, key: &ObjectRef<DittoServer>, server: &DittoServer) {
        let status = server.status.as_ref();
        let api = status.and_then(|status| status.api.clone());
        match (available_since(server), api) {
            (Some(available_since), Some(api)) => self.pollers.follow(
                key,
                Target {
                    namespace: server.namespace().unwrap_or_default(),
                    name: server.name_any(),
                    uid: server.uid().unwrap_or_default(),
                    generation: server.metadata.generation.unwrap_or_default(),
                    api,
                    available_since,
                    pace: Pace::of(&server.spec.adapter_discovery),
                    polls: server.spec.adapter_discovery.remove_after_polls,
                    spec: Box::new(server.spec.clone()),
                    awaited: status
                        .and_then(|status| status.awaiting_restart.clone())
                        .unwrap_or_default(),
                    pushed: status
                        .and_then(|status| status.pushed.clone())
                        .unwrap_or_default(),
                    tls_secret: last_status(server, AdapterKind::Nfs)
                        .and_then(|nfs| nfs.tls_secret.clone()),
                    may_write: !is_paused(server),
                    leave_behind: is_taken_over(server) && has_own_services(server),
                },
            ),
            _ => self.pollers.leave(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(status: serde_json::Value) -> DittoServer {
        let mut server = crate::testing::server(json!({}));
        server.status = serde_json::from_value(status).unwrap();
        server
    }

    fn condition(kind: &str, message: &str) -> serde_json::Value {
        json!({"type": kind, "status": "True", "reason": "R", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn what_somebody_wipes_out_of_our_status_wakes_us_and_what_we_write_does_not() {
        let adapters =
            |healthy: bool| json!([{"type": "nfs", "enabled": true, "healthy": healthy}]);
        let whole = |healthy, message| {
            let conditions = ["Authenticated", "AdaptersReady", "AddressesReady"];
            let conditions = conditions.map(|kind| condition(kind, message));
            with(json!({"adapters": adapters(healthy), "conditions": conditions}))
        };
        let before = significant(&whole(true, "a"));
        assert_eq!(significant(&whole(false, "b")), before);
        let mut server = whole(true, "a");
        server.status.as_mut().unwrap().adapters = None;
        assert_ne!(significant(&server), before);
        let mut server = whole(true, "a");
        server.status.as_mut().unwrap().conditions.remove(1);
        assert_ne!(significant(&server), before);
    }
}
