//! The next request to a server for one share, decided from what is known of the server. Pure.
//!
//! One request at a time: what it answers goes into the [`World`], and the rest is decided anew. A process
//! that ends in between leaves nothing that the next one does not see: it finds the same world and goes on.

mod access;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod model;
mod removal;
mod step;
mod stores;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{HealthStatus, NewShare, NfsOptionsChange, ShareOptions, Squash};
use api_types::conditions::Reason;
use jiff::Timestamp;

pub use step::{Stage, Step};

use crate::drift;
use crate::marker::{Marker, Ownership};
use crate::wish::{Goal, Obstacle, Pushed, Wish};
use crate::world::World;

/// A request that is to be sent next.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The request.
    pub step: Step,
    /// What waits for it.
    pub stage: Stage,
    /// Paths in the spec of the fields that it sets right.
    pub fields: Vec<String>,
}

/// What has happened since the work on a share began.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Requests that were carried out, by [`Step::id`].
    pub done: BTreeSet<String>,
    /// Requests that the server refused, by [`Step::id`], with what to say of it.
    pub failed: BTreeMap<String, (Stage, Obstacle)>,
    /// Whether the share was made.
    pub created: bool,
    /// The versions of Secrets that the server has.
    pub pushed: Pushed,
    /// When, by the server's clock, it was given a password that it takes at its next start.
    pub awaited: Option<Timestamp>,
}

/// What is to be done next, and what stands in the way of the rest.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The next request; `None` when nothing is left that could be done.
    pub next: Option<Planned>,
    /// What keeps the stores from being as declared.
    pub stores: Option<Obstacle>,
    /// What keeps the share from being served.
    pub exported: Option<Obstacle>,
    /// What keeps the access from being as declared.
    pub access: Option<Obstacle>,
    /// Nothing of the share is left that was to be removed.
    pub gone: bool,
}

impl Plan {
    /// Offers a request; the first that was offered is sent.
    fn offer(&mut self, turn: &Turn, stage: Stage, step: Step, fields: Vec<String>) {
        let id = step.id();
        if turn.failed.contains_key(&id) {
            return;
        }
        if turn.done.contains(&id) {
            // Otherwise it would be sent again and again.
            let said = Obstacle::new(
                stage.refusal(),
                format!(
                    "The server accepts this and does not keep it: {}.",
                    step.about()
                ),
            );
            self.obstruct(stage, said);
            return;
        }
        if self.next.is_none() {
            self.next = Some(Planned {
                step,
                stage,
                fields,
            });
        }
    }

    /// Notes an obstacle; the first of a stage is told.
    fn obstruct(&mut self, stage: Stage, obstacle: Obstacle) {
        let place = match stage {
            Stage::Stores => &mut self.stores,
            Stage::Share => &mut self.exported,
            Stage::Access => &mut self.access,
        };
        place.get_or_insert(obstacle);
    }

    /// With what the server refused in this turn.
    fn with_failures(mut self, turn: &Turn) -> Self {
        for (stage, obstacle) in turn.failed.values() {
            self.obstruct(*stage, obstacle.clone());
        }
        self
    }

    fn is_clear(&self) -> bool {
        self.next.is_none()
            && self.stores.is_none()
            && self.exported.is_none()
            && self.access.is_none()
    }
}

/// What to do next about the share that `wish` describes, on a server with `world`.
pub fn plan(wish: &Wish, world: &World, turn: &Turn) -> Plan {
    let plan = match wish.goal {
        Goal::Remove => removal::plan(wish, world, turn),
        Goal::Keep | Goal::Look => keep(wish, world, turn),
    };
    plan.with_failures(turn)
}

