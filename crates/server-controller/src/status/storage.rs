//! StorageReady, and when a visit shall look again at storage that is not settled.

use std::time::Duration;

use api_types::annotations::RESTART_DIGEST;
use api_types::conditions::{ConditionType, Reason, Status, Verdict, find};
use api_types::names::Volume;
use api_types::v1alpha1::{ClaimStatus, DittoServerStatus, StorageStatus};
use controller_runtime::apply::ApplyError;
use jiff::Timestamp;
use kube::ResourceExt;

use super::Visit;
use crate::claims::{ClaimState, Expansion, Growing, Judged, class_of, irreconcilable, judge};
use crate::observe::{ClassState, Observed};
use crate::plan::ClaimTemplates;

pub(super) fn storage_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::StorageReady, status, reason, message)
    };
    let instance = &visit.validated.instance;
    let judged = judge(visit.observed, instance);
    if let Some((reason, message)) = judged
        .iter()
        .find_map(|judged| flaw(visit.observed, judged))
    {
        return verdict(Status::False, reason, message);
    }
    if let Some(message) = irreconcilable(visit.observed, instance) {
        return verdict(Status::False, Reason::ClaimTemplatesDiffer, message);
    }
    if let Some((reason, message)) = not_created(&judged) {
        return verdict(Status::False, reason, message);
    }
    if let Some((reason, message)) = judged.iter().find_map(|judged| growth(visit, judged)) {
        return verdict(Status::False, reason, message);
    }
    match templates(visit) {
        Some(message) => verdict(Status::True, Reason::ClaimTemplatesPending, message),
        None => verdict(
            Status::True,
            Reason::ClaimsBound,
            "Every claim is bound and has the size that spec.storage asks for.".to_owned(),
        ),
    }
}

/// What keeps a claim from being used.
fn flaw(observed: &Observed, judged: &Judged<'_>) -> Option<(Reason, String)> {
    let name = &judged.name;
    match &judged.state {
        ClaimState::Terminating => Some((
            Reason::ClaimTerminating,
            format!(
                "Claim {name} is being deleted and goes with the pod: its data is lost then. Back the data up before the pod is stopped."
            ),
        )),
        ClaimState::Lost => Some((
            Reason::ClaimLost,
            format!("Claim {name} has lost its volume: restore the PersistentVolume."),
        )),
        ClaimState::Pending => Some(pending(observed, judged)),
        ClaimState::Missing
        | ClaimState::TooSmall(_)
        | ClaimState::Growing(_)
        | ClaimState::Fits => None,
    }
}

fn pending(observed: &Observed, judged: &Judged<'_>) -> (Reason, String) {
    let name = &judged.name;
    let claim = judged.claim.map(|claim| claim.as_ref());
    let class = claim.and_then(class_of);
    match class.and_then(|class| Some((class, observed.storage.classes.get(class)?))) {
        Some((class, ClassState::Missing)) => {
            return (
                Reason::StorageClassMissing,
                format!(
                    "Claim {name} waits for StorageClass {class}, which does not exist: create it, and the claim is bound; or create the DittoServer again with another spec.storage.storageClassName."
                ),
            );
        }
        Some((
            class,
            ClassState::Present {
                waits_for_pod: true,
                ..
            },
        )) if quote(observed, name).is_none() => {
            return (
                Reason::ClaimWaitsForPod,
                format!(
                    "Claim {name} is bound when the pod is scheduled, as StorageClass {class} says: see Degraded if that takes long."
                ),
            );
        }
        _ => {}
    }
    // The API server fills the default class in, also later when there is one.
    let names_a_class = claim
        .and_then(|claim| claim.spec.as_ref())
        .is_some_and(|spec| spec.storage_class_name.is_some());
    if !names_a_class {
        return (
            Reason::NoDefaultStorageClass,
            format!(
                "Claim {name} names no StorageClass, and the cluster has no default one: mark one with the annotation storageclass.kubernetes.io/is-default-class: \"true\", or create the DittoServer again with spec.storage.storageClassName."
            ),
        );
    }
    let message = match quote(observed, name) {
        Some(note) => format!("Claim {name} is not bound yet: {note}"),
        None => format!("Claim {name} is not bound yet: see `kubectl describe pvc {name}`."),
    };
    (Reason::ClaimPending, message)
}

