//! A server of the tests of the plan: what each request makes of a [`World`]. It decides nothing about what
//! the real one does; that is tried elsewhere.

use adapter_client::{
    BlockStore, BlockStoreConfig, GranteeType, HealthReport, HealthStatus, Milliseconds, Netgroup,
    NetgroupMember, NetgroupMemberType, NfsOptionsChange, Permission, ReportedSize, Share,
    ShareOptions, SnapshotPolicy, Tier, User,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Plan, Step, Turn, plan};
use crate::declared::Grantee;
use crate::drift::fresh;
use crate::wish::{BUCKET, DATABASE, Wish, account};
use crate::world::{Details, World};

const TIME: &str = "2026-11-21T16:58:39Z";

/// Carries out what is planned until nothing is, but at most `most` requests; gives the last plan and the
/// requests.
pub(crate) fn run(wish: &Wish, world: &mut World, most: usize) -> (Plan, Vec<Step>) {
    let mut turn = Turn {
        pushed: wish.pushed.clone(),
        ..Turn::default()
    };
    let mut steps = Vec::new();
    // What no list tells is not known to a new process.
    world.details.clear();
    world.unserved.clear();
    loop {
        let plan = plan(wish, world, &turn);
        let Some(next) = &plan.next else {
            return (plan, steps);
        };
        if steps.len() == most {
            return (plan, steps);
        }
        assert!(steps.len() < 200, "it never ends: {steps:?}");
        let step = next.step.clone();
        carry_out(wish, world, &mut turn, &step);
        turn.done.insert(step.id());
        steps.push(step);
    }
}

fn status() -> HealthReport {
    HealthReport {
        status: HealthStatus::Healthy,
        message: String::new(),
        checked_at: Timestamp::UNIX_EPOCH,
        latency: Milliseconds(0),
    }
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn masked(config: impl serde::Serialize) -> Value {
    let mut config = serde_json::to_value(config).unwrap();
    for (key, value) in config.as_object_mut().unwrap() {
        if key.contains("secret") || key.contains("password") || key.ends_with("_key") {
            *value = "********".into();
        }
    }
    config
}

fn block(name: &str, config: &BlockStoreConfig) -> BlockStore {
    let tier = config.tier().as_str();
    of(
        json!({"id": format!("{tier} {name}"), "name": name, "kind": tier, "type": config.kind(),
        "config": masked(config), "created_at": TIME,
        "status": {"status": "healthy", "checked_at": TIME}}),
    )
}

fn set(share: &mut Share, options: &ShareOptions) {
    let ShareOptions {
        read_only,
        default_permission,
        quota_bytes,
        encrypt_data,
        ..
    } = options.clone();
    share.read_only = read_only.unwrap_or(share.read_only);
    share.encrypt_data = encrypt_data.unwrap_or(share.encrypt_data);
    if let Some(level) = default_permission {
        share.default_permission = level;
    }
    if let Some(size) = quota_bytes {
        share.quota_bytes = (size.0 > 0).then_some(ReportedSize {
            bytes: size.0,
            tolerance: 0,
        });
    }
}

fn details<'a>(world: &'a mut World, share: &str) -> &'a mut Details {
    world.details.entry(share.to_owned()).or_default()
}

/// The permissions and NFS options that the model keeps where no list tells of them.
fn hidden(world: &World, share: &str) -> Details {
    let value = world.markers.get(&format!("model {share}"));
    let value: Value = value
        .map(|value| serde_json::from_str(value).unwrap())
        .unwrap_or_default();
    let mut nfs = fresh::nfs();
    if let Some(squash) = value["squash"].as_str() {
        nfs.squash = of(squash.into());
    }
    if let Some(netgroup) = value["group"].as_str() {
        netgroup.clone_into(&mut nfs.netgroup);
    }
    let grants = value["grants"].as_object().cloned().unwrap_or_default();
    let permissions = grants.into_iter().map(|(name, level)| {
        let (kind, name) = name.split_once(' ').unwrap();
        Permission {
            kind: match kind {
                "user" => GranteeType::User,
                _ => GranteeType::Group,
            },
            name: name.to_owned(),
            level: of(level),
            sid: None,
            is_group: None,
        }
    });
    Details {
        permissions: Some(permissions.collect()),
        nfs: Some(nfs),
    }
}

fn hide(world: &mut World, share: &str, change: impl FnOnce(&mut Value)) {
    let key = format!("model {share}");
    let value = world.markers.get(&key);
    let mut value: Value = value
        .map(|value| serde_json::from_str(value).unwrap())
        .unwrap_or_else(|| json!({"grants": {}, "namespace": "m", "name": "m", "uid": "m"}));
    change(&mut value);
    world.markers.insert(key, value.to_string());
}

