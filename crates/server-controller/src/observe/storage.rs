//! What a decision about storage needs beside the claims: their StorageClasses, and what the
//! cluster last said of a claim. Both are read only while a claim is not settled.

use std::collections::BTreeMap;

use api_types::DittoServer;
use controller_runtime::{Context, Remembered, Scope};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use resources::Instance;

use super::{ObserveError, Observed, failed};
use crate::claims::{ClaimState, Growing, Judged, class_of, judge};
use crate::rights;
use crate::watches::Watches;

/// What is known of a StorageClass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassState {
    /// It exists.
    Present {
        /// Whether its claims may grow (`allowVolumeExpansion`).
        expandable: bool,
        /// Whether its claims are bound when their pod is scheduled (`volumeBindingMode`).
        waits_for_pod: bool,
    },
    /// It does not exist.
    Missing,
    /// The API server refuses to show it, as it does to an operator that serves namespaces only.
    Unreadable,
}

/// What the cluster last said of a claim that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimEvent {
    /// Name of the claim.
    pub claim: String,
    /// The event's words, without what differs from one attempt to the next.
    pub note: String,
}

/// What is known of storage beside the claims.
#[derive(Clone, Debug, Default)]
pub struct StorageFacts {
    /// StorageClasses by name, as far as a decision needs them.
    pub classes: BTreeMap<String, ClassState>,
    /// What the cluster last said of the first claim that is not settled.
    pub event: Option<ClaimEvent>,
    /// Whether more may become known without a change of anything that is watched.
    pub look_again: bool,
}

