//! What is left to do before a server that carries our finalizer may go.
//!
//! The pod goes first, because a claim that a pod uses cannot go; then the database; then the claims; then the Secret
//! that opens what was on them; then the finalizer. Each step follows from what is observed and
//! waits for the one before it, never for a timer.

use api_types::names::{self, Volume};
use api_types::v1alpha1::Retention;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use percona_bridge::{Managed, Source};
use resources::Instance;

use super::storage::is_orphan;
use crate::claims::is_labelled;
use crate::observe::{Observed, SecretState};
use crate::validate::database;

/// The next step of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The StatefulSet shall go, and its pod with it.
    RemoveStatefulSet,
    /// The pod, which has no StatefulSet any more, shall go.
    RemovePod,
    /// The pod is on its way out.
    AwaitPod,
    /// The database cluster shall go, with its data.
    RemoveDatabase,
    /// These claims shall go.
    RemoveClaims(Vec<Volume>),
    /// These claims are on their way out.
    AwaitClaims(Vec<Volume>),
    /// The Secret with the administrator's password shall go, and the finalizer after it.
    RemoveAdminSecret,
    /// The API server does not show the Secret that shall go.
    AdminSecretUnreadable,
    /// The finalizer shall go.
    Release,
}

impl Deletion {
    /// For people: what the deletion is at.
    pub fn describe(&self, server: &str) -> String {
        let claims = |volumes: &[Volume]| {
            let names: Vec<String> = volumes.iter().map(|volume| volume.claim(server)).collect();
            names.join(", ")
        };
        match self {
            Deletion::RemoveStatefulSet | Deletion::RemovePod | Deletion::AwaitPod => {
                "The server is being deleted: waiting for the pod to end.".to_owned()
            }
            Deletion::RemoveDatabase => {
                "The server is being deleted: its database goes with it.".to_owned()
            }
            Deletion::RemoveClaims(volumes) | Deletion::AwaitClaims(volumes) => format!(
                "The server is being deleted: waiting for its claims to go ({}).",
                claims(volumes)
            ),
            Deletion::AdminSecretUnreadable => format!(
                "The server is being deleted: Secret {} shall go and cannot be read. Let the server-controller's role read it.",
                names::admin_secret(server)
            ),
            Deletion::RemoveAdminSecret | Deletion::Release => {
                "The server is being deleted.".to_owned()
            }
        }
    }
}

/// The next step of the deletion of a server that carries our finalizer.
pub(super) fn next(
    observed: &Observed,
    instance: &Instance<'_>,
    source: Option<&Source>,
) -> Deletion {
    if let Some(set) = observed.live.stateful_set.as_deref()
        && instance.owns(set)
    {
        return if set.metadata.deletion_timestamp.is_none() {
            Deletion::RemoveStatefulSet
        } else {
            Deletion::AwaitPod
        };
    }
    if let Some(pod) = observed.pod.as_deref() {
        if is_orphan(pod, instance) && pod.metadata.deletion_timestamp.is_none() {
            return Deletion::RemovePod;
        }
        // A StatefulSet that is still there is somebody else's, and so is its pod.
        let ends = observed.live.stateful_set.is_none() && is_of_stateful_set(pod, instance);
        if is_orphan(pod, instance) || ends {
            return Deletion::AwaitPod;
        }
    }
    if let Some(Source::Managed(managed)) = source
        && removes(observed, instance, managed)
    {
        return Deletion::RemoveDatabase;
    }
    match instance.spec.storage.retention_policy.when_deleted {
        Retention::Retain => Deletion::Release,
        Retention::Delete => data(observed, instance, source),
    }
}

/// Whether the database cluster shall go and does not yet: it carries our labels, and the status knows it by its
/// UID. That it is gone is not waited for: without its operator it would never be.
fn removes(observed: &Observed, instance: &Instance<'_>, managed: &Managed) -> bool {
    let recorded = observed.server.status.as_ref();
    let recorded = recorded.and_then(|status| status.database.as_ref()?.cluster_uid.as_ref());
    let seen = observed.database.cluster(managed);
    managed.goes_with_server()
        && database::is_ours(observed, instance, managed)
        && seen.is_some_and(|seen| {
            seen.meta.deletion_timestamp.is_none()
                && recorded.is_some()
                && seen.meta.uid.as_ref() == recorded
        })
}

