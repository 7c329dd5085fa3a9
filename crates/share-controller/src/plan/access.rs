//! Options, permissions, accounts and limits of a share: which requests they need.

use std::collections::{BTreeMap, BTreeSet};

use adapter_client::{NfsOptionsChange, PermissionLevel, Share, UserChange};
use api_types::conditions::Reason;

use super::{Plan, Stage, Step, Turn, is_empty};
use crate::declared::{Grantee, netgroup};
use crate::drift::{self, Drift, PolicyChange};
use crate::marker::Marker;
use crate::wish::{Account, Obstacle, Wish, account, keeper};
use crate::world::{Keeper, World};

/// What of the access is ours to set, once what belongs to others is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Users with a permission.
    pub(super) users: BTreeSet<String>,
    /// Groups with a permission.
    pub(super) groups: BTreeSet<String>,
    /// Users whose account is kept.
    pub(super) accounts: BTreeSet<String>,
    /// The Secret and the key of the password of each of them, and of those that other shares of the namespace keep.
    pub(super) passwords: BTreeMap<String, String>,
    /// Whether a netgroup is kept.
    pub(super) netgroup: bool,
    /// Whether what holds clients back can be set: otherwise the share is not opened.
    guarded: bool,
}

pub(super) fn wanted(wish: &Wish, world: &World, before: &Marker, plan: &mut Plan) -> Wanted {
    let declared = &wish.declared;
    let share = &declared.share;
    let mut wanted = Wanted {
        guarded: true,
        ..Wanted::default()
    };
    for grantee in declared.grants.keys() {
        match grantee {
            Grantee::User(name) => wanted.users.insert(name.clone()),
            Grantee::Group(name) => wanted.groups.insert(name.clone()),
        };
    }
    let own = netgroup(share);
    if declared.clients.is_some() {
        let foreign = world.netgroups.contains_key(&own) && !before.netgroup && !wish.adopt;
        wanted.netgroup = !foreign;
        wanted.guarded = !foreign;
        if foreign {
            plan.obstruct(Stage::Access, conflict("netgroup", &own));
        }
    } else if let Some(named) = declared.nfs.netgroup.as_ref()
        && !world.netgroups.contains_key(named)
    {
        wanted.guarded = false;
        plan.obstruct(
            Stage::Access,
            Obstacle::new(
                Reason::GranteeMissing,
                format!(
                    "The server has no netgroup {named}: make it with the server's own tools, or list the addresses in access.nfs.clients. Until then nobody gets more access."
                ),
            ),
        );
    }
    for account in &wish.accounts {
        let Account { name, source, .. } = account;
        match custody(wish, world, name) {
            Custody::Ours => {
                wanted.accounts.insert(name.clone());
                wanted.passwords.insert(name.clone(), source.clone());
            }
            Custody::Shared(keeper) => {
                wanted.passwords.insert(name.clone(), source.clone());
                if let Some(obstacle) = differs(world, account, &keeper) {
                    plan.obstruct(Stage::Access, obstacle);
                }
            }
            Custody::Foreign => plan.obstruct(Stage::Access, conflict("user", name)),
        }
    }
    wanted
}

/// Who keeps an account that a spec asks for.
enum Custody {
    /// The share of this wish: it made the account, or is to make it, or takes it over.
    Ours,
    /// Another share of the namespace: this one gives the account its permission and nothing else.
    Shared(Keeper),
    /// Nobody of this namespace.
    Foreign,
}

fn custody(wish: &Wish, world: &World, user: &str) -> Custody {
    let Some(live) = world.users.get(user) else {
        return Custody::Ours;
    };
    let share = &wish.declared.share;
    match keeper(&live.display_name) {
        Some((namespace, _)) if namespace == wish.namespace => {
            if let Some(keeper) = world.keeper(share, user) {
                return Custody::Shared(keeper);
            }
            // Its keeper has let go: of those that ask for the account one takes it over.
            let heir = world.heir(share, namespace, user);
            let heir = heir.filter(|heir| heir.owner < wish.owner());
            return match heir {
                Some(heir) if live.display_name != wish.display_name() => Custody::Shared(heir),
                _ => Custody::Ours,
            };
        }
        _ => {}
    }
    if wish.adopt {
        Custody::Ours
    } else {
        Custody::Foreign
    }
}