fn keep(wish: &Wish, world: &World, turn: &Turn) -> Plan {
    let mut plan = Plan::default();
    let before = match ownership(wish, world) {
        Ok(before) => before,
        Err(obstacle) => {
            plan.stores = Some(obstacle.clone());
            plan.exported = Some(obstacle);
            return plan;
        }
    };
    if let Some(obstacle) = replaced(wish, &before) {
        plan.exported = Some(obstacle);
        return plan;
    }
    let stores = match &wish.stores {
        Ok(stores) => stores,
        Err(obstacle) => {
            plan.stores = Some(obstacle.clone());
            // What is served goes on, and what can be decided without the stores is.
            if !world.shares.contains_key(&wish.declared.share) {
                plan.exported = Some(waiting());
                return plan;
            }
            access::only(wish, world, turn, &before, &mut plan);
            return plan;
        }
    };
    let wanted = stores::wanted(wish, world, turn, stores, &before, &mut plan);
    let access = access::wanted(wish, world, &before, &mut plan);
    let next = Marker {
        namespace: wish.namespace.clone(),
        name: wish.name.clone(),
        uid: wish.uid.clone(),
        stores: wanted.kinds.clone(),
        fields: drift::declared(&wish.declared.options, &wish.declared.nfs),
        users: access.users.clone(),
        groups: access.groups.clone(),
        accounts: access.accounts.clone(),
        passwords: access.passwords.clone(),
        netgroup: access.netgroup,
        policy: wish.declared.policy.is_some(),
        claims: claims(wish, &before),
    };
    let both = before.and(&next);
    if both != before {
        plan.offer(turn, Stage::Share, Step::PutMarker(Box::new(both)), vec![]);
        return plan;
    }
    for step in wanted.steps {
        plan.offer(turn, Stage::Stores, step, vec![]);
    }
    let complete = plan.next.is_none() && wanted.complete;
    let Some(live) = world.shares.get(&wish.declared.share) else {
        if complete {
            plan.offer(turn, Stage::Share, create(wish, stores), vec![]);
        } else {
            plan.obstruct(Stage::Share, waiting());
        }
        return plan;
    };
    if !wanted.complete {
        // Perhaps it is not even the share that was meant.
        plan.obstruct(Stage::Access, waiting());
        return plan;
    }
    stores::health(world, live, &mut plan);
    if turn.created && !turn.done.contains(&Step::ReadStatus.id()) {
        plan.offer(turn, Stage::Share, Step::ReadStatus, vec![]);
        return plan;
    }
    if live.status.status == HealthStatus::Unknown {
        unloaded(wish, world, turn, &live.id, &mut plan);
        return plan;
    }
    if !wish.declared.enabled && live.enabled {
        let fields = vec!["enabled".to_owned()];
        plan.offer(turn, Stage::Share, Step::Disable, fields);
    }
    access::steps(wish, world, turn, &before, live, &access, &mut plan);
    if wish.declared.enabled && !live.enabled {
        let fields = vec!["enabled".to_owned()];
        plan.offer(turn, Stage::Share, Step::Enable, fields);
    }
    if before != next && plan.is_clear() && turn.failed.is_empty() {
        plan.offer(turn, Stage::Share, Step::PutMarker(Box::new(next)), vec![]);
    }
    if !wish.declared.enabled {
        plan.obstruct(
            Stage::Share,
            Obstacle::new(
                Reason::SwitchedOff,
                "The share is not served because spec.enabled is false.",
            ),
        );
    }
    plan
}

/// The marker of the share, empty when nothing is there yet; or why the share is not ours.
fn ownership(wish: &Wish, world: &World) -> Result<Marker, Obstacle> {
    let share = &wish.declared.share;
    let value = world.marker(share);
    let conflict = |what: String| {
        Obstacle::new(
            Reason::NameConflict,
            format!(
                "{what} Nothing is changed: set spec.shareName of another DittoFSShare, or, if the share shall be this one's, set the annotation dittofs.io/adopt: \"true\"."
            ),
        )
    };
    match Marker::read(value, &wish.namespace, &wish.name) {
        Ownership::Ours(marker) => Ok(*marker),
        // What the other one set is withdrawn where this one does not declare it.
        _ if wish.adopt => Ok(serde_json::from_str(value).unwrap_or_default()),
        Ownership::Other { owner } => Err(conflict(format!(
            "The share {share} of the server belongs to DittoFSShare {owner}."
        ))),
        Ownership::Unreadable => Err(conflict(format!(
            "The server's setting {} cannot be read, so nobody can tell whose the share is.",
            crate::marker::key(share)
        ))),
        Ownership::None if world.shares.contains_key(share) => Err(conflict(format!(
            "The server has a share {share} that no DittoFSShare made."
        ))),
        Ownership::None => Ok(Marker::default()),
    }
}