fn quote<'o>(observed: &'o Observed, claim: &str) -> Option<&'o str> {
    let event = observed.storage.event.as_ref()?;
    (event.claim == claim && !event.note.is_empty()).then_some(event.note.as_str())
}

fn not_created(judged: &[Judged<'_>]) -> Option<(Reason, String)> {
    let missing: Vec<&str> = judged
        .iter()
        .filter(|judged| judged.state == ClaimState::Missing)
        .map(|judged| judged.name.as_str())
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some((
        Reason::ClaimsNotCreated,
        format!(
            "Not created yet: {}. The claims are made with the pod.",
            missing.join(", ")
        ),
    ))
}

/// How far the growth of a claim has come, if it has not got its size yet.
fn growth(visit: Visit<'_>, judged: &Judged<'_>) -> Option<(Reason, String)> {
    let (name, size) = (&judged.name, &judged.size.0);
    let not_supported = |why: String| {
        let message = format!(
            "Claim {name} cannot grow to {size}: {why} Nothing was changed, and the server goes on with the present size."
        );
        Some((Reason::ExpansionNotSupported, message))
    };
    let waiting = |what: &str| {
        let quoted = quote(visit.observed, name)
            .map_or_else(String::new, |note| format!(" The cluster says: {note}"));
        let message = format!("Claim {name} is growing to {size}: {what}{quoted}");
        Some((Reason::ExpansionPending, message))
    };
    match &judged.state {
        ClaimState::TooSmall(Expansion::Forbidden(class)) => not_supported(format!(
            "StorageClass {class} does not allow it. Set allowVolumeExpansion: true on the class if its driver can expand volumes."
        )),
        ClaimState::TooSmall(Expansion::ClassMissing(class)) => not_supported(format!(
            "its StorageClass {class} does not exist any more. Create the class again, with allowVolumeExpansion: true if its driver can expand volumes."
        )),
        ClaimState::TooSmall(Expansion::NoClass) => not_supported(
            "it has no StorageClass, so there is no driver that could do it.".to_owned(),
        ),
        ClaimState::TooSmall(Expansion::Allowed | Expansion::Unknown) => {
            match refusal(visit, name) {
                Some(words) => Some((
                    Reason::ExpansionRefused,
                    format!("The API server does not let claim {name} grow to {size}: {words}"),
                )),
                None => waiting("waiting for the storage driver."),
            }
        }
        ClaimState::Growing(Growing::Volume) => waiting("waiting for the storage driver."),
        ClaimState::Growing(Growing::FileSystem) => waiting(
            "the volume has grown, and its file system grows when the node of the pod mounts it. Some drivers need the server to be stopped for that (spec.replicas: 0, then 1).",
        ),
        ClaimState::Growing(Growing::Failed(words)) => Some((
            Reason::ExpansionFailed,
            format!(
                "Claim {name} could not grow to {size}: {words}. The driver tries again; the server goes on with the present size."
            ),
        )),
        ClaimState::Missing
        | ClaimState::Terminating
        | ClaimState::Lost
        | ClaimState::Pending
        | ClaimState::Fits => None,
    }
}

/// The API server's words when it refused to let a claim grow.
fn refusal(visit: Visit<'_>, claim: &str) -> Option<String> {
    let refused = &visit.applied.storage.refused;
    refused.iter().find_map(|error| match error {
        ApplyError::Invalid { name, message, .. } if name == claim => Some(message.clone()),
        ApplyError::Api {
            name,
            source: kube::Error::Api(status),
            ..
        } if name == claim && status.code == 403 => Some(status.message.clone()),
        _ => None,
    })
}

/// Why the claim templates do not agree with the claims yet.
fn templates(visit: Visit<'_>) -> Option<String> {
    let grown = "The claims have grown. The StatefulSet's claim templates, which matter only for new claims,";
    match &visit.plan.claim_templates {
        ClaimTemplates::Settled | ClaimTemplates::AfterClaims => None,
        ClaimTemplates::AfterRollout => Some(format!(
            "{grown} follow once the pod runs what would be rendered today: see Progressing."
        )),
        ClaimTemplates::Replace(_) => match &visit.applied.storage {
            outcome if outcome.template_differs => Some(format!(
                "{grown} stay as they are while the pod runs: somebody else set fields of its pod template, and replacing it would restart the pod. They follow when the server is stopped (spec.replicas: 0)."
            )),
            outcome => outcome
                .failure
                .as_ref()
                .filter(|failure| !failure.is_conflict())
                .map(|failure| format!("{grown} could not be replaced: {failure}.")),
        },
    }
}

/// Whether the pod stays although the StatefulSet does not know it yet: that is being replaced, or
/// is new and about to adopt a pod of its own template.
pub(super) fn keeps_pod(visit: Visit<'_>) -> bool {
    let (Some(set), Some(pod)) = (
        visit.applied.live.stateful_set.as_deref(),
        visit.observed.pod.as_deref(),
    ) else {
        return false;
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    if set.metadata.deletion_timestamp.is_some() {
        return set.finalizers().iter().any(|name| name == "orphan");
    }
    let unseen = set
        .status
        .as_ref()
        .is_none_or(|status| status.observed_generation.is_none());
    let digest = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref()?.annotations.as_ref())
        .and_then(|annotations| annotations.get(RESTART_DIGEST));
    unseen && digest.is_some() && pod.annotations().get(RESTART_DIGEST) == digest
}

/// The claims in use. While the server is being deleted none is added: what is not known by then is
/// not the server's to delete.
pub(super) fn claims(observed: &Observed) -> StorageStatus {
    let leaving = observed.server.metadata.deletion_timestamp.is_some();
    let known = |claim: &ClaimStatus| {
        let storage = observed
            .server
            .status
            .as_ref()
            .and_then(|status| status.storage.as_ref());
        storage.is_some_and(|storage| storage.claims.contains(claim))
    };
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
            .filter(|claim| !leaving || known(claim))
            .collect(),
    }
}

