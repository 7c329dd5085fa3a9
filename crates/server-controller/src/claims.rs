//! What each claim is, seen against what the spec asks for. Pure.

use std::sync::Arc;

use api_types::labels::{INSTANCE, MANAGED_BY, OPERATOR};
use api_types::names::Volume;
use api_types::size::{VolumeSize, quantity_bytes};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use resources::{Instance, size_of};

use crate::observe::{ClassState, Observed};

/// Resource name of a volume's size in requests and capacities.
const STORAGE: &str = "storage";

/// A claim that the spec asks for.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The volume that it holds.
    pub volume: Volume,
    /// Its name.
    pub name: String,
    /// The size that the spec asks for.
    pub size: &'a VolumeSize,
    /// The claim, where there is one.
    pub claim: Option<&'a Arc<PersistentVolumeClaim>>,
    /// What it is.
    pub state: ClaimState,
}

/// What a claim is, seen against what the spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// It does not exist.
    Missing,
    /// It is being deleted.
    Terminating,
    /// It has lost its volume.
    Lost,
    /// It has no volume yet.
    Pending,
    /// It asks for less than the spec.
    TooSmall(Expansion),
    /// It asks for enough and has not got it yet.
    Growing(Growing),
    /// It has what the spec asks for, or more.
    Fits,
}

/// Whether a claim may be asked to grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// Its StorageClass allows it.
    Allowed,
    /// Nobody knows; the API server will tell.
    Unknown,
    /// Its StorageClass, which is named, does not allow it.
    Forbidden(String),
    /// Its StorageClass, which is named, does not exist.
    ClassMissing(String),
    /// It has no StorageClass, so nothing can make it grow.
    NoClass,
}

/// How far the growth of a claim has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growing {
    /// The storage driver has work to do.
    Volume,
    /// The volume has grown; its file system grows when a node mounts it.
    FileSystem,
    /// It failed, with the driver's words.
    Failed(String),
}

/// The claims that the spec asks for, in the order of the claim templates.
pub fn judge<'a>(observed: &'a Observed, instance: &Instance<'a>) -> Vec<Judged<'a>> {
    resources::volumes_of(instance.spec)
        .into_iter()
        .filter_map(|volume| {
            let size = size_of(instance.spec, volume)?;
            let claim = observed.claims.get(&volume);
            Some(Judged {
                volume,
                name: volume.claim(instance.name),
                size,
                claim,
                state: claim.map_or(ClaimState::Missing, |claim| state(observed, claim, size)),
            })
        })
        .collect()
}

fn state(observed: &Observed, claim: &PersistentVolumeClaim, size: &VolumeSize) -> ClaimState {
    if claim.metadata.deletion_timestamp.is_some() {
        return ClaimState::Terminating;
    }
    let status = claim.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Bound") => {}
        Some("Lost") => return ClaimState::Lost,
        _ => return ClaimState::Pending,
    }
    let (Some(wanted), Some(requested)) = (size.bytes().map(u128::from), requested(claim)) else {
        return ClaimState::Fits;
    };
    if requested < wanted {
        return ClaimState::TooSmall(expansion(observed, claim));
    }
    let capacity = status
        .and_then(|status| status.capacity.as_ref())
        .and_then(|capacity| capacity.get(STORAGE))
        .and_then(|Quantity(text)| quantity_bytes(text));
    if capacity.is_some_and(|capacity| capacity >= requested) {
        return ClaimState::Fits;
    }
    ClaimState::Growing(growing(claim))
}

/// The bytes that a claim, or a claim template, asks for.
fn requested(claim: &PersistentVolumeClaim) -> Option<u128> {
    let Quantity(text) = claim
        .spec
        .as_ref()?
        .resources
        .as_ref()?
        .requests
        .as_ref()?
        .get(STORAGE)?;
    quantity_bytes(text)
}

/// Name of the StorageClass of a claim or a claim template.
pub fn class_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim
        .spec
        .as_ref()?
        .storage_class_name
        .as_deref()
        .filter(|name| !name.is_empty())
}

