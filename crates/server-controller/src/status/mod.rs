//! What the status says, made from what was observed and applied. Pure.

mod available;
mod database;
mod degraded;
mod inputs;
mod ready;
pub(crate) mod rollout;
mod storage;
pub(crate) mod trouble;

use api_types::annotations::RESTART_DIGEST;
use api_types::conditions::{ConditionType, Verdict};
use api_types::names;
use api_types::reference::{SecretKeyRef, SecretRef};
use api_types::v1alpha1::{ApiStatus, DittoServerStatus, Phase};
use configgen::PASSWORD_KEY;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resources::{CA_KEY, Instance};

use crate::apply::Applied;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::validate::Validated;

/// Settings of the process that the status mentions.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// DNS domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
}

/// What one visit found and did.
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    /// What was observed before the writes.
    pub observed: &'a Observed,
    /// What was made of it.
    pub validated: &'a Validated<'a>,
    /// What was planned.
    pub plan: &'a Plan,
    /// The children after the writes.
    pub applied: &'a Applied,
}

/// The status after a visit. `now` dates the conditions whose status changed.
pub fn status(visit: Visit<'_>, surroundings: &Surroundings, now: Timestamp) -> DittoServerStatus {
    let server = &visit.observed.server;
    let generation = server.metadata.generation.unwrap_or_default();
    let previous: &[Condition] = server
        .status
        .as_ref()
        .map_or(&[], |status| status.conditions.as_slice());
    let progressing = rollout::progressing(visit, previous, now);
    let mut verdicts: Vec<Verdict> = vec![
        inputs::config_ready(visit),
        database::database_ready(visit),
        storage::storage_ready(visit),
        available::available(visit),
        degraded::degraded(visit, &progressing),
        progressing,
    ];
    verdicts.push(ready::ready(&verdicts, previous, generation, visit));
    verdicts.sort_by_key(|verdict| verdict.kind.as_str());
    let phase = phase(visit, &verdicts);
    let observed = visit.observed;
    DittoServerStatus {
        observed_generation: Some(generation),
        phase: Some(phase),
        replicas: Some(i32::from(observed.pod.is_some())),
        ready_replicas: Some(i32::from(available::serves(observed))),
        config_hash: live_digest(visit),
        api: Some(api(visit, surroundings)),
        database: database::database(visit),
        storage: Some(storage::claims(observed)),
        adapters: None,
        pushed: None,
        awaiting_restart: None,
        conditions: verdicts
            .into_iter()
            .map(|verdict| verdict.over(previous, generation, now))
            .collect(),
    }
}

/// Whether the pod serves.
pub(crate) fn serves(observed: &Observed) -> bool {
    available::serves(observed)
}

/// When to look again at storage that is not settled, although nothing that is watched changes.
pub fn storage_wake(
    observed: &Observed,
    status: &DittoServerStatus,
    now: Timestamp,
) -> Option<std::time::Duration> {
    storage::wake(observed, status, now)
}

fn holds(verdicts: &[Verdict], kind: ConditionType) -> bool {
    verdicts.iter().any(|verdict| {
        verdict.kind == kind && verdict.status == api_types::conditions::Status::True
    })
}

fn phase(visit: Visit<'_>, verdicts: &[Verdict]) -> Phase {
    let server = &visit.observed.server;
    if server.metadata.deletion_timestamp.is_some() {
        Phase::Deleting
    } else if server.spec.replicas == 0 && visit.observed.pod.is_none() {
        Phase::Stopped
    } else if holds(verdicts, ConditionType::Degraded) {
        Phase::Failed
    } else if holds(verdicts, ConditionType::Available) {
        Phase::Running
    } else {
        Phase::Pending
    }
}

/// The restart digest of the live pod template.
fn live_digest(visit: Visit<'_>) -> Option<String> {
    let set = visit.applied.live.stateful_set.as_ref()?;
    set.spec
        .as_ref()?
        .template
        .metadata
        .as_ref()?
        .annotations
        .as_ref()?
        .get(RESTART_DIGEST)
        .cloned()
}

