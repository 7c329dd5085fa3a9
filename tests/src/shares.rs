//! The shares of the server called [`SERVER`].

use anyhow::{Context, Result};
use api_types::DittoFSShare;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

use crate::adapters::{Admin, fast};
use crate::world::{merge, somebody};
use crate::{Controller, SERVER, World, until};

/// A server with a volume for contents that serves, and what runs for it.
#[derive(Debug)]
pub struct Stage {
    /// The server-controller.
    pub servers: Controller,
    /// The adapter-controller.
    pub adapters: Controller,
    /// The share-controller.
    pub shares: Controller,
    /// A person with the administrator's password.
    pub admin: Admin,
}

impl Stage {
    /// All controllers, and a server with the fields of `spec` that serves.
    ///
    /// # Errors
    /// When it does not become available.
    pub async fn set(world: &World, spec: Value) -> Result<Self> {
        let servers = Controller::start(world).await?;
        let adapters = Controller::adapters(world).await?;
        let shares = Controller::shares(world).await?;
        let mut whole = fast();
        merge(&mut whole, json!({"storage": {"contentSize": "1Gi"}}));
        merge(&mut whole, spec);
        world.serve(whole).await?;
        world
            .condition("AdaptersReady", "True", "AdaptersHealthy")
            .await?;
        let admin = Admin::of(world).await?;
        Ok(Stage {
            servers,
            adapters,
            shares,
            admin,
        })
    }
}

/// Makes the DittoFSShare `name` on the server called [`SERVER`], with the fields of `spec`.
///
/// # Errors
/// When the API server does not take it.
pub async fn make(world: &World, name: &str, spec: Value) -> Result<DittoFSShare> {
    let mut whole = json!({"serverRef": {"name": SERVER}});
    merge(&mut whole, spec);
    world
        .create_json::<DittoFSShare>(json!({"metadata": {"name": name}, "spec": whole}))
        .await
}

/// A share as it is.
///
/// # Errors
/// When it cannot be read.
pub async fn get(world: &World, name: &str) -> Result<DittoFSShare> {
    Ok(world.api::<DittoFSShare>().get(name).await?)
}

/// Changes a share by a merge patch.
///
/// # Errors
/// When the API server does not take it.
pub async fn change(world: &World, name: &str, patch: Value) -> Result<DittoFSShare> {
    let shares = world.api::<DittoFSShare>();
    Ok(shares
        .patch(name, &somebody(), &Patch::Merge(patch))
        .await?)
}

/// Deletes a share and waits until it is gone.
///
/// # Errors
/// When it does not go.
pub async fn delete(world: &World, name: &str) -> Result<()> {
    let shares = world.api::<DittoFSShare>();
    shares.delete(name, &DeleteParams::default()).await?;
    gone(world, name).await
}

/// Waits until a share is gone.
///
/// # Errors
/// When it does not go.
pub async fn gone(world: &World, name: &str) -> Result<()> {
    let shares = world.api::<DittoFSShare>();
    until(&format!("share {name} is gone"), async || {
        let found = shares.get_opt(name).await?;
        Ok(match found {
            None => Ok(()),
            Some(share) => Err(conditions(&share)),
        })
    })
    .await
}

/// Waits until a condition of a share speaks of its present generation with this status and reason; gives its
/// message.
///
/// # Errors
/// When it does not.
pub async fn condition(
    world: &World,
    name: &str,
    kind: &str,
    status: &str,
    reason: &str,
) -> Result<String> {
    let shares = world.api::<DittoFSShare>();
    until(&format!("{name}: {kind}={status} ({reason})"), async || {
        let share = shares.get(name).await?;
        let found = share
            .status
            .iter()
            .flat_map(|status| &status.conditions)
            .find(|found| {
                found.type_ == kind && found.observed_generation == share.metadata.generation
            });
        Ok(match found {
            Some(found) if found.status == status && found.reason == reason => {
                Ok(found.message.clone())
            }
            _ => Err(conditions(&share)),
        })
    })
    .await
}

/// Waits until a share is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn ready(world: &World, name: &str) -> Result<()> {
    condition(world, name, "Ready", "True", "AllReady").await?;
    Ok(())
}

/// Waits until a share with rules about addresses is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn ready_v3(world: &World, name: &str) -> Result<()> {
    condition(world, name, "AccessApplied", "True", "NFSv3Only").await?;
    ready(world, name).await
}

/// Waits until the server answers `path` so that `wanted` holds.
///
/// # Errors
/// When it does not.
pub async fn answers(
    admin: &Admin,
    path: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until(what, async || {
        let answer = admin.get(path).await;
        Ok(match answer {
            Ok(answer) if wanted(&answer) => Ok(answer),
            Ok(answer) => Err(answer.to_string()),
            Err(error) => Err(format!("{error:#}")),
        })
    })
    .await
}

/// The command in the status of a share for `client` at an address for which `at` holds.
///
/// # Errors
/// When there is none.
pub async fn command(
    world: &World,
    name: &str,
    client: &str,
    at: impl Fn(&str) -> bool,
) -> Result<String> {
    let share = get(world, name).await?;
    let mounts = share.status.and_then(|status| status.mounts);
    mounts
        .into_iter()
        .flatten()
        .find(|mount| mount.client == client && at(&mount.address))
        .map(|mount| mount.command)
        .with_context(|| format!("no command for {client}"))
}

/// The conditions of a share, as people read them.
#[must_use]
pub fn conditions(share: &DittoFSShare) -> String {
    let conditions = share.status.iter().flat_map(|status| &status.conditions);
    let lines: Vec<String> = conditions
        .map(|found| {
            format!(
                "{}={} {}: {}",
                found.type_, found.status, found.reason, found.message
            )
        })
        .collect();
    lines.join("; ")
}