fn is_of_stateful_set(pod: &Pod, instance: &Instance<'_>) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| {
        owner.controller == Some(true)
            && owner.kind == "StatefulSet"
            && owner.name == names::stateful_set(instance.name)
    })
}

fn data(observed: &Observed, instance: &Instance<'_>, source: Option<&Source>) -> Deletion {
    let ours: Vec<(Volume, &PersistentVolumeClaim)> = observed
        .claims
        .iter()
        .filter(|(_, claim)| is_labelled(claim, instance) && is_recorded(observed, claim))
        .map(|(volume, claim)| (*volume, claim.as_ref()))
        .collect();
    let staying: Vec<Volume> = ours
        .iter()
        .filter(|(_, claim)| claim.metadata.deletion_timestamp.is_none())
        .map(|(volume, _)| *volume)
        .collect();
    if !staying.is_empty() {
        return Deletion::RemoveClaims(staying);
    }
    if !ours.is_empty() {
        return Deletion::AwaitClaims(ours.into_iter().map(|(volume, _)| volume).collect());
    }
    // The Secret opens the control plane. It goes only with that: not while a claim with it is left,
    // and not when it is kept in a database elsewhere.
    let went = match source {
        Some(Source::Sqlite { .. }) => true,
        Some(Source::Managed(managed)) => {
            let seen = observed.database.cluster(managed);
            managed.goes_with_server()
                && observed.database.serves(managed)
                && seen.is_none_or(|seen| seen.meta.deletion_timestamp.is_some())
        }
        Some(Source::Secret(_)) | None => false,
    };
    let control_plane_is_gone = went && !observed.claims.contains_key(&Volume::ControlPlane);
    match observed.secrets.get(&names::admin_secret(instance.name)) {
        Some(SecretState::Present(secret))
            if control_plane_is_gone && instance.owns(&secret.object) =>
        {
            Deletion::RemoveAdminSecret
        }
        Some(SecretState::Refused(_)) if control_plane_is_gone => Deletion::AdminSecretUnreadable,
        _ => Deletion::Release,
    }
}

