//! Taking a share out of the server, with what was made for it and nothing else.

use adapter_client::{HealthStatus, Tier};

use super::access::is_own_account;
use super::{Plan, Stage, Step, Turn};
use crate::marker::{Marker, Ownership, StoreKind};
use crate::wish::Wish;
use crate::world::World;

pub(super) fn plan(wish: &Wish, world: &World, turn: &Turn) -> Plan {
    let mut plan = Plan::default();
    let share = &wish.declared.share;
    let value = world.marker(share);
    let Ownership::Ours(marker) = Marker::read(value, &wish.namespace, &wish.name) else {
        // Nothing there was made for this DittoFSShare.
        plan.gone = true;
        return plan;
    };
    if let Some(live) = world.shares.get(share) {
        if live.enabled && live.status.status != HealthStatus::Unknown {
            plan.offer(turn, Stage::Share, Step::Disable, vec![]);
            return plan;
        }
        let drained = turn.done.contains(&Step::Drain.id());
        if live.remote_block_store_id.is_some() && !drained {
            plan.offer(turn, Stage::Share, Step::Drain, vec![]);
            return plan;
        }
        plan.offer(turn, Stage::Share, Step::DeleteShare, vec![]);
        return plan;
    }
    for kind in &marker.stores {
        if let Some(step) = store(world, share, *kind) {
            plan.offer(turn, Stage::Stores, step, vec![]);
        }
    }
    if marker.netgroup && world.netgroups.contains_key(share) {
        plan.offer(turn, Stage::Access, Step::DeleteNetgroup, vec![]);
    }
    for user in &marker.accounts {
        if is_own_account(wish, world, user) && !world.is_kept_by_another(share, user) {
            let step = Step::DeleteUser(user.clone());
            plan.offer(turn, Stage::Access, step, vec![]);
        }
    }
    if plan.is_clear() && turn.failed.is_empty() {
        plan.offer(turn, Stage::Share, Step::DeleteMarker, vec![]);
    }
    plan
}

/// The removal of a store that was made for the share, unless another share uses it.
fn store(world: &World, share: &str, kind: StoreKind) -> Option<Step> {
    let shares = || world.shares.values();
    match kind {
        StoreKind::Metadata => {
            let store = world.metadata.get(share)?;
            let used = shares().any(|other| other.metadata_store_id == store.id);
            (!used).then_some(Step::DeleteMetadata)
        }
        StoreKind::Local => {
            let store = world.local.get(share)?;
            let used = shares().any(|other| other.local_block_store_id == store.id);
            (!used).then_some(Step::DeleteBlock(Tier::Local))
        }
        StoreKind::Remote => {
            let store = world.remote.get(share)?;
            let used =
                shares().any(|other| other.remote_block_store_id.as_ref() == Some(&store.id));
            (!used).then_some(Step::DeleteBlock(Tier::Remote))
        }
    }
}
