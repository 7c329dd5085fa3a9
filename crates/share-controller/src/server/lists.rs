//! Everything that a server lists, read at once.

use adapter_client::{Client, Error, HealthStatus, Role, Tier};
use controller_runtime::rest::{Open, Sessions, Trouble, account, trouble};

use super::Target;
use crate::marker;
use crate::policies;
use crate::world::{Details, World, bare};

/// The lists of a server. Our account is made, or mended, when it does not work.
///
/// # Errors
/// When one of them cannot be read: then nothing is known.
pub(super) async fn read(
    sessions: &Sessions,
    target: &Target,
    open: &mut Open,
    known: &World,
) -> Result<World, Trouble> {
    let shares = account::ask(
        sessions,
        &target.site(),
        open,
        &Role::Admin,
        async |client| client.shares().list().await,
    )
    .await?;
    let mut world = others(&open.account)
        .await
        .map_err(|error| trouble::of(&error))?;
    world.shares = shares
        .into_iter()
        .map(|share| (bare(&share.name).to_owned(), share))
        .collect();
    // What no list tells is still known of the shares that are the same as before.
    world.details = known
        .details
        .iter()
        .filter(|(name, _)| {
            let id = |world: &World| world.shares.get(*name).map(|share| share.id.clone());
            id(known).is_some() && id(known) == id(&world)
        })
        .map(|(name, details): (&String, &Details)| (name.clone(), details.clone()))
        .collect();
    world.unserved = world
        .shares
        .values()
        .filter(|share| share.status.status == HealthStatus::Unknown)
        .map(|share| share.id.clone())
        .filter(|id| known.unserved.contains(id))
        .collect();
    Ok(world)
}

async fn others(client: &Client) -> Result<World, Error> {
    let metadata = client.metadata_stores().list().await?;
    let local = client.block_stores().list(Tier::Local).await?;
    let remote = client.block_stores().list(Tier::Remote).await?;
    let netgroups = client.netgroups().list().await?;
    let snapshots = client.snapshot_policies().list().await?;
    let settings = client.settings().list().await?;
    let policy_record = settings
        .iter()
        .find(|setting| setting.key == policies::KEY)
        .map(|setting| setting.value.clone());
    let users = client.users().list().await?;
    let groups = client.groups().list().await?;
    Ok(World {
        shares: Default::default(),
        metadata: metadata
            .into_iter()
            .map(|store| (store.name.clone(), store))
            .collect(),
        local: local
            .into_iter()
            .map(|store| (store.name.clone(), store))
            .collect(),
        remote: remote
            .into_iter()
            .map(|store| (store.name.clone(), store))
            .collect(),
        netgroups: netgroups
            .into_iter()
            .map(|netgroup| (netgroup.name.clone(), netgroup))
            .collect(),
        policies: snapshots
            .into_iter()
            .map(|policy| (bare(&policy.share).to_owned(), policy))
            .collect(),
        markers: settings
            .into_iter()
            .filter(|setting| !setting.value.is_empty())
            .filter_map(|setting| {
                let share = marker::share_of(&setting.key)?.to_owned();
                Some((share, setting.value))
            })
            .collect(),
        policy_record: policy_record.unwrap_or_default(),
        users: users
            .into_iter()
            .map(|user| (user.username.clone(), user))
            .collect(),
        groups: groups.into_iter().map(|group| group.name).collect(),
        details: Default::default(),
        unserved: Default::default(),
        absent: Default::default(),
    })
}
