//! Sends one request of a plan and takes its answer into the world.

use adapter_client::{
    Client, Error, GranteeType, HealthStatus, MetadataStore, MetadataStoreConfig,
    NetgroupMemberType, NewUser, Permission, Share, ShareChange, Tier,
};

use crate::declared::{Grantee, netgroup};
use crate::marker;
use crate::plan::{Step, Turn};
use crate::wish::{BUCKET, DATABASE, Version, Wish, account};
use crate::world::{Details, World, bare};

/// What an answer changes of what is known.
pub type Effect = Box<dyn FnOnce(&mut World, &mut Turn) + Send>;

/// Sends `step` for the share of `wish`. The server is asked with `client`.
///
/// # Errors
/// What the call says. Of a step of two calls the second fails alone: then the first has no effect, or it is
/// found when the server is read again.
pub async fn carry_out(client: &Client, wish: &Wish, step: Step) -> Result<Effect, Error> {
    let share = wish.declared.share.clone();
    Ok(match step {
        Step::PutMarker(marker) => {
            let value = marker.write();
            client.settings().put(&marker::key(&share), &value).await?;
            effect(move |world, _| {
                world.markers.insert(share, value);
            })
        }
        Step::DeleteMarker => {
            gone(client.settings().delete(&marker::key(&share)).await)?;
            effect(move |world, _| {
                world.markers.remove(&share);
            })
        }
        Step::CreateMetadata(config, version) => {
            let store = create_metadata(client, &share, &config).await?;
            effect(move |world, turn| {
                world.metadata.insert(store.name.clone(), store);
                push(turn, DATABASE, version);
            })
        }
        Step::UpdateMetadata(config, version) => {
            let store = client.metadata_stores().update(&share, &config).await?;
            effect(move |world, turn| {
                world.metadata.insert(store.name.clone(), store);
                push(turn, DATABASE, Some(version));
            })
        }
        Step::DeleteMetadata => {
            gone(client.metadata_stores().delete(&share).await)?;
            effect(move |world, _| {
                world.metadata.remove(&share);
            })
        }
        Step::CreateBlock(config, version) => {
            let store = client.block_stores().create(&share, &config).await?;
            let tier = config.tier();
            effect(move |world, turn| {
                world.blocks_mut(tier).insert(store.name.clone(), store);
                push_of_tier(turn, tier, version);
            })
        }
        Step::UpdateBlock(name, config, version) => {
            let store = client.block_stores().update(&name, &config).await?;
            let tier = config.tier();
            effect(move |world, turn| {
                world.blocks_mut(tier).insert(store.name.clone(), store);
                push_of_tier(turn, tier, version);
            })
        }
        Step::DeleteBlock(tier) => {
            gone(client.block_stores().delete(tier, &share).await)?;
            effect(move |world, _| {
                world.blocks_mut(tier).remove(&share);
            })
        }
        Step::CreateShare(new) => {
            let made = client.shares().create(&new).await?;
            effect(move |world, turn| {
                turn.created = true;
                let details = Details {
                    permissions: Some(Vec::new()),
                    nfs: None,
                };
                world.details.insert(share, details);
                shown(world, made);
            })
        }
        Step::ReadStatus => {
            let status = client.shares().status(&share).await?;
            effect(move |world, _| {
                if let Some(share) = world.shares.get_mut(&share) {
                    share.status = status;
                }
            })
        }
        Step::RemoveUnloaded => remove_unloaded(client, share).await?,
        Step::Disable => {
            let changed = client.shares().disable(&share).await?;
            effect(move |world, _| shown(world, changed))
        }
        Step::Enable => {
            let changed = client.shares().enable(&share).await?;
            effect(move |world, _| shown(world, changed))
        }
        Step::Drain => {
            client.system().drain_uploads().await?;
            effect(|_, _| {})
        }
        Step::DeleteShare => {
            gone(client.shares().delete(&share).await)?;
            effect(move |world, _| removed(world, &share))
        }
        Step::ReadPermissions => {
            let permissions = client.permissions().list(&share).await?;
            effect(move |world, _| {
                world.details.entry(share).or_default().permissions = Some(permissions);
            })
        }
        Step::ReadNfs => {
            let options = client.nfs_options().get(&share).await?;
            effect(move |world, _| {
                world.details.entry(share).or_default().nfs = Some(options);
            })
        }
        Step::PatchNfs(change) => {
            let options = client.nfs_options().patch(&share, &change).await?;
            effect(move |world, _| {
                world.details.entry(share).or_default().nfs = Some(options);
            })
        }
        Step::UpdateShare(options) => {
            let change = ShareChange {
                options: *options,
                ..ShareChange::default()
            };
            let changed = client.shares().update(&share, &change).await?;
            effect(move |world, _| shown(world, changed))
        }
        Step::CreateNetgroup => {
            let made = client.netgroups().create(&netgroup(&share)).await?;
            effect(move |world, _| {
                world.netgroups.insert(made.name.clone(), made);
            })
        }
        Step::AddMember(value) => {
            let name = netgroup(&share);
            let kind = NetgroupMemberType::Cidr;
            let member = client.netgroups().add_member(&name, &kind, &value).await?;
            effect(move |world, _| {
                if let Some(netgroup) = world.netgroups.get_mut(&name) {
                    netgroup.members.push(member);
                }
            })
        }
        Step::RemoveMember(id) => {
            let name = netgroup(&share);
            gone(client.netgroups().remove_member(&name, &id).await)?;
            effect(move |world, _| {
                if let Some(netgroup) = world.netgroups.get_mut(&name) {
                    netgroup.members.retain(|member| member.id != id);
                }
            })
        }
        Step::DeleteNetgroup => {
            let name = netgroup(&share);
            match client.netgroups().delete(&name).await {
                // Somebody uses it for another share by now.
                Err(Error::Conflict { .. }) => {}
                result => gone(result)?,
            }
            effect(move |world, _| {
                world.netgroups.remove(&name);
            })
        }
        Step::CreateUser {
            name,
            password,
            version,
            uid,
            gid,
        } => {
            let new = NewUser {
                uid,
                gid,
                display_name: wish.display_name(),
                ..NewUser::new(name.clone(), password)
            };
            let made = client.users().create(&new).await?;
            effect(move |world, turn| {
                world.users.insert(made.username.clone(), made);
                push(turn, &account(&name), Some(version));
            })
        }
        Step::UpdateUser(name, change) => {
            let changed = client.users().update(&name, &change).await?;
            effect(move |world, _| {
                world.users.insert(changed.username.clone(), changed);
            })
        }
        Step::SetPassword(name, password, version) => {
            client.users().set_password(&name, &password).await?;
            effect(move |_, turn| push(turn, &account(&name), Some(version)))
        }
        Step::DeleteUser(name) => {
            gone(client.users().delete(&name).await)?;
            effect(move |world, turn| {
                world.users.remove(&name);
                turn.pushed.remove(&account(&name));
            })
        }
        Step::Grant(grantee, level) => {
            match &grantee {
                Grantee::User(name) => client.permissions().set_user(&share, name, &level).await?,
                Grantee::Group(name) => {
                    client.permissions().set_group(&share, name, &level).await?;
                }
            }
            effect(move |world, _| {
                let permissions = permissions(world, &share);
                permissions.retain(|permission| !is_of(permission, &grantee));
                let (kind, name) = match grantee {
                    Grantee::User(name) => (GranteeType::User, name),
                    Grantee::Group(name) => (GranteeType::Group, name),
                };
                permissions.push(Permission {
                    kind,
                    name,
                    level,
                    sid: None,
                    is_group: None,
                });
            })
        }
        Step::Revoke(grantee) => {
            match &grantee {
                Grantee::User(name) => client.permissions().remove_user(&share, name).await?,
                Grantee::Group(name) => client.permissions().remove_group(&share, name).await?,
            }
            effect(move |world, _| {
                permissions(world, &share).retain(|permission| !is_of(permission, &grantee));
            })
        }
        Step::PutPolicy(rules) => {
            let policy = client.snapshot_policies().put(&share, &rules).await?;
            effect(move |world, _| {
                world.policies.insert(share, policy);
            })
        }
        Step::DeletePolicy => {
            gone(client.snapshot_policies().delete(&share).await)?;
            effect(move |world, _| {
                world.policies.remove(&share);
            })
        }
    })
}