/// Why an account cannot be both as `wanted` says and as its keeper does.
fn differs(world: &World, wanted: &Account, keeper: &Keeper) -> Option<Obstacle> {
    let Account {
        name,
        uid,
        gid,
        source,
        password: _,
    } = wanted;
    let live = world.users.get(name)?;
    let of_password = keeper.source.as_ref().filter(|theirs| *theirs != source);
    let what = if let Some((secret, key)) = of_password.and_then(|theirs| theirs.split_once('/')) {
        format!("its password from key {key} of Secret {secret}")
    } else if uid.is_some() && *uid != live.uid || gid.is_some() && *gid != live.gid {
        "another uid or gid".to_owned()
    } else {
        return None;
    };
    Some(Obstacle::new(
        Reason::AccountDiffers,
        format!(
            "The account {name} is kept by DittoFSShare {}, which gives it {what}. An account is the same for all shares of the server: name the same Secret, key, uid and gid in both, or another user. The permission is given all the same.",
            keeper.owner
        ),
    ))
}

/// Whether `user`, whom the marker of the share lists, is an account that was made for it: somebody else may
/// have made one of that name just before us.
pub(super) fn is_own_account(wish: &Wish, world: &World, user: &str) -> bool {
    let user = world.users.get(user);
    user.is_some_and(|user| user.display_name == wish.display_name())
}

fn conflict(what: &str, name: &str) -> Obstacle {
    Obstacle::new(
        Reason::NameConflict,
        format!(
            "The server has a {what} {name} that was not made for this share, and it is left as it is: choose another name, remove it with the server's own tools, or set the annotation dittofs.io/adopt: \"true\" to take it over."
        ),
    )
}

/// The access of a share that is served, while its stores cannot be told.
pub(super) fn only(wish: &Wish, world: &World, turn: &Turn, before: &Marker, plan: &mut Plan) {
    let Some(live) = world.shares.get(&wish.declared.share) else {
        return;
    };
    if live.status.status == adapter_client::HealthStatus::Unknown {
        return super::unloaded(wish, world, turn, &live.id, plan);
    }
    let access = wanted(wish, world, before, plan);
    let next = Marker {
        namespace: wish.namespace.clone(),
        name: wish.name.clone(),
        uid: wish.uid.clone(),
        stores: before.stores.clone(),
        fields: drift::declared(&wish.declared.options, &wish.declared.nfs),
        users: access.users.clone(),
        groups: access.groups.clone(),
        accounts: access.accounts.clone(),
        passwords: access.passwords.clone(),
        netgroup: access.netgroup,
        policy: wish.declared.policy.is_some(),
        claims: super::claims(wish, before),
    };
    let both = before.and(&next);
    if both != *before {
        let step = Step::PutMarker(Box::new(both));
        plan.offer(turn, Stage::Share, step, vec![]);
        return;
    }
    steps(wish, world, turn, before, live, &access, plan);
}