/// The StorageClasses that `server` depends on.
pub fn class_names<'c>(
    server: &DittoServer,
    claims: impl IntoIterator<Item = &'c PersistentVolumeClaim>,
) -> Vec<String> {
    let named = server.spec.storage.storage_class_name.as_ref();
    let mut names: Vec<String> = named
        .map(|name| name.0.clone())
        .into_iter()
        .chain(claims.into_iter().filter_map(class_of).map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Reads what the claims of `observed` make necessary: nothing while every claim fits.
pub(super) async fn facts(
    client: &Client,
    watches: &Watches,
    observed: &Observed,
    now: Timestamp,
) -> Result<StorageFacts, ObserveError> {
    let mut facts = StorageFacts::default();
    let Some(instance) = Instance::of(&observed.server) else {
        return Ok(facts);
    };
    let judged = judge(observed, &instance);
    if watches.classes {
        for name in needed(&judged) {
            let state = class(client, &watches.class_states, &name).await?;
            facts.classes.insert(name, state);
        }
    }
    if judged.iter().any(|judged| is_young(&facts, judged, now)) {
        facts.look_again = true;
        return Ok(facts);
    }
    let Some(unsettled) = judged
        .iter()
        .find(|judged| has_news(observed, &facts, judged))
    else {
        return Ok(facts);
    };
    facts.event = event(client, instance.namespace, unsettled).await?;
    facts.look_again = true;
    Ok(facts)
}

/// Time in which a new claim is expected to be bound without a look at what may be in its way.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// Whether a claim is not bound because it was made just now. What one of a class waits for that
/// binds with the pod is known already.
fn is_young(facts: &StorageFacts, judged: &Judged<'_>, now: Timestamp) -> bool {
    let claim = judged.claim;
    let made = claim.and_then(|claim| claim.metadata.creation_timestamp.as_ref());
    let class = claim.and_then(|claim| facts.classes.get(class_of(claim)?));
    let waits = matches!(
        class,
        Some(ClassState::Present {
            waits_for_pod: true,
            ..
        })
    );
    judged.state == ClaimState::Pending
        && !waits
        && made.is_some_and(|made| now.duration_since(made.0) < PATIENCE)
}

/// The StorageClasses that decide what becomes of a claim.
fn needed(judged: &[Judged<'_>]) -> Vec<String> {
    let mut names: Vec<String> = judged
        .iter()
        .filter(|judged| matches!(judged.state, ClaimState::Pending | ClaimState::TooSmall(_)))
        .filter_map(|judged| class_of(judged.claim?))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether the cluster may have said something of a claim since.
fn has_news(observed: &Observed, facts: &StorageFacts, judged: &Judged<'_>) -> bool {
    match &judged.state {
        // A claim that waits for its pod is bound or changed when that is scheduled.
        ClaimState::Pending => judged.claim.is_some_and(|claim| {
            if claim.annotations().contains_key(SELECTED_NODE) {
                return true;
            }
            match class_of(claim).and_then(|class| facts.classes.get(class)) {
                Some(ClassState::Present { waits_for_pod, .. }) => !waits_for_pod,
                Some(ClassState::Missing) => false,
                Some(ClassState::Unreadable) | None => observed.pod.is_some(),
            }
        }),
        ClaimState::Growing(Growing::Volume | Growing::FileSystem) | ClaimState::TooSmall(_) => {
            true
        }
        ClaimState::Missing
        | ClaimState::Terminating
        | ClaimState::Lost
        | ClaimState::Growing(Growing::Failed(_))
        | ClaimState::Fits => false,
    }
}

/// Annotation by which the scheduler asks for the volume of a claim that waited for its pod:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#volume-kubernetes-io-selected-node>.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A StorageClass, read once for each of its versions.
async fn class(
    client: &Client,
    remembered: &Remembered<ClassState>,
    name: &str,
) -> Result<ClassState, ObserveError> {
    if let Some(state) = remembered.current("", name) {
        return Ok(*state);
    }
    let asked = remembered.ask("", name);
    let api: Api<StorageClass> = Api::all(client.clone());
    match api.get_opt(name).await {
        Ok(Some(class)) => {
            let state = ClassState::Present {
                expandable: class.allow_volume_expansion == Some(true),
                waits_for_pod: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            };
            Ok(*remembered.keep(&asked, &class.metadata, state))
        }
        Ok(None) => Ok(ClassState::Missing),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(ClassState::Unreadable),
        Err(error) => Err(failed(format!("StorageClass {name}"))(error)),
    }
}

/// Whether this process may read StorageClasses. One that serves the whole cluster may, by its role;
/// one that serves namespaces asks once.
///
/// # Errors
/// When the API server does not answer.
pub async fn may_read_classes(context: &Context) -> Result<bool, kube::Error> {
    if context.scope == Scope::Cluster {
        return Ok(true);
    }
    let reads = ["get", "list", "watch"].map(|verb| ResourceAttributes {
        group: Some("storage.k8s.io".to_owned()),
        resource: Some("storageclasses".to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    });
    rights::granted(&context.client, reads).await
}

async fn event(
    client: &Client,
    namespace: &str,
    judged: &Judged<'_>,
) -> Result<Option<ClaimEvent>, ObserveError> {
    let Some(uid) = judged.claim.and_then(|claim| claim.metadata.uid.as_deref()) else {
        return Ok(None);
    };
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    match api.list(&about).await {
        Ok(events) => Ok(last(&judged.name, &events.items)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(None),
        Err(error) => Err(failed(format!("events of claim {}", judged.name))(error)),
    }
}

/// The last event. Drivers repeat their attempts, and what they say between two failures would make
/// the message flap: so a warning counts more than what is said within [`MEMORY`] after it.
fn last(claim: &str, events: &[Event]) -> Option<ClaimEvent> {
    let newest = events.iter().max_by_key(|event| seen(event))?;
    let event = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .max_by_key(|event| seen(event))
        .filter(|warning| match (seen(warning), seen(newest)) {
            (Some(warned), Some(last)) => last.duration_since(warned) < MEMORY,
            _ => true,
        })
        .unwrap_or(newest);
    Some(ClaimEvent {
        claim: claim.to_owned(),
        note: steady(event.message.as_deref().unwrap_or_default()),
    })
}

/// Longest pause between two attempts of the usual drivers.
const MEMORY: SignedDuration = SignedDuration::from_mins(5);

/// When an event was seen last; which field says it depends on its writer.
fn seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    [series, last, first].into_iter().flatten().max()
}

/// The note without identifiers and times, which differ from one attempt to the next.
fn steady(note: &str) -> String {
    let words: Vec<&str> = note
        .split_whitespace()
        .map(|word| if is_fleeting(word) { "…" } else { word })
        .collect();
    words.join(" ")
}

fn is_fleeting(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_hex = word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let has_letter = word.chars().any(|c| c.is_ascii_alphabetic());
    let is_identifier = is_hex && has_letter && digits > 0 && word.len() >= 12;
    let is_time = digits >= 4
        && word.contains(':')
        && !word.contains('/')
        && !word.contains("::")
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || ":.-+TZ".contains(c));
    is_identifier || is_time
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, time: &str, note: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "type": kind,
            "lastTimestamp": time, "message": note,
        }))
        .unwrap()
    }

    #[test]
    fn a_warning_is_quoted_until_nothing_repeats_it() {
        let mut events = vec![
            event("Warning", "2026-01-01T00:00:01Z", "older"),
            event("Warning", "2026-01-01T00:00:02Z", "no space left"),
            event("Normal", "2026-01-01T00:04:59Z", "trying again"),
        ];
        let quoted = |events: &[Event]| last("metadata-files-0", events).map(|event| event.note);
        assert_eq!(quoted(&events).unwrap(), "no space left");
        events.push(event("Normal", "2026-01-01T00:05:03Z", "waiting"));
        assert_eq!(quoted(&events).unwrap(), "waiting");
        assert_eq!(quoted(&[]), None);
    }

    #[test]
    fn identifiers_and_times_are_left_out_of_a_quote_and_names_and_sizes_are_not() {
        let note = "rpc error: 12:30:01.5 request 6f9619ff-8b86-d011-b42d-00cf4fc964ff wants 10737418240 bytes of class \"fast-2\"";
        assert_eq!(
            steady(note),
            "rpc error: … request … wants 10737418240 bytes of class \"fast-2\""
        );
    }
}