#[allow(clippy::too_many_lines)]
fn carry_out(wish: &Wish, world: &mut World, turn: &mut Turn, step: &Step) {
    let share = wish.declared.share.as_str();
    let mut push = |what: &str, version: &Option<crate::wish::Version>| {
        if let Some(version) = version {
            turn.pushed.insert(what.to_owned(), version.clone());
        }
    };
    match step {
        Step::PutMarker(marker) => {
            world.markers.insert(share.to_owned(), marker.write());
        }
        Step::DeleteMarker => {
            world.markers.remove(share);
        }
        Step::CreateMetadata(config, version) => {
            let store = of(json!({"id": format!("metadata {share}"), "name": share,
                "type": config.kind(), "config": masked(config), "created_at": TIME,
                "status": {"status": "healthy", "checked_at": TIME}}));
            assert!(world.metadata.insert(share.to_owned(), store).is_none());
            push(DATABASE, version);
        }
        Step::UpdateMetadata(_, version) => push(DATABASE, &Some(version.clone())),
        Step::DeleteMetadata => {
            let used = world.shares.values();
            let id = format!("metadata {share}");
            assert!(used.into_iter().all(|share| share.metadata_store_id != id));
            world.metadata.remove(share);
        }
        Step::CreateBlock(config, version) => {
            let store = block(share, config);
            let before = world
                .blocks_mut(config.tier())
                .insert(share.to_owned(), store);
            assert!(before.is_none());
            if config.tier() == Tier::Remote {
                push(BUCKET, version);
            }
        }
        Step::UpdateBlock(name, config, version) => {
            let store = block(name, config);
            world.blocks_mut(config.tier()).insert(name.clone(), store);
            push(BUCKET, version);
        }
        Step::DeleteBlock(tier) => {
            world.blocks_mut(*tier).remove(share);
        }
        Step::CreateShare(new) => {
            let mut made = fresh::share();
            made.id = format!("share {share}");
            made.name = format!("/{share}");
            made.metadata_store_id = world.metadata[&new.metadata_store].id.clone();
            made.local_block_store_id = world.local[&new.local_block_store].id.clone();
            made.remote_block_store_id = new
                .remote_block_store
                .as_ref()
                .map(|name| world.remote[name].id.clone());
            set(&mut made, &new.options);
            world.shares.insert(share.to_owned(), made);
            turn.created = true;
            details(world, share).permissions = Some(Vec::new());
        }
        Step::ReadStatus => world.shares.get_mut(share).unwrap().status = status(),
        Step::RemoveUnloaded | Step::DeleteShare => {
            world.shares.remove(share);
            world.details.remove(share);
            world.policies.remove(share);
            world.markers.remove(&format!("model {share}"));
        }
        Step::Disable => world.shares.get_mut(share).unwrap().enabled = false,
        Step::Enable => world.shares.get_mut(share).unwrap().enabled = true,
        Step::Drain => {}
        Step::ReadPermissions => {
            let hidden = hidden(world, share);
            details(world, share).permissions = hidden.permissions;
        }
        Step::ReadNfs => {
            let hidden = hidden(world, share);
            details(world, share).nfs = hidden.nfs;
        }
        Step::PatchNfs(change) => {
            let NfsOptionsChange {
                squash, netgroup, ..
            } = change;
            if let Some(netgroup) = netgroup {
                assert!(netgroup.is_empty() || world.netgroups.contains_key(netgroup));
            }
            hide(world, share, |value| {
                if let Some(squash) = squash {
                    value["squash"] = squash.as_str().into();
                }
                if let Some(netgroup) = netgroup {
                    value["group"] = netgroup.as_str().into();
                }
            });
            let hidden = hidden(world, share);
            details(world, share).nfs = hidden.nfs;
        }
        Step::UpdateShare(options) => set(world.shares.get_mut(share).unwrap(), options),
        Step::CreateNetgroup => {
            let made: Netgroup = of(json!({"id": "n", "name": share, "members": [],
                "created_at": TIME, "updated_at": TIME}));
            assert!(world.netgroups.insert(share.to_owned(), made).is_none());
        }
        Step::AddMember(value) => {
            let member = NetgroupMember {
                id: format!("member {value}"),
                kind: NetgroupMemberType::Cidr,
                value: value.clone(),
            };
            let netgroup = world.netgroups.get_mut(share).unwrap();
            netgroup.members.push(member);
        }
        Step::RemoveMember(id) => {
            let netgroup = world.netgroups.get_mut(share).unwrap();
            netgroup.members.retain(|member| member.id != *id);
        }
        Step::DeleteNetgroup => {
            world.netgroups.remove(share);
        }
        Step::CreateUser {
            name,
            version,
            uid,
            gid,
            ..
        } => {
            let made: User = of(
                json!({"id": name, "username": name, "role": "user", "enabled": true,
                "must_change_password": false, "created_at": TIME, "uid": uid, "gid": gid,
                "display_name": wish.display_name()}),
            );
            assert!(world.users.insert(name.clone(), made).is_none());
            push(&account(name), &Some(version.clone()));
        }
        Step::UpdateUser(name, change) => {
            let user = world.users.get_mut(name).unwrap();
            user.uid = change.uid.or(user.uid);
            user.gid = change.gid.or(user.gid);
            if let Some(shown) = &change.display_name {
                user.display_name.clone_from(shown);
            }
        }
        Step::SetPassword(name, _, version) => push(&account(name), &Some(version.clone())),
        Step::DeleteUser(name) => {
            world.users.remove(name);
        }
        Step::Grant(grantee, level) => {
            if let Grantee::User(name) = grantee {
                assert!(world.users.contains_key(name));
            }
            hide(world, share, |value| {
                value["grants"][grantee.to_string()] = level.as_str().into();
            });
            let hidden = hidden(world, share);
            details(world, share).permissions = hidden.permissions;
        }
        Step::Revoke(grantee) => {
            hide(world, share, |value| {
                let grants = value["grants"].as_object_mut().unwrap();
                grants.remove(&grantee.to_string());
            });
            let hidden = hidden(world, share);
            details(world, share).permissions = hidden.permissions;
        }
        Step::PutPolicy(rules) => {
            let made: SnapshotPolicy = of(json!({"share": format!("/{share}"),
                "enabled": rules.enabled, "interval": rules.interval.to_string(),
                "keep_last": rules.keep_last, "name_prefix": rules.name_prefix,
                "created_at": TIME, "updated_at": TIME}));
            world.policies.insert(share.to_owned(), made);
        }
        Step::DeletePolicy => {
            world.policies.remove(share);
        }
    }
}