/// Whether the status knows `claim` by its UID: another one of its name holds other data.
fn is_recorded(observed: &Observed, claim: &PersistentVolumeClaim) -> bool {
    let storage = observed
        .server
        .status
        .as_ref()
        .and_then(|status| status.storage.as_ref());
    storage.is_some_and(|storage| {
        storage.claims.iter().any(|recorded| {
            claim.metadata.name.as_ref() == Some(&recorded.name)
                && claim.metadata.uid.as_ref() == Some(&recorded.uid)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api_types::DittoServer;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use percona_bridge::PerconaPGCluster;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{FINALIZER, Finalizer, Plan};
    use crate::testing::{
        claim, planned, provisioned, respecified, serving, with_pod, with_stateful_set,
    };

    /// A server with `policy` that is being deleted, with everything still there.
    fn leaving(policy: &str) -> Observed {
        let storage = json!({"metadataSize": "1Gi", "retentionPolicy": {"whenDeleted": policy}});
        let mut world = with_pod(
            with_stateful_set(provisioned(json!({"storage": storage}))),
            serving(),
        );
        let bound = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        claim(&mut world, Volume::Metadata, "1Gi", bound.clone());
        claim(&mut world, Volume::ControlPlane, "1Gi", bound);
        let mut server = DittoServer::clone(&world.server);
        server.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        server.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        server.status = serde_json::from_value(json!({"storage": {"claims": [
            {"name": "metadata-files-0", "uid": "uid-metadata"},
            {"name": "controlplane-files-0", "uid": "uid-controlplane"},
        ]}}))
        .unwrap();
        world.server = Arc::new(server);
        world
    }

    fn without_pod(policy: &str) -> Observed {
        let mut world = leaving(policy);
        world.live.stateful_set = None;
        world.pod = None;
        world
    }

    fn step(world: &Observed) -> Deletion {
        let plan = planned(world);
        let step = plan.deletion.clone().unwrap();
        assert_eq!(
            plan,
            Plan {
                deletion: Some(step.clone()),
                ..Plan::nothing()
            }
        );
        step
    }

    fn pod(owner: Value) -> Option<Arc<Pod>> {
        let labels = api_types::labels::selected("files", api_types::labels::Component::Server);
        let pod = serde_json::from_value(
            json!({"metadata": {"name": "files-0", "labels": labels, "ownerReferences": owner}}),
        );
        Some(Arc::new(pod.unwrap()))
    }

    #[test]
    fn the_pod_goes_before_the_claims_and_the_secret_after_them() {
        let mut world = leaving("Delete");
        assert_eq!(step(&world), Deletion::RemoveStatefulSet);
        world.live.stateful_set = None;
        world.pod = pod(
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "files", "uid": "u", "controller": true}]),
        );
        assert_eq!(step(&world), Deletion::AwaitPod);
        world.pod = None;
        let both = vec![Volume::Metadata, Volume::ControlPlane];
        assert_eq!(step(&world), Deletion::RemoveClaims(both));
        world.claims.remove(&Volume::Metadata);
        assert_eq!(
            step(&world),
            Deletion::RemoveClaims(vec![Volume::ControlPlane])
        );
        let mut going = PersistentVolumeClaim::clone(&world.claims[&Volume::ControlPlane]);
        going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        world.claims.insert(Volume::ControlPlane, Arc::new(going));
        assert_eq!(
            step(&world),
            Deletion::AwaitClaims(vec![Volume::ControlPlane])
        );
        world.claims.clear();
        assert_eq!(step(&world), Deletion::RemoveAdminSecret);
        let gone = SecretState::Missing;
        world
            .secrets
            .insert("files-admin-bootstrap-credentials".to_owned(), gone);
        assert_eq!(step(&world), Deletion::Release);
    }

    #[test]
    fn retain_deletes_no_data_and_still_takes_a_pod_without_a_set_along() {
        let mut world = without_pod("Retain");
        assert_eq!(step(&world), Deletion::Release);
        world.pod = pod(json!([]));
        assert_eq!(step(&world), Deletion::RemovePod);
    }

    #[test]
    fn a_claim_that_the_status_does_not_know_by_its_uid_stays_and_so_does_its_secret() {
        let mut world = without_pod("Delete");
        let mut other = PersistentVolumeClaim::clone(&world.claims[&Volume::ControlPlane]);
        other.metadata.uid = Some("another".to_owned());
        world.claims.insert(Volume::ControlPlane, Arc::new(other));
        assert_eq!(step(&world), Deletion::RemoveClaims(vec![Volume::Metadata]));
        world.claims.remove(&Volume::Metadata);
        assert_eq!(step(&world), Deletion::Release);
    }

    #[test]
    fn a_claim_without_our_labels_stays() {
        let mut world = without_pod("Delete");
        for claim in world.claims.values_mut() {
            let mut foreign = PersistentVolumeClaim::clone(claim);
            foreign.metadata.labels = None;
            *claim = Arc::new(foreign);
        }
        assert_eq!(step(&world), Deletion::Release);
    }

    #[test]
    fn the_secret_stays_while_a_database_elsewhere_is_opened_by_it() {
        let mut world = without_pod("Delete");
        world.claims.clear();
        let world = respecified(world, |spec| {
            spec.database = serde_json::from_value(json!({
                "type": "postgres", "postgresSecretRef": {"name": "db", "key": "password"},
            }))
            .unwrap();
        });
        assert_eq!(step(&world), Deletion::Release);
    }

    /// A server whose data goes with it, with everything of it gone but the Secret and perhaps the database.
    fn emptied(database: Value) -> Observed {
        let mut world = without_pod("Delete");
        world.claims.clear();
        world.database.served.percona = true;
        respecified(world, |spec| {
            spec.database = serde_json::from_value(database).unwrap();
        })
    }

    /// `world` with the cluster of its database, which the status knows by the UID `known`.
    fn with_database(mut world: Observed, known: &str) -> Observed {
        let mut cluster: PerconaPGCluster = serde_json::from_value(json!({
            "metadata": {"name": "files-postgres", "namespace": "media", "uid": "uid-db"},
        }))
        .unwrap();
        let component = api_types::labels::Component::Database;
        cluster.metadata.labels = Some(api_types::labels::standard("files", component));
        world.database.live.percona = Some(Arc::new(cluster));
        let mut server = DittoServer::clone(&world.server);
        let mut status = serde_json::to_value(server.status.unwrap()).unwrap();
        status["database"] = json!({"provider": "percona", "clusterUID": known});
        server.status = serde_json::from_value(status).unwrap();
        world.server = Arc::new(server);
        world
    }

    /// A server made again finds its users in the database, and an administrator's password that was made anew would
    /// not open it.
    #[test]
    fn the_secret_stays_with_a_database_that_stays() {
        let percona = |more: Value| {
            let mut percona = json!({});
            let fields = more.as_object().unwrap().clone();
            percona.as_object_mut().unwrap().extend(fields);
            emptied(json!({ "percona": percona }))
        };
        let retained = percona(json!({}));
        let referenced = percona(json!({"clusterRef": {"name": "theirs"}}));
        let deleted = || percona(json!({"deletionPolicy": "Delete"}));
        let mut unserved = deleted();
        unserved.database.served.percona = false;
        for (world, what) in [
            (
                emptied(json!({"secret": {"name": "pg"}})),
                "a Secret of a person",
            ),
            (
                emptied(json!({"secret": {"name": "pg", "dsnKey": "dsn"}})),
                "a text with a connection",
            ),
            (with_database(retained.clone(), "uid-db"), "Retain"),
            (retained, "Retain, and nobody sees it"),
            (referenced, "a cluster of somebody else"),
            (with_database(deleted(), "uid-other"), "another cluster"),
            (unserved, "it cannot be seen whether it went"),
        ] {
            assert_eq!(step(&world), Deletion::Release, "{what}");
            // Nor does the end wait for a Secret that is not to go.
            let mut unreadable = world;
            let refused = SecretState::Refused(String::new());
            let secrets = &mut unreadable.secrets;
            secrets.insert(names::admin_secret("files"), refused);
            assert_eq!(step(&unreadable), Deletion::Release, "{what}");
        }
    }

    #[test]
    fn the_secret_goes_with_a_database_that_goes() {
        let world = emptied(json!({"percona": {"deletionPolicy": "Delete"}}));
        assert_eq!(step(&world), Deletion::RemoveAdminSecret, "it is gone");
        let mut world = with_database(world, "uid-db");
        assert_eq!(step(&world), Deletion::RemoveDatabase);
        let live = &mut world.database.live.percona;
        let mut going = PerconaPGCluster::clone(live.as_deref().unwrap());
        going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        *live = Some(Arc::new(going));
        assert_eq!(step(&world), Deletion::RemoveAdminSecret, "it goes");
    }

    #[test]
    fn the_finalizer_follows_the_policy() {
        let present = |policy: &str, held: bool| {
            let mut world = leaving(policy);
            let mut server = DittoServer::clone(&world.server);
            server.metadata.deletion_timestamp = None;
            if !held {
                server.metadata.finalizers = None;
            }
            world.server = Arc::new(server);
            planned(&world).finalizer
        };
        assert_eq!(present("Delete", false), Finalizer::Add);
        assert_eq!(present("Delete", true), Finalizer::Keep);
        assert_eq!(present("Retain", true), Finalizer::Remove);
        assert_eq!(present("Retain", false), Finalizer::Keep);
    }
}
