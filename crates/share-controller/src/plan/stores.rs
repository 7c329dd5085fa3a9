//! The stores of a share: which requests they need.

use std::collections::BTreeSet;

use adapter_client::{BlockStoreConfig, HealthStatus, Share, Tier};
use api_types::conditions::Reason;

use super::{Plan, Stage, Step, Turn};
use crate::marker::{Marker, StoreKind};
use crate::stores::Stores;
use crate::wish::{BUCKET, DATABASE, Obstacle, Wish};
use crate::world::World;

/// What the stores need.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The stores that are made for the share, or were.
    pub(super) kinds: BTreeSet<StoreKind>,
    /// The requests, in their order.
    pub(super) steps: Vec<Step>,
    /// Whether the share can be made once they are carried out.
    pub(super) complete: bool,
}

pub(super) fn wanted(
    wish: &Wish,
    world: &World,
    turn: &Turn,
    stores: &Stores,
    before: &Marker,
    plan: &mut Plan,
) -> Wanted {
    let mut wanted = Wanted {
        // What was made once and is not needed any more is removed with the share.
        kinds: before.stores.clone(),
        steps: Vec::new(),
        complete: true,
    };
    let live = world.shares.get(&wish.declared.share);
    metadata(wish, world, turn, stores, before, live, &mut wanted, plan);
    let (name, config) = &stores.local;
    block(
        wish,
        world,
        turn,
        (name, config),
        before,
        live,
        &mut wanted,
        plan,
    );
    if let Some((name, config)) = &stores.remote {
        let store = (name, config);
        block(wish, world, turn, store, before, live, &mut wanted, plan);
    }
    wanted
}

fn is_ours(wish: &Wish, before: &Marker, kind: StoreKind) -> bool {
    wish.adopt || before.stores.contains(&kind)
}

fn conflict(wanted: &mut Wanted, plan: &mut Plan, what: &str, name: &str) {
    wanted.complete = false;
    plan.obstruct(
        Stage::Stores,
        Obstacle::new(
            Reason::NameConflict,
            format!(
                "The server has a {what} {name} that was not made for this share. Nothing is changed: remove it with the server's own tools, or set the annotation dittofs.io/adopt: \"true\" to use it."
            ),
        ),
    );
}

fn differs(wanted: &mut Wanted, plan: &mut Plan, what: &str, name: &str) {
    wanted.complete = false;
    plan.obstruct(
        Stage::Stores,
        Obstacle::new(
            Reason::StoreDiffers,
            format!(
                "The {what} {name} of the server is not the one that the spec describes, and a store cannot be changed into another one: correct the spec, or, if no share uses the store, remove it with the server's own tools."
            ),
        ),
    );
}

#[allow(clippy::too_many_arguments)]
fn metadata(
    wish: &Wish,
    world: &World,
    turn: &Turn,
    stores: &Stores,
    before: &Marker,
    live: Option<&Share>,
    wanted: &mut Wanted,
    plan: &mut Plan,
) {
    const WHAT: &str = "metadata store";
    let (name, config) = &stores.metadata;
    let used = live.and_then(|share| {
        let mut stores = world.metadata.values();
        stores.find(|store| store.id == share.metadata_store_id)
    });
    let named = world.metadata.get(name);
    let Some(config) = config else {
        match (named, used) {
            (None, _) => {
                wanted.complete = false;
                plan.obstruct(
                    Stage::Stores,
                    Obstacle::new(
                        Reason::StoreMissing,
                        format!(
                            "The server has no metadata store {name}: make it with the server's own tools, or correct metadataStore.existing.name of a new DittoFSShare."
                        ),
                    ),
                );
            }
            (Some(named), Some(used)) if named.id != used.id => {
                differs(wanted, plan, WHAT, &used.name);
            }
            _ => {}
        }
        return;
    };
    let Some(found) = used.or(named) else {
        let mut others = world.metadata.values();
        if let Some(other) = others.find(|other| crate::stores::is_in_one_database(config, other)) {
            wanted.complete = false;
            return plan.obstruct(
                Stage::Stores,
                Obstacle::new(
                    Reason::DatabaseInUse,
                    format!(
                        "The metadata store {} of the server lies in this PostgreSQL database, and two in one destroy each other's data: name another database.",
                        other.name
                    ),
                ),
            );
        }
        wanted.kinds.insert(StoreKind::Metadata);
        let version = wish.versions.get(DATABASE).cloned();
        let step = Step::CreateMetadata(config.clone(), version);
        wanted.steps.push(step);
        return;
    };
    let own_name = found.name == *name;
    if own_name && !is_ours(wish, before, StoreKind::Metadata) {
        return conflict(wanted, plan, WHAT, name);
    }
    if own_name {
        wanted.kinds.insert(StoreKind::Metadata);
    }
    let same = config.matches(found);
    let may_become = own_name && crate::stores::is_in_one_database(config, found);
    if !same && !may_become {
        return differs(wanted, plan, WHAT, &found.name);
    }
    if let Some(version) = wish.versions.get(DATABASE)
        && own_name
        && (!same || turn.pushed.get(DATABASE) != Some(version))
    {
        let step = Step::UpdateMetadata(config.clone(), version.clone());
        wanted.steps.push(step);
    }
}