/// The requests, in their order: what holds clients back before what lets them in.
pub(super) fn steps(
    wish: &Wish,
    world: &World,
    turn: &Turn,
    before: &Marker,
    live: &Share,
    wanted: &Wanted,
    plan: &mut Plan,
) {
    let share = &wish.declared.share;
    let details = world.details(share);
    let mut guarded = wanted.guarded;
    if wanted.netgroup {
        guarded &= !members(wish, world, turn, plan);
    }
    guarded &= !nfs(wish, turn, before, details.nfs.as_ref(), wanted, plan);
    if wanted.netgroup && plan.next.is_none() {
        superfluous(wish, world, turn, plan);
    }
    options(wish, turn, before, live, guarded, plan);
    for account in &wish.accounts {
        if wanted.accounts.contains(&account.name) {
            keep_account(wish, world, turn, account, plan);
        }
    }
    let has_grants = !wish.declared.grants.is_empty() || !before.grantees().is_empty();
    if has_grants {
        match &details.permissions {
            None => plan.offer(turn, Stage::Access, Step::ReadPermissions, vec![]),
            Some(live) => grants(wish, world, turn, before, live, plan),
        }
    }
    for user in before.accounts.difference(&wanted.accounts) {
        let kept = wish.accounts.iter().any(|account| account.name == *user);
        if is_own_account(wish, world, user) && !kept && !world.is_kept_by_another(share, user) {
            let step = Step::DeleteUser(user.clone());
            plan.offer(turn, Stage::Access, step, vec![]);
        }
    }
    if before.netgroup && !wanted.netgroup && plan.next.is_none() {
        let used = details
            .nfs
            .as_ref()
            .is_some_and(|nfs| nfs.netgroup == netgroup(share));
        if world.netgroups.contains_key(&netgroup(share)) && !used {
            plan.offer(turn, Stage::Access, Step::DeleteNetgroup, vec![]);
        }
    }
    let live = world.policies.get(share);
    match drift::policy(wish.declared.policy.as_ref(), before.policy, live) {
        PolicyChange::Keep => {}
        PolicyChange::Put(rules) => {
            let fields = vec!["snapshotPolicy".to_owned()];
            plan.offer(turn, Stage::Access, Step::PutPolicy(rules), fields);
        }
        PolicyChange::Remove => plan.offer(turn, Stage::Access, Step::DeletePolicy, vec![]),
    }
}

/// The netgroup and the members that it lacks. Returns whether something is left to do.
fn members(wish: &Wish, world: &World, turn: &Turn, plan: &mut Plan) -> bool {
    let Some(clients) = &wish.declared.clients else {
        return false;
    };
    let Some(live) = world.netgroups.get(&netgroup(&wish.declared.share)) else {
        plan.offer(turn, Stage::Access, Step::CreateNetgroup, vec![]);
        return true;
    };
    let mut left = false;
    for value in drift::members(clients, live).add {
        let fields = vec!["access.nfs.clients".to_owned()];
        plan.offer(turn, Stage::Access, Step::AddMember(value), fields);
        left = true;
    }
    left
}

/// Members of the netgroup that nobody declared.
fn superfluous(wish: &Wish, world: &World, turn: &Turn, plan: &mut Plan) {
    let Some(clients) = &wish.declared.clients else {
        return;
    };
    let Some(live) = world.netgroups.get(&netgroup(&wish.declared.share)) else {
        return;
    };
    for id in drift::members(clients, live).remove {
        let fields = vec!["access.nfs.clients".to_owned()];
        plan.offer(turn, Stage::Access, Step::RemoveMember(id), fields);
    }
}

/// The NFS options. Returns whether something is left to do.
fn nfs(
    wish: &Wish,
    turn: &Turn,
    before: &Marker,
    live: Option<&adapter_client::NfsOptions>,
    wanted: &Wanted,
    plan: &mut Plan,
) -> bool {
    let mut declared = wish.declared.nfs.clone();
    let mut set = before.fields.clone();
    if !wanted.guarded {
        // The netgroup is not there, or not ours: whoever was held back before is so until it is.
        declared.netgroup = None;
        set.remove("access.nfs.netgroup");
    }
    let concerned = declared != NfsOptionsChange::default()
        || before
            .fields
            .iter()
            .any(|field| field.starts_with("access.nfs."));
    if !concerned {
        return false;
    }
    let Some(live) = live else {
        let step = match turn.created {
            // Nothing can be in the way: all of it is sent.
            true => Step::PatchNfs(declared),
            false => Step::ReadNfs,
        };
        plan.offer(turn, Stage::Access, step, vec![]);
        return true;
    };
    let drift = drift::nfs(&declared, &set, live);
    let fields = named(&drift);
    let Some(change) = drift.change else {
        return false;
    };
    plan.offer(turn, Stage::Access, Step::PatchNfs(change), fields);
    true
}