/// For how long something unsettled is looked at often.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// When to look again, although nothing that is watched changes: the events of a claim are not.
pub(super) fn wake(
    observed: &Observed,
    status: &DittoServerStatus,
    now: Timestamp,
) -> Option<Duration> {
    let storage = find(&status.conditions, ConditionType::StorageReady)
        .filter(|_| observed.storage.look_again)?;
    let since = now.duration_since(storage.last_transition_time.0);
    let is_fresh = since.unsigned_abs() < FRESH;
    let pause = Duration::from_secs(if is_fresh { 10 } else { 60 });
    Some(pause + jitter(pause / 4))
}

/// A random part of `most`.
fn jitter(most: Duration) -> Duration {
    let mut bytes = [0_u8; 1];
    // Without random bytes there is no jitter, which costs nothing but evenness.
    let _ = getrandom::fill(&mut bytes);
    most * u32::from(bytes[0]) / 256
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::observe::ClaimEvent;
    use crate::testing::{
        claim, class, condition, provisioned, reported, respecified, serving, with_pod,
        with_stateful_set,
    };

    fn bound(size: &str) -> Value {
        json!({"phase": "Bound", "capacity": {"storage": size}})
    }

    fn running() -> Observed {
        let mut world = with_pod(with_stateful_set(provisioned(json!({}))), serving());
        claim(&mut world, Volume::Metadata, "1Gi", bound("1Gi"));
        claim(&mut world, Volume::ControlPlane, "1Gi", bound("1Gi"));
        world
    }

    fn larger() -> Observed {
        respecified(running(), |spec| spec.storage.metadata_size = "2Gi".into())
    }

    fn storage(world: &Observed) -> (String, String) {
        let status = reported(world);
        let message = find(&status.conditions, ConditionType::StorageReady)
            .unwrap()
            .message
            .clone();
        (condition(&status, "StorageReady"), message)
    }

    #[test]
    fn bound_claims_of_the_right_size_are_ready() {
        assert_eq!(storage(&running()).0, "True ClaimsBound");
    }

    #[test]
    fn a_pending_claim_quotes_its_own_event() {
        let mut world = running();
        claim(
            &mut world,
            Volume::Metadata,
            "1Gi",
            json!({"phase": "Pending"}),
        );
        world.storage.event = Some(ClaimEvent {
            claim: "metadata-files-0".to_owned(),
            note: "no space left in pool".to_owned(),
        });
        let (reason, message) = storage(&world);
        assert_eq!(reason, "False ClaimPending");
        assert!(message.ends_with("no space left in pool"), "{message}");
    }

    #[test]
    fn a_class_that_does_not_exist_is_named_until_the_claims_are_bound() {
        let fast = json!({"storage": {"metadataSize": "1Gi", "storageClassName": "fast"}});
        let mut world = with_stateful_set(provisioned(fast));
        class(&mut world, "fast", None);
        assert_eq!(storage(&world).0, "False ClaimsNotCreated");
        claim(
            &mut world,
            Volume::Metadata,
            "1Gi",
            json!({"phase": "Pending"}),
        );
        assert_eq!(storage(&world).0, "False StorageClassMissing");
        claim(&mut world, Volume::Metadata, "1Gi", bound("1Gi"));
        claim(&mut world, Volume::ControlPlane, "1Gi", bound("1Gi"));
        assert_eq!(storage(&world).0, "True ClaimsBound");
    }

    #[test]
    fn a_claim_that_waits_for_its_pod_says_so_until_the_cluster_says_more() {
        let mut world = running();
        claim(
            &mut world,
            Volume::Metadata,
            "1Gi",
            json!({"phase": "Pending"}),
        );
        class(&mut world, "fast", Some(false));
        assert_eq!(storage(&world).0, "False ClaimWaitsForPod");
        world.storage.event = Some(ClaimEvent {
            claim: "metadata-files-0".to_owned(),
            note: "no space left in pool".to_owned(),
        });
        assert_eq!(storage(&world).0, "False ClaimPending");
    }

    #[test]
    fn a_claim_without_a_class_tells_that_there_is_no_default_one() {
        let mut world = running();
        let mut unclassed = k8s_openapi::api::core::v1::PersistentVolumeClaim::clone(
            &world.claims[&Volume::Metadata],
        );
        unclassed.spec.as_mut().unwrap().storage_class_name = None;
        unclassed.status = serde_json::from_value(json!({"phase": "Pending"})).unwrap();
        world
            .claims
            .insert(Volume::Metadata, std::sync::Arc::new(unclassed));
        assert_eq!(storage(&world).0, "False NoDefaultStorageClass");
    }

    #[test]
    fn a_class_that_does_not_allow_growth_is_named() {
        let mut world = larger();
        class(&mut world, "fast", Some(false));
        let (reason, message) = storage(&world);
        assert_eq!(reason, "False ExpansionNotSupported");
        assert!(message.contains("allowVolumeExpansion"), "{message}");
    }

    #[test]
    fn growth_is_pending_until_the_capacity_is_there() {
        let mut world = larger();
        class(&mut world, "fast", Some(true));
        let before = storage(&world);
        assert_eq!(before.0, "False ExpansionPending");
        claim(&mut world, Volume::Metadata, "2Gi", bound("1Gi"));
        assert_eq!(storage(&world), before);
        claim(&mut world, Volume::Metadata, "2Gi", bound("2Gi"));
        assert_eq!(storage(&world).0, "True ClaimsBound");
    }

    #[test]
    fn the_drivers_failure_is_quoted() {
        let mut world = larger();
        let failed = json!({"phase": "Bound", "capacity": {"storage": "1Gi"},
            "conditions": [{"type": "ControllerResizeError", "status": "True", "message": "pool is full"}]});
        claim(&mut world, Volume::Metadata, "2Gi", failed);
        let (reason, message) = storage(&world);
        assert_eq!(reason, "False ExpansionFailed");
        assert!(message.contains("pool is full"), "{message}");
    }

    #[test]
    fn unsettled_storage_is_looked_at_again_and_settled_storage_is_not() {
        let mut world = larger();
        class(&mut world, "fast", Some(true));
        world.storage.look_again = true;
        let at = |second| Timestamp::from_second(second).unwrap();
        let pending = reported(&world);
        let soon = wake(&world, &pending, at(1)).unwrap().as_secs();
        assert!((10..13).contains(&soon), "{soon}");
        let late = wake(&world, &pending, at(3600)).unwrap().as_secs();
        assert!((60..76).contains(&late), "{late}");
        let settled = running();
        assert_eq!(wake(&settled, &reported(&settled), at(1)), None);
    }
}