/// Makes a metadata store. The server opens a store before it looks whether the name is taken, so that one
/// that exists can be refused for its lock (server contract 3.9).
async fn create_metadata(
    client: &Client,
    name: &str,
    config: &MetadataStoreConfig,
) -> Result<MetadataStore, Error> {
    match client.metadata_stores().create(name, config).await {
        Err(Error::Invalid { call, detail, .. })
            if client.metadata_stores().get(name).await.is_ok() =>
        {
            Err(Error::Conflict { call, detail })
        }
        result => result,
    }
}

/// Removes a share that the server could not load. Its snapshots would go with it: one that has any stays,
/// as does one that is served meanwhile.
async fn remove_unloaded(client: &Client, share: String) -> Result<Effect, Error> {
    let status = client.shares().status(&share).await?;
    if status.status != HealthStatus::Unknown {
        return Ok(effect(move |world, _| {
            if let Some(share) = world.shares.get_mut(&share) {
                share.status = status;
            }
        }));
    }
    if client.snapshots().list(&share).await?.is_empty() {
        gone(client.shares().delete(&share).await)?;
        return Ok(effect(move |world, _| removed(world, &share)));
    }
    Ok(effect(|_, _| {}))
}

fn effect(change: impl FnOnce(&mut World, &mut Turn) + Send + 'static) -> Effect {
    Box::new(change)
}

/// What is gone already needs no removal.
fn gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

fn shown(world: &mut World, share: Share) {
    world.shares.insert(bare(&share.name).to_owned(), share);
}

/// With a share go its permissions, its NFS options and its policy.
fn removed(world: &mut World, share: &str) {
    world.shares.remove(share);
    world.details.remove(share);
    world.policies.remove(share);
}

fn push(turn: &mut Turn, what: &str, version: Option<Version>) {
    if let Some(version) = version {
        turn.pushed.insert(what.to_owned(), version);
    }
}

fn push_of_tier(turn: &mut Turn, tier: Tier, version: Option<Version>) {
    match tier {
        Tier::Local => {}
        Tier::Remote => push(turn, BUCKET, version),
    }
}

fn permissions<'a>(world: &'a mut World, share: &str) -> &'a mut Vec<Permission> {
    let details = world.details.entry(share.to_owned()).or_default();
    details.permissions.get_or_insert_default()
}

fn is_of(permission: &Permission, grantee: &Grantee) -> bool {
    match grantee {
        Grantee::User(name) => permission.kind == GranteeType::User && permission.name == *name,
        Grantee::Group(name) => permission.kind == GranteeType::Group && permission.name == *name,
    }
}