fn named<T>(drift: &Drift<T>) -> Vec<String> {
    drift
        .differs
        .iter()
        .map(|&field| field.to_owned())
        .collect()
}

fn options(
    wish: &Wish,
    turn: &Turn,
    before: &Marker,
    live: &Share,
    guarded: bool,
    plan: &mut Plan,
) {
    let mut drift = drift::options(&wish.declared.options, &before.fields, live);
    let fields = named(&drift);
    let Some(change) = &mut drift.change else {
        return;
    };
    if !guarded && change.default_permission != Some(PermissionLevel::None) {
        // The share opens once what guards it is in force.
        change.default_permission = None;
    }
    if !is_empty(change) {
        let step = Step::UpdateShare(Box::new(change.clone()));
        plan.offer(turn, Stage::Access, step, fields);
    }
}

fn keep_account(wish: &Wish, world: &World, turn: &Turn, wanted: &Account, plan: &mut Plan) {
    let Account {
        name,
        uid,
        gid,
        source: _,
        password,
    } = wanted;
    let password = match password {
        Ok((password, version)) => Some((password, version)),
        Err(obstacle) => {
            plan.obstruct(Stage::Access, obstacle.clone());
            None
        }
    };
    let Some(live) = world.users.get(name) else {
        if let Some((password, version)) = password {
            let step = Step::CreateUser {
                name: name.clone(),
                password: password.clone(),
                version: version.clone(),
                uid: *uid,
                gid: *gid,
            };
            plan.offer(turn, Stage::Access, step, vec![]);
        }
        return;
    };
    let shown = wish.display_name();
    let change = UserChange {
        uid: uid.filter(|uid| live.uid != Some(*uid)),
        gid: gid.filter(|gid| live.gid != Some(*gid)),
        display_name: (live.display_name != shown).then_some(shown),
        ..UserChange::default()
    };
    if change != UserChange::default() {
        // Taken over from a share that kept it before: nobody changed anything then.
        let fields = match keeper(&live.display_name) {
            Some(_) if change.display_name.is_some() => vec![],
            _ => vec![format!("access.users[{name}]")],
        };
        let step = Step::UpdateUser(name.clone(), change);
        plan.offer(turn, Stage::Access, step, fields);
    }
    if let Some((password, version)) = password
        && turn.pushed.get(&account(name)) != Some(version)
    {
        let step = Step::SetPassword(name.clone(), password.clone(), version.clone());
        plan.offer(turn, Stage::Access, step, vec![]);
    }
}

fn grants(
    wish: &Wish,
    world: &World,
    turn: &Turn,
    before: &Marker,
    live: &[adapter_client::Permission],
    plan: &mut Plan,
) {
    let mut declared: BTreeMap<Grantee, PermissionLevel> = wish.declared.grants.clone();
    let missing: Vec<Grantee> = declared
        .keys()
        .filter(|grantee| match grantee {
            Grantee::User(name) => !world.users.contains_key(name),
            Grantee::Group(name) => !world.groups.contains(name),
        })
        .cloned()
        .collect();
    for grantee in missing {
        declared.remove(&grantee);
        let kept = wish
            .accounts
            .iter()
            .any(|account| grantee == Grantee::User(account.name.clone()));
        if !kept {
            plan.obstruct(
                Stage::Access,
                Obstacle::new(
                    Reason::GranteeMissing,
                    format!(
                        "The server has no {grantee}: make it with the server's own tools, or remove it from the spec. A user with passwordSecretRef is made by the operator."
                    ),
                ),
            );
        }
    }
    let changes = drift::grants(&declared, &before.grantees(), live);
    for (grantee, level) in changes.set {
        let fields = vec![match &grantee {
            Grantee::User(name) => format!("access.users[{name}]"),
            Grantee::Group(name) => format!("access.groups[{name}]"),
        }];
        plan.offer(turn, Stage::Access, Step::Grant(grantee, level), fields);
    }
    for grantee in changes.remove {
        if !wish.declared.grants.contains_key(&grantee) {
            plan.offer(turn, Stage::Access, Step::Revoke(grantee), vec![]);
        }
    }
}
