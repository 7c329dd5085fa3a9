//! What the status says, made from what was observed and applied. Pure.

mod inputs;
mod pod;
mod ready;
mod storage;

use api_types::annotations::RESTART_DIGEST;
use api_types::conditions::{ConditionType, Verdict};
use api_types::names;
use api_types::names::Volume;
use api_types::reference::{SecretKeyRef, SecretRef};
use api_types::v1alpha1::{
    ApiStatus, ClaimStatus, DatabaseStatus, DittoServerStatus, Phase, StorageStatus,
};
use configgen::PASSWORD_KEY;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use percona_bridge::Source;
use resources::Instance;

use crate::apply::Applied;
use crate::observe::{Observed, SecretState};
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
    let mut verdicts: Vec<Verdict> = vec![
        inputs::config_ready(visit),
        inputs::database_ready(visit),
        storage::storage_ready(visit),
        pod::available(visit),
        pod::progressing(visit),
        pod::degraded(visit),
    ];
    verdicts.push(ready::ready(&verdicts, previous, generation, visit));
    verdicts.sort_by_key(|verdict| verdict.kind.as_str());
    let phase = phase(visit, &verdicts);
    let observed = visit.observed;
    DittoServerStatus {
        observed_generation: Some(generation),
        phase: Some(phase),
        replicas: Some(i32::from(observed.pod.is_some())),
        ready_replicas: Some(i32::from(pod::serves(observed))),
        config_hash: live_digest(visit),
        api: Some(api(visit, surroundings)),
        database: database(visit),
        storage: Some(claims(observed)),
        adapters: None,
        pushed: None,
        conditions: verdicts
            .into_iter()
            .map(|verdict| verdict.over(previous, generation, now))
            .collect(),
    }
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
    ApiStatus {
        url: format!(
            "{}://{}.{namespace}.svc.{}:{}",
            if tls { "https" } else { "http" },
            names::api_service(name),
            surroundings.cluster_domain,
            control_plane.port,
        ),
        pod_name: names::pod(name),
        admin_secret_ref: Some(admin),
        ca_secret_ref: control_plane
            .cert_secret_name
            .as_ref()
            .filter(|secret| has_ca(visit.observed, &secret.0))
            .map(|secret| SecretKeyRef::new(secret.0.as_str(), CA_KEY)),
        client_cert_secret_ref: None,
    }
}

/// Key under which cert-manager keeps the CA beside a certificate.
const CA_KEY: &str = "ca.crt";

fn has_ca(observed: &Observed, secret: &str) -> bool {
    match observed.secrets.get(secret) {
        Some(SecretState::Present(secret)) => secret
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key(CA_KEY)),
        _ => false,
    }
}

fn database(visit: Visit<'_>) -> Option<DatabaseStatus> {
    let source = visit.validated.source.as_ref().ok()?;
    Some(DatabaseStatus {
        provider: source.provider(),
        secret_ref: match source {
            Source::Sqlite { .. } => None,
            Source::Secret { name } => Some(SecretRef {
                name: api_types::reference::ObjectName(name.clone()),
            }),
        },
        cluster_uid: None,
        metadata: None,
    })
}

fn claims(observed: &Observed) -> StorageStatus {
    StorageStatus {
        claims: Volume::ALL
            .into_iter()
            .filter_map(|volume| observed.claims.get(&volume))
            .filter_map(|claim| {
                Some(ClaimStatus {
                    name: claim.metadata.name.clone()?,
                    uid: claim.metadata.uid.clone()?,
                })
            })
            .collect(),
    }
}
