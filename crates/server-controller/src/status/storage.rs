//! StorageReady.

use std::collections::BTreeMap;

use api_types::conditions::{ConditionType, Reason, Status, Verdict};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Visit;

pub(super) fn storage_ready(visit: Visit<'_>) -> Verdict {
    let verdict = |status, reason, message: String| {
        Verdict::new(ConditionType::StorageReady, status, reason, message)
    };
    let instance = &visit.validated.instance;
    let mut missing = Vec::new();
    for volume in resources::volumes_of(instance.spec) {
        let name = volume.claim(instance.name);
        match visit.observed.claims.get(&volume) {
            None => missing.push(name),
            Some(claim) => {
                if let Some((reason, message)) = flaw(&name, claim) {
                    return verdict(Status::False, reason, message);
                }
            }
        }
    }
    if !missing.is_empty() {
        return verdict(
            Status::False,
            Reason::ClaimsNotCreated,
            format!(
                "Not created yet: {}. The claims are made with the pod.",
                missing.join(", ")
            ),
        );
    }
    match differing(visit) {
        Some(message) => verdict(Status::False, Reason::ClaimTemplatesDiffer, message),
        None => verdict(
            Status::True,
            Reason::ClaimsBound,
            "Every claim is bound.".to_owned(),
        ),
    }
}

fn flaw(name: &str, claim: &PersistentVolumeClaim) -> Option<(Reason, String)> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Some((
            Reason::ClaimTerminating,
            format!(
                "Claim {name} is being deleted and goes with the pod: its data is lost then. Back the data up before the pod is stopped."
            ),
        ));
    }
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    match phase {
        Some("Bound") => None,
        Some("Lost") => Some((
            Reason::ClaimLost,
            format!("Claim {name} has lost its volume: restore the PersistentVolume."),
        )),
        _ => Some((
            Reason::ClaimPending,
            format!("Claim {name} is not bound yet: see `kubectl describe pvc {name}`."),
        )),
    }
}

/// What the spec asks for and the live claim templates, which cannot be changed, do not have.
fn differing(visit: Visit<'_>) -> Option<String> {
    let set = visit.applied.live.stateful_set.as_ref()?;
    let live = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let wanted = resources::claim_templates(&visit.validated.instance);
    let of =
        |claims: &[PersistentVolumeClaim]| -> BTreeMap<String, (Option<Quantity>, Option<String>)> {
            claims
                .iter()
                .filter_map(|claim| {
                    let spec = claim.spec.as_ref()?;
                    let size = spec
                        .resources
                        .as_ref()?
                        .requests
                        .as_ref()?
                        .get("storage")
                        .cloned();
                    Some((
                        claim.metadata.name.clone()?,
                        (size, spec.storage_class_name.clone()),
                    ))
                })
                .collect()
        };
    let (live, wanted) = (of(live), of(&wanted));
    if bytes(&live) == bytes(&wanted) {
        return None;
    }
    Some(
        "spec.storage asks for other sizes, another class or other volumes than the live claims have. The claims stay as they are: this release does not change claims of a living server; set spec.storage back, or create a new DittoServer."
            .to_owned(),
    )
}

type Claims = BTreeMap<String, (Option<Quantity>, Option<String>)>;

/// Sizes as numbers, because the API server rewrites their text.
fn bytes(claims: &Claims) -> BTreeMap<&String, (Option<u64>, &Option<String>)> {
    claims
        .iter()
        .map(|(name, (size, class))| {
            let size = size
                .as_ref()
                .and_then(|size| api_types::size::VolumeSize(size.0.clone()).bytes());
            (name, (size, class))
        })
        .collect()
}