fn expansion(observed: &Observed, claim: &PersistentVolumeClaim) -> Expansion {
    let Some(class) = class_of(claim) else {
        return Expansion::NoClass;
    };
    match observed.storage.classes.get(class) {
        Some(ClassState::Present {
            expandable: true, ..
        }) => Expansion::Allowed,
        Some(ClassState::Present { .. }) => Expansion::Forbidden(class.to_owned()),
        Some(ClassState::Missing) => Expansion::ClassMissing(class.to_owned()),
        Some(ClassState::Unreadable) | None => Expansion::Unknown,
    }
}

/// Condition types and resize states:
/// <https://pkg.go.dev/k8s.io/api/core/v1#PersistentVolumeClaimConditionType> and
/// <https://pkg.go.dev/k8s.io/api/core/v1#ClaimResourceStatus>.
fn growing(claim: &PersistentVolumeClaim) -> Growing {
    let status = claim.status.as_ref();
    let condition = |kinds: &[&str]| {
        status
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .find(|condition| {
                kinds.contains(&condition.type_.as_str()) && condition.status == "True"
            })
    };
    let resize = status
        .and_then(|status| status.allocated_resource_statuses.as_ref())
        .and_then(|statuses| statuses.get(STORAGE))
        .map(String::as_str);
    if let Some(error) = condition(&["ControllerResizeError", "NodeResizeError"]) {
        let words = error.message.as_deref().or(error.reason.as_deref());
        return Growing::Failed(words.unwrap_or("no message").to_owned());
    }
    match resize {
        Some(
            failed @ ("ControllerResizeInfeasible"
            | "NodeResizeInfeasible"
            | "ControllerResizeFailed"
            | "NodeResizeFailed"),
        ) => Growing::Failed(failed.to_owned()),
        Some("NodeResizePending" | "NodeResizeInProgress") => Growing::FileSystem,
        _ if condition(&["FileSystemResizePending"]).is_some() => Growing::FileSystem,
        _ => Growing::Volume,
    }
}

/// What keeps the live claims from ever being those that the spec asks for, in words for people.
/// Rules of the schema prevent it; an object that is older than they, or whose claims were made for
/// another server of its name, may still be so.
pub fn irreconcilable(observed: &Observed, instance: &Instance<'_>) -> Option<String> {
    let wanted = instance.spec.storage.storage_class_name.as_ref();
    for judged in judge(observed, instance) {
        let live = judged.claim.and_then(|claim| class_of(claim));
        if let (Some(wanted), Some(live)) = (wanted, live)
            && wanted.0 != live
        {
            return Some(format!(
                "Claim {} is of StorageClass {live}, and spec.storage asks for {wanted}. A claim cannot change its class, so it stays as it is: create the DittoServer again with storageClassName {live}, or move the data to a server of another name.",
                judged.name
            ));
        }
    }
    let templates = templates_of(observed.live.stateful_set.as_deref()?)?;
    let names: Vec<&str> = templates
        .iter()
        .filter_map(|template| template.metadata.name.as_deref())
        .collect();
    let asked: Vec<&str> = resources::volumes_of(instance.spec)
        .into_iter()
        .map(Volume::name)
        .collect();
    let same_volumes =
        names.len() == asked.len() && asked.iter().all(|volume| names.contains(volume));
    if !same_volumes {
        return Some(format!(
            "spec.storage asks for the volumes {}, and the server was created with {}. A server keeps its volumes: set spec.storage back, or create another DittoServer.",
            asked.join(", "),
            names.join(", ")
        ));
    }
    let wanted = wanted.map(|name| name.0.as_str());
    templates
        .iter()
        .find(|template| class_of(template) != wanted)
        .map(|template| {
            format!(
                "spec.storage asks for StorageClass {}, and the server was created with {}. Claims cannot change their class: set spec.storage back, or create another DittoServer.",
                wanted.unwrap_or("(default)"),
                class_of(template).unwrap_or("(default)")
            )
        })
}

/// Whether the claim templates of a live StatefulSet ask for other sizes than the spec.
pub fn templates_behind(set: &StatefulSet, instance: &Instance<'_>) -> bool {
    let Some(templates) = templates_of(set) else {
        return false;
    };
    Volume::ALL.into_iter().any(|volume| {
        let template = templates
            .iter()
            .find(|template| template.metadata.name.as_deref() == Some(volume.name()));
        match (template, size_of(instance.spec, volume)) {
            (Some(template), Some(size)) => requested(template) != size.bytes().map(u128::from),
            _ => false,
        }
    })
}