/// Whether the volumes are others than those that the share was made on. The status tells those on which it was
/// last served; a DittoFSShare that was made anew has none, and then the marker counts.
fn replaced(wish: &Wish, before: &Marker) -> Option<Obstacle> {
    if wish.recreate_empty {
        return None;
    }
    let claim = wish.claims.iter().find(|now| {
        let told = wish.claims_before.iter().find(|told| told.name == now.name);
        let told = told.map(|told| &told.uid);
        told.or_else(|| before.claims.get(&now.name))
            .is_some_and(|uid| *uid != now.uid)
    })?;
    Some(Obstacle::new(
        Reason::DataVolumeReplaced,
        format!(
            "Claim {} is not the one that the share was made on: its files are gone. Bring the volume back, or set the annotation dittofs.io/recreate-empty: \"true\" to go on with what is there now.",
            claim.name
        ),
    ))
}

/// The claims that the marker is to tell of: one that the server's status does not show at the moment is not
/// forgotten.
fn claims(wish: &Wish, before: &Marker) -> BTreeMap<String, String> {
    let mut claims = before.claims.clone();
    let now = wish.claims.iter();
    claims.extend(now.map(|claim| (claim.name.clone(), claim.uid.clone())));
    claims
}

fn waiting() -> Obstacle {
    Obstacle::new(
        Reason::WaitingForStores,
        "The share waits for its stores: see StoresReady.",
    )
}

fn create(wish: &Wish, stores: &crate::stores::Stores) -> Step {
    let crate::stores::Stores {
        metadata,
        local,
        remote,
    } = stores;
    let mut options = wish.declared.options.clone();
    if holds_back(&wish.declared.nfs) {
        // The share opens once what guards it is in force.
        options.default_permission = None;
    }
    Step::CreateShare(Box::new(NewShare {
        name: wish.declared.share.clone(),
        metadata_store: metadata.0.clone(),
        local_block_store: local.0.clone(),
        remote_block_store: remote.as_ref().map(|(name, _)| name.clone()),
        owner: None,
        options,
    }))
}

/// Whether NFS options keep clients away, or make less of them than a new share does.
fn holds_back(nfs: &NfsOptionsChange) -> bool {
    let NfsOptionsChange {
        squash,
        anonymous_uid,
        anonymous_gid,
        allow_auth_sys,
        require_kerberos,
        min_kerberos_level,
        netgroup,
        disable_readdirplus: _,
    } = nfs;
    matches!(squash, Some(Squash::AllToGuest | Squash::AllToAdmin))
        || anonymous_uid.is_some()
        || anonymous_gid.is_some()
        || *allow_auth_sys == Some(false)
        || *require_kerberos == Some(true)
        || min_kerberos_level.is_some()
        || netgroup.is_some()
}

/// A share that the server has and does not serve. One that this process made, and that was not served
/// since, is made again, once in a while: it has nothing yet that its removal could take away. Of any other
/// nobody knows that: without its UUID the files would be lost.
fn unloaded(wish: &Wish, world: &World, turn: &Turn, id: &str, plan: &mut Plan) {
    let was_served = wish.known_id.as_deref() == Some(id) || !world.unserved.contains(id);
    plan.obstruct(
        Stage::Share,
        Obstacle::new(
            Reason::ShareNotLoaded,
            if was_served {
                "The server has the share and could not load it: see the server's log for why, mend it, and restart the server. A share that never held anything can be removed with the server's own tools, and is made again."
            } else {
                "The server has the share and could not load it: see the server's log for why. It is made again until it is served."
            },
        ),
    );
    if !was_served && !turn.created {
        plan.offer(turn, Stage::Share, Step::RemoveUnloaded, vec![]);
    }
}

/// Whether `options` change nothing.
fn is_empty(options: &ShareOptions) -> bool {
    *options == ShareOptions::default()
}
