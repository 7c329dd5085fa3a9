//! How claims grow, and how the StatefulSet's claim templates come to agree with them.
//!
//! Each step follows from what is observed, so a controller that dies between any two of them goes
//! on where it stopped: claims that ask for too little are asked to grow; once each has what it asks
//! for, the StatefulSet, whose claim templates cannot be changed, is deleted and its pod left
//! behind; a StatefulSet that is missing is created again, as ever, and adopts the pod.

use std::sync::Arc;

use api_types::names::Volume;
use api_types::size::VolumeSize;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use resources::Instance;

use super::template::Rendered;
use crate::claims::{ClaimState, Expansion, irreconcilable, judge, templates_behind};
use crate::observe::Observed;
use crate::status::rollout::is_current;
use crate::validate::Validated;

/// A claim that shall grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// The volume that it holds.
    pub volume: Volume,
    /// The claim.
    pub claim: Arc<PersistentVolumeClaim>,
    /// The size that it shall have.
    pub size: VolumeSize,
}

/// How the claim templates of the live StatefulSet stand to the spec.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimTemplates {
    /// They agree, or there is no StatefulSet, or nothing can make them agree.
    Settled,
    /// They follow once the claims have grown.
    AfterClaims,
    /// They follow once nothing of the pod's template is left to roll out.
    AfterRollout,
    /// The StatefulSet shall be deleted without its pod; this is what takes its place.
    Replace(Box<StatefulSet>),
}

/// The claims that shall grow now.
pub(super) fn growths(observed: &Observed, instance: &Instance<'_>) -> Vec<Growth> {
    if irreconcilable(observed, instance).is_some() {
        return Vec::new();
    }
    judge(observed, instance)
        .into_iter()
        .filter(|judged| {
            matches!(
                judged.state,
                ClaimState::TooSmall(Expansion::Allowed | Expansion::Unknown)
            )
        })
        .filter_map(|judged| {
            Some(Growth {
                volume: judged.volume,
                claim: Arc::clone(judged.claim?),
                size: judged.size.clone(),
            })
        })
        .collect()
}

/// What shall become of the claim templates, given what the pod is `rendered` from.
pub(super) fn templates(
    observed: &Observed,
    validated: &Validated<'_>,
    rendered: &Rendered,
) -> ClaimTemplates {
    let instance = &validated.instance;
    let Some(set) = observed.live.stateful_set.as_deref() else {
        return ClaimTemplates::Settled;
    };
    let replaceable = instance.owns(set)
        && set.metadata.deletion_timestamp.is_none()
        && templates_behind(set, instance)
        && irreconcilable(observed, instance).is_none();
    if !replaceable {
        return ClaimTemplates::Settled;
    }
    let grown = judge(observed, instance)
        .iter()
        .all(|judged| matches!(judged.state, ClaimState::Missing | ClaimState::Fits));
    if !grown {
        return ClaimTemplates::AfterClaims;
    }
    let Some(template) = rendered.template.as_ref() else {
        return ClaimTemplates::AfterRollout;
    };
    // What replaces the StatefulSet must not roll the pod: it is rendered anew, because the old one
    // cannot be read any more after its deletion.
    let unchanged = validated.digest.is_some() && !rendered.held_back;
    if !unchanged || !is_rolled_out(set, observed.pod.as_deref()) {
        return ClaimTemplates::AfterRollout;
    }
    ClaimTemplates::Replace(Box::new(resources::stateful_set(
        instance,
        template.pod.clone(),
        template.rendering.clone(),
        resources::claim_templates(instance),
    )))
}

/// Whether the pod, where there is one, is of the newest revision of `set`.
fn is_rolled_out(set: &StatefulSet, pod: Option<&Pod>) -> bool {
    let status = set.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation);
    if seen.is_none() || seen != set.metadata.generation {
        return false;
    }
    pod.is_none_or(|pod| {
        pod.metadata.deletion_timestamp.is_none() && is_current(set, pod) == Some(true)
    })
}