fn templates_of(set: &StatefulSet) -> Option<&Vec<PersistentVolumeClaim>> {
    set.spec.as_ref()?.volume_claim_templates.as_ref()
}

/// Whether `claim` carries the labels of this server's claims.
pub fn is_labelled(claim: &PersistentVolumeClaim, instance: &Instance<'_>) -> bool {
    let labels = claim.labels();
    labels.get(MANAGED_BY).map(String::as_str) == Some(OPERATOR)
        && labels.get(INSTANCE).map(String::as_str) == Some(instance.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{claim, class, instance, provisioned};

    fn states(observed: &Observed) -> Vec<ClaimState> {
        judge(observed, &instance(observed))
            .into_iter()
            .map(|judged| judged.state)
            .collect()
    }

    fn metadata_claim(status: Value) -> ClaimState {
        let mut world = provisioned(json!({"storage": {"metadataSize": "2Gi"}}));
        claim(&mut world, Volume::Metadata, "2Gi", status);
        states(&world)[0].clone()
    }

    #[test]
    fn a_claim_that_asks_for_less_than_the_spec_may_grow_where_its_class_allows_it() {
        let mut world = provisioned(json!({"storage": {"metadataSize": "2Gi"}}));
        claim(
            &mut world,
            Volume::Metadata,
            "1Gi",
            json!({"phase": "Bound"}),
        );
        let state = |world: &Observed| states(world)[0].clone();
        assert_eq!(state(&world), ClaimState::TooSmall(Expansion::Unknown));
        class(&mut world, "fast", Some(false));
        let forbidden = Expansion::Forbidden("fast".to_owned());
        assert_eq!(state(&world), ClaimState::TooSmall(forbidden));
        class(&mut world, "fast", None);
        let missing = Expansion::ClassMissing("fast".to_owned());
        assert_eq!(state(&world), ClaimState::TooSmall(missing));
        class(&mut world, "fast", Some(true));
        assert_eq!(state(&world), ClaimState::TooSmall(Expansion::Allowed));
    }

    #[test]
    fn a_larger_claim_than_the_spec_asks_for_fits() {
        let bound = |capacity: &str| json!({"phase": "Bound", "capacity": {"storage": capacity}});
        let mut world = provisioned(json!({"storage": {"metadataSize": "1Gi"}}));
        claim(&mut world, Volume::Metadata, "2Gi", bound("2Gi"));
        assert_eq!(states(&world)[0], ClaimState::Fits);
        assert_eq!(metadata_claim(bound("2147483648")), ClaimState::Fits);
    }

    #[test]
    fn the_growth_of_a_claim_is_told_from_its_status() {
        let growing = |more: Value| {
            let mut status = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
            status
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            match metadata_claim(status) {
                ClaimState::Growing(growing) => growing,
                other => panic!("{other:?}"),
            }
        };
        let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "message": "quota is used up"}]});
        assert_eq!(growing(json!({})), Growing::Volume);
        assert_eq!(growing(condition("Resizing")), Growing::Volume);
        assert_eq!(
            growing(condition("FileSystemResizePending")),
            Growing::FileSystem
        );
        assert_eq!(
            growing(condition("ControllerResizeError")),
            Growing::Failed("quota is used up".to_owned())
        );
        assert_eq!(
            growing(json!({"allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"}})),
            Growing::Failed("NodeResizeInfeasible".to_owned())
        );
    }

    #[test]
    fn claims_of_another_class_cannot_be_reconciled() {
        let storage = json!({"metadataSize": "1Gi", "storageClassName": "slow"});
        let mut world = provisioned(json!({"storage": storage}));
        claim(
            &mut world,
            Volume::Metadata,
            "1Gi",
            json!({"phase": "Bound"}),
        );
        let message = irreconcilable(&world, &instance(&world)).unwrap();
        assert!(message.contains("of StorageClass fast"), "{message}");
    }
}