fn api(visit: Visit<'_>, surroundings: &Surroundings) -> ApiStatus {
    let Instance {
        name,
        namespace,
        spec,
        ..
    } = visit.validated.instance;
    let control_plane = &spec.control_plane;
    let tls = control_plane.tls || control_plane.cert_secret_name.is_some();
    let admin = spec
        .identity
        .as_ref()
        .and_then(|identity| identity.admin.as_ref())
        .and_then(|admin| admin.password_secret_ref.clone())
        .unwrap_or_else(|| SecretKeyRef::new(names::admin_secret(name), PASSWORD_KEY));
    let url = format!(
        "{}://{}.{namespace}.svc.{}:{}",
        if tls { "https" } else { "http" },
        names::api_service(name),
        surroundings.cluster_domain,
        control_plane.port,
    );
    let before = visit.observed.server.status.as_ref();
    let before = before.and_then(|status| Some(status.api.as_ref()?.url.clone()));
    ApiStatus {
        // While a port keeps the pod from being replaced, the running one is where it was.
        url: before
            .filter(|_| visit.validated.has_port_conflict())
            .unwrap_or(url),
        pod_name: names::pod(name),
        admin_secret_ref: Some(admin),
        ca_secret_ref: control_plane
            .cert_secret_name
            .as_ref()
            .filter(|secret| visit.observed.has_key(&secret.0, CA_KEY) == Some(true))
            .map(|secret| SecretKeyRef::new(secret.0.as_str(), CA_KEY)),
        client_cert_secret_ref: control_plane
            .client_cert_secret_name
            .clone()
            .map(|name| SecretRef { name }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use api_types::names::Volume;

    use super::*;
    use crate::testing::{
        condition, empty, provisioned, reported, serving, with_pod, with_stateful_set,
    };

    fn running() -> Observed {
        with_pod(with_stateful_set(provisioned(json!({}))), serving())
    }

    fn pod_that(container_state: Value) -> Value {
        json!({
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": "dittofs", "image": "registry/x:1", "imageID": "", "ready": false,
                "restartCount": 3, "started": false, "state": container_state,
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "line\nError: bad database\n"}},
            }],
        })
    }

    #[test]
    fn every_condition_is_there_from_the_first_visit() {
        let status = reported(&empty(json!({})));
        let kinds: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
        let mut expected = ConditionType::OF_SERVER_CONTROLLER.map(ConditionType::as_str);
        expected.sort_unstable();
        assert_eq!(kinds, expected);
        assert_eq!(status.phase, Some(Phase::Pending));
    }

    #[test]
    fn a_serving_pod_is_available_and_waits_for_the_adapter_controller_to_be_ready() {
        let status = reported(&running());
        assert_eq!(condition(&status, "Available"), "True PodServing");
        assert_eq!(condition(&status, "Progressing"), "False RolloutComplete");
        assert_eq!(condition(&status, "Ready"), "False AdapterStatusMissing");
        assert_eq!(status.phase, Some(Phase::Running));
        assert_eq!(
            status.api.unwrap().url,
            "http://files-api.media.svc.cluster.local:8080"
        );
    }

    fn with_adapter_conditions(generation: i64) -> Observed {
        let mut world = running();
        let mut server = api_types::DittoServer::clone(&world.server);
        let conditions = ["Authenticated", "AdaptersReady"].map(|kind| {
            json!({"type": kind, "status": "True", "reason": "R", "message": "", "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        });
        server.status = serde_json::from_value(json!({"conditions": conditions})).unwrap();
        world.server = std::sync::Arc::new(server);
        world
    }

    #[test]
    fn ready_counts_the_adapter_conditions_of_the_current_generation_only() {
        assert_eq!(
            condition(&reported(&with_adapter_conditions(1)), "Ready"),
            "True AllReady"
        );
        assert_eq!(
            condition(&reported(&with_adapter_conditions(0)), "Ready"),
            "False AdapterStatusMissing"
        );
    }

    #[test]
    fn an_api_that_asks_for_certificates_says_which_one_opens_it() {
        let status = |client: Value| {
            let mut spec =
                json!({"controlPlane": {"certSecretName": "cert", "clientCASecretName": "ca"}});
            spec["controlPlane"]
                .as_object_mut()
                .unwrap()
                .extend(client.as_object().unwrap().clone());
            let mut world = provisioned(spec);
            let pair = [("tls.crt", "c"), ("tls.key", "k"), ("ca.crt", "a")];
            crate::testing::secret(&mut world, "cert", &pair);
            crate::testing::secret(&mut world, "ca", &[("ca.crt", "a")]);
            reported(&with_pod(with_stateful_set(world), serving()))
        };
        let named = status(json!({"clientCertSecretName": "client"}));
        assert_eq!(condition(&named, "ConfigReady"), "True InputsComplete");
        let api = named.api.unwrap();
        assert_eq!(api.client_cert_secret_ref.unwrap().name.0, "client");
        assert_eq!(api.ca_secret_ref.unwrap().name.0, "cert");

        let unnamed = status(json!({}));
        assert_eq!(
            condition(&unnamed, "ConfigReady"),
            "True ClientCertificateNotNamed"
        );
        assert_eq!(condition(&unnamed, "Available"), "True PodServing");
        assert_eq!(unnamed.api.unwrap().client_cert_secret_ref, None);
    }

    #[test]
    fn a_stopped_server_is_neither_available_nor_ready() {
        let mut world = with_stateful_set(provisioned(json!({"replicas": 0})));
        world.pod = None;
        let status = reported(&world);
        assert_eq!(condition(&status, "Available"), "False Stopped");
        assert_eq!(condition(&status, "Ready"), "False Stopped");
        assert_eq!(status.phase, Some(Phase::Stopped));
    }

    #[test]
    fn a_pod_of_an_older_revision_serves_while_the_rollout_goes_on() {
        let mut world = running();
        let mut pod = k8s_openapi::api::core::v1::Pod::clone(world.pod.as_ref().unwrap());
        pod.metadata.labels =
            Some([("controller-revision-hash".to_owned(), "rev-0".to_owned())].into());
        world.pod = Some(std::sync::Arc::new(pod));
        let status = reported(&world);
        assert_eq!(condition(&status, "Available"), "True PodServing");
        assert_eq!(condition(&status, "Progressing"), "True RollingOut");
    }

    #[test]
    fn a_crash_loop_says_the_last_words_of_the_server() {
        let world = with_pod(
            running(),
            pod_that(json!({"waiting": {"reason": "CrashLoopBackOff"}})),
        );
        let status = reported(&world);
        assert_eq!(condition(&status, "Degraded"), "True CrashLooping");
        let degraded = status
            .conditions
            .iter()
            .find(|c| c.type_ == "Degraded")
            .unwrap();
        assert!(
            degraded
                .message
                .ends_with("Exit code 1. Last words: Error: bad database"),
            "{}",
            degraded.message
        );
        assert_eq!(status.phase, Some(Phase::Failed));
    }

    #[test]
    fn a_claim_that_is_not_bound_is_named() {
        let mut world = running();
        let claim = serde_json::from_value(
            json!({"metadata": {"name": "metadata-files-0"}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}),
        );
        world
            .claims
            .insert(Volume::Metadata, std::sync::Arc::new(claim.unwrap()));
        let status = reported(&world);
        assert_eq!(condition(&status, "StorageReady"), "False ClaimPending");
        assert_eq!(condition(&status, "Ready"), "False ClaimPending");
    }

    #[test]
    fn without_the_operator_of_its_database_nothing_is_started() {
        let world = provisioned(json!({"percona": {"enabled": true}}));
        let status = reported(&world);
        assert_eq!(
            condition(&status, "DatabaseReady"),
            "False DatabaseOperatorMissing"
        );
        assert_eq!(condition(&status, "Available"), "False WaitingForInputs");
    }

    #[test]
    fn an_unchanged_world_gives_an_unchanged_status() {
        let mut world = running();
        let first = reported(&world);
        let mut server = api_types::DittoServer::clone(&world.server);
        server.status = Some(first.clone());
        world.server = std::sync::Arc::new(server);
        assert_eq!(reported(&world), first);
    }
}