/// Whether the pod has no StatefulSet to go with: if the server went now, the pod would stay.
pub(super) fn is_bereft(observed: &Observed, instance: &Instance<'_>) -> bool {
    let leaving = observed
        .live
        .stateful_set
        .as_deref()
        .is_some_and(|set| instance.owns(set) && set.metadata.deletion_timestamp.is_some());
    observed.pod.is_some() && leaving
        || observed
            .pod
            .as_deref()
            .is_some_and(|pod| is_orphan(pod, instance))
}

/// Whether `pod` is this server's and nobody controls it.
pub(crate) fn is_orphan(pod: &Pod, instance: &Instance<'_>) -> bool {
    let controlled = pod
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true));
    !controlled && instance.owns(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{Finalizer, Wish};
    use crate::testing::{
        claim, class, planned, provisioned, respecified, serving, with_pod, with_stateful_set,
    };

    fn bound(size: &str) -> Value {
        json!({"phase": "Bound", "capacity": {"storage": size}})
    }

    /// A running server whose metadata volume shall grow from 1Gi to 2Gi.
    fn growing() -> Observed {
        let mut world = with_pod(with_stateful_set(provisioned(json!({}))), serving());
        claim(&mut world, Volume::Metadata, "1Gi", bound("1Gi"));
        claim(&mut world, Volume::ControlPlane, "1Gi", bound("1Gi"));
        class(&mut world, "fast", Some(true));
        respecified(world, |spec| spec.storage.metadata_size = "2Gi".into())
    }

    /// The same when the volume has grown.
    fn grown() -> Observed {
        let mut world = growing();
        claim(&mut world, Volume::Metadata, "2Gi", bound("2Gi"));
        world
    }

    fn with_set(mut world: Observed, change: impl FnOnce(&mut StatefulSet)) -> Observed {
        let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
        change(&mut set);
        world.live.stateful_set = Some(Arc::new(set));
        world
    }

    fn with_pod_label(mut world: Observed, revision: &str) -> Observed {
        let mut pod = Pod::clone(world.pod.as_ref().unwrap());
        let label = "controller-revision-hash".to_owned();
        pod.metadata.labels = Some([(label, revision.to_owned())].into());
        world.pod = Some(Arc::new(pod));
        world
    }

    #[test]
    fn only_the_claim_that_is_too_small_is_asked_to_grow() {
        let plan = planned(&growing());
        let grown: Vec<_> = plan
            .grow
            .iter()
            .map(|growth| (growth.volume, &growth.size))
            .collect();
        assert_eq!(grown, [(Volume::Metadata, &VolumeSize::from("2Gi"))]);
        assert_eq!(plan.claim_templates, ClaimTemplates::AfterClaims);
        assert_eq!(plan.finalizer, Finalizer::Keep);
    }

    #[test]
    fn nothing_is_written_where_the_class_does_not_allow_growth() {
        let mut world = growing();
        class(&mut world, "fast", Some(false));
        let plan = planned(&world);
        assert_eq!(plan.grow, []);
        assert_eq!(plan.claim_templates, ClaimTemplates::AfterClaims);
    }

    #[test]
    fn a_claim_never_shrinks() {
        let mut world = growing();
        claim(&mut world, Volume::Metadata, "5Gi", bound("5Gi"));
        assert_eq!(planned(&world).grow, []);
    }

    #[test]
    fn the_templates_wait_for_the_capacity() {
        let mut world = growing();
        claim(&mut world, Volume::Metadata, "2Gi", bound("1Gi"));
        let plan = planned(&world);
        assert_eq!(plan.grow, []);
        assert_eq!(plan.claim_templates, ClaimTemplates::AfterClaims);
    }

    #[test]
    fn what_replaces_the_set_has_the_new_sizes_and_the_same_pod() {
        let world = grown();
        let plan = planned(&world);
        let ClaimTemplates::Replace(successor) = &plan.claim_templates else {
            panic!("{:?}", plan.claim_templates)
        };
        assert_eq!(plan.finalizer, Finalizer::Add);
        let Wish::Apply(present) = &plan.children.stateful_set else {
            panic!("applied")
        };
        let (new, old) = (
            successor.spec.as_ref().unwrap(),
            present.spec.as_ref().unwrap(),
        );
        assert_eq!(new.template, old.template);
        assert_ne!(new.volume_claim_templates, old.volume_claim_templates);
        // Once it is gone, the plan makes exactly that.
        let mut gone = world.clone();
        gone.live.stateful_set = None;
        assert_eq!(
            planned(&gone).children.stateful_set,
            Wish::Apply(successor.clone())
        );
    }

    #[test]
    fn the_set_stays_while_its_pod_has_something_to_roll_out() {
        let waits = |world: &Observed| {
            assert_eq!(planned(world).claim_templates, ClaimTemplates::AfterRollout);
        };
        waits(&with_pod_label(grown(), "rev-0"));
        waits(&with_set(grown(), |set| set.metadata.generation = Some(2)));
        let mut unreadable = grown();
        let refused = crate::observe::SecretState::Refused(String::new());
        unreadable
            .secrets
            .insert("files-jwt-secret".to_owned(), refused);
        waits(&unreadable);
    }

    #[test]
    fn a_set_on_its_way_out_is_left_alone_and_holds_the_server() {
        let world = with_set(grown(), |set| {
            set.metadata.deletion_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            );
        });
        let plan = planned(&world);
        assert_eq!(plan.children.stateful_set, Wish::Leave);
        assert_eq!(plan.claim_templates, ClaimTemplates::Settled);
        assert_eq!(plan.finalizer, Finalizer::Add);
    }

    /// A grown server whose StatefulSet is gone, with what the pod left behind runs.
    fn orphaned() -> Observed {
        let mut world = grown();
        let set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
        let mut template = set.spec.unwrap().template;
        template.spec.as_mut().unwrap().enable_service_links = Some(true);
        world.orphaned_template = Some(template);
        world.live.stateful_set = None;
        world
    }

    #[test]
    fn an_orphaned_pod_gets_a_set_for_what_it_runs_until_something_asks_for_a_restart() {
        let world = orphaned();
        let as_it_runs = planned(&world).as_it_runs.expect("a set for the pod");
        let spec = as_it_runs.spec.unwrap();
        assert_eq!(Some(spec.template), world.orphaned_template);
        let restarted = respecified(world, |spec| spec.image = "other:1".to_owned());
        assert_eq!(planned(&restarted).as_it_runs, None);
    }

    #[test]
    fn an_orphaned_pod_gets_a_set_although_an_input_is_missing() {
        let mut world = orphaned();
        let refused = crate::observe::SecretState::Refused(String::new());
        world.secrets.insert("files-jwt-secret".to_owned(), refused);
        let Wish::Apply(set) = planned(&world).children.stateful_set else {
            panic!("applied")
        };
        assert_eq!(Some(set.spec.unwrap().template), world.orphaned_template);
    }

    #[test]
    fn a_pod_without_a_controller_holds_the_server_until_it_is_adopted() {
        let mut world = grown();
        let mut pod = Pod::clone(world.pod.as_ref().unwrap());
        let labels = api_types::labels::selected("files", api_types::labels::Component::Server);
        pod.metadata.labels = Some(labels);
        world.pod = Some(Arc::new(pod.clone()));
        world.live.stateful_set = None;
        assert_eq!(planned(&world).finalizer, Finalizer::Add);
        pod.metadata.owner_references = serde_json::from_value(json!([
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "files", "uid": "u", "controller": true}
        ]))
        .unwrap();
        world.pod = Some(Arc::new(pod));
        assert_eq!(planned(&world).finalizer, Finalizer::Keep);
    }
}