#[allow(clippy::too_many_arguments)]
fn block(
    wish: &Wish,
    world: &World,
    turn: &Turn,
    (name, config): (&String, &BlockStoreConfig),
    before: &Marker,
    live: Option<&Share>,
    wanted: &mut Wanted,
    plan: &mut Plan,
) {
    let tier = config.tier();
    let (kind, what) = match tier {
        Tier::Local => (StoreKind::Local, "local block store"),
        Tier::Remote => (StoreKind::Remote, "remote block store"),
    };
    let all = world.blocks(tier);
    let used = live
        .and_then(|share| match tier {
            Tier::Local => Some(&share.local_block_store_id),
            Tier::Remote => share.remote_block_store_id.as_ref(),
        })
        .and_then(|id| all.values().find(|store| store.id == *id));
    let version = match tier {
        Tier::Local => None,
        Tier::Remote => wish.versions.get(BUCKET),
    };
    let Some(found) = used.or_else(|| all.get(name)) else {
        wanted.kinds.insert(kind);
        let step = Step::CreateBlock(config.clone(), version.cloned());
        wanted.steps.push(step);
        return;
    };
    let own_name = found.name == *name;
    if own_name && !is_ours(wish, before, kind) {
        return conflict(wanted, plan, what, name);
    }
    if own_name {
        wanted.kinds.insert(kind);
    }
    let outdated = version.is_some_and(|version| turn.pushed.get(BUCKET) != Some(version));
    let same = config.matches(found);
    if !same && !crate::stores::may_become(config, found) {
        return differs(wanted, plan, what, &found.name);
    }
    if !same || (outdated && own_name) {
        let step = Step::UpdateBlock(found.name.clone(), config.clone(), version.cloned());
        wanted.steps.push(step);
    }
}

/// Notes a store of the share that does not work.
pub(super) fn health(world: &World, live: &Share, plan: &mut Plan) {
    let metadata = world
        .metadata
        .values()
        .filter(|store| store.id == live.metadata_store_id)
        .map(|store| ("metadata store", &store.name, &store.status));
    let local = world
        .local
        .values()
        .filter(|store| store.id == live.local_block_store_id)
        .map(|store| ("local block store", &store.name, &store.status));
    let remote = world
        .remote
        .values()
        .filter(|store| Some(&store.id) == live.remote_block_store_id.as_ref())
        .map(|store| ("remote block store", &store.name, &store.status));
    for (what, name, status) in metadata.chain(local).chain(remote) {
        if status.status == HealthStatus::Unhealthy {
            plan.obstruct(
                Stage::Stores,
                Obstacle::new(
                    Reason::StoreUnhealthy,
                    format!(
                        "The server says that the {what} {name} does not work: see the server's log. What can be served without it is."
                    ),
                ),
            );
        }
    }
}
