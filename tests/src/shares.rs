//! The shares of the server called [`SERVER`].

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api_types::DittoFSShare;
use api_types::v1alpha1::ShareMount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch};
use serde_json::{Value, json};

use crate::adapters::Admin;
use crate::clients::{Nfs, Smb};
use crate::wait::within;
use crate::world::{merge, somebody};
use crate::{Controller, SERVER, World, until};

/// Name of the share of a test that needs one.
pub const SHARE: &str = "films";

/// Time in which a share that somebody changed in the server is as declared again: many times the interval
/// between two looks, on a busy machine.
pub const TWO_LOOKS: Duration = Duration::from_secs(240);

/// A server that serves, and what runs for it. Dropped, the controllers end.
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
        let shares = Controller::shares(world).await?;
        let (servers, adapters, admin) = crate::adapters::served(world, spec).await?;
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

/// Makes a DittoFSShare and waits until it is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn ready_made(world: &World, name: &str, spec: Value) -> Result<DittoFSShare> {
    make(world, name, spec).await?;
    ready(world, name).await
}

/// Changes the spec of a DittoFSShare by a merge patch, and waits until it is ready as it is declared then.
///
/// # Errors
/// When the API server does not take it, or it does not become ready.
pub async fn becomes(world: &World, name: &str, spec: Value) -> Result<DittoFSShare> {
    change(world, name, json!({ "spec": spec })).await?;
    ready(world, name).await
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

/// Asks for the deletion of a share.
///
/// # Errors
/// When the API server does not take it.
pub async fn let_go(world: &World, name: &str) -> Result<()> {
    let shares = world.api::<DittoFSShare>();
    shares.delete(name, &DeleteParams::background()).await?;
    Ok(())
}

/// Deletes a share and waits until it is gone.
///
/// # Errors
/// When it does not go.
pub async fn delete(world: &World, name: &str) -> Result<()> {
    let_go(world, name).await?;
    gone(world, name).await
}

/// Waits until a share is gone.
///
/// # Errors
/// When it does not go.
pub async fn gone(world: &World, name: &str) -> Result<()> {
    let shares = world.api::<DittoFSShare>();
    within(TWO_LOOKS, &format!("share {name} is gone"), async || {
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
    let what = format!("{kind}={status} ({reason})");
    let holds = |found: &Condition| found.status == status && found.reason == reason;
    told(world, name, kind, holds).await.context(what)
}

/// Waits until a condition of a share is False for its present generation; gives its message.
///
/// # Errors
/// When it does not become False.
pub async fn fails(world: &World, name: &str, kind: &str) -> Result<String> {
    told(world, name, kind, |found| found.status == "False").await
}

/// Waits until a condition of a share is True for its present generation; gives its message.
///
/// # Errors
/// When it does not become True.
pub async fn holds(world: &World, name: &str, kind: &str) -> Result<String> {
    told(world, name, kind, |found| found.status == "True").await
}

async fn told(
    world: &World,
    name: &str,
    kind: &str,
    holds: impl Fn(&Condition) -> bool,
) -> Result<String> {
    let shares = world.api::<DittoFSShare>();
    within(TWO_LOOKS, &format!("{kind} of {name}"), async || {
        let share = shares.get(name).await?;
        let found = share
            .status
            .iter()
            .flat_map(|status| &status.conditions)
            .find(|found| {
                found.type_ == kind && found.observed_generation == share.metadata.generation
            });
        Ok(match found {
            Some(found) if holds(found) => Ok(found.message.clone()),
            _ => Err(conditions(&share)),
        })
    })
    .await
}

/// Waits until a share is ready as it is declared now, and its status tells where it is reached: it may be Ready before
/// the adapter-controller has told of the addresses of its server.
///
/// # Errors
/// When it does not become ready.
pub async fn ready(world: &World, name: &str) -> Result<DittoFSShare> {
    holds(world, name, "Ready").await?;
    until(&format!("{name} can be mounted"), async || {
        let share = get(world, name).await?;
        Ok(match (nfs(&share), smb(&share)) {
            (Ok(_), Ok(_)) => Ok(share),
            (Err(error), _) | (_, Err(error)) => Err(format!("{error:#}")),
        })
    })
    .await
}

/// Waits until a share with rules about addresses is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn ready_v3(world: &World, name: &str) -> Result<()> {
    condition(world, name, "AccessApplied", "True", "NFSv3Only").await?;
    ready(world, name).await?;
    Ok(())
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

/// The command in the status of a share for `client` at an address for which `at` holds. A share may be Ready before
/// the adapter-controller has told of its server's addresses, so it is waited for.
///
/// # Errors
/// When there is none in time.
pub async fn command(
    world: &World,
    name: &str,
    client: &str,
    at: impl Fn(&str) -> bool,
) -> Result<String> {
    until(&format!("a command for {client}"), async || {
        let share = get(world, name).await?;
        let mounts = share.status.and_then(|status| status.mounts);
        let mounts = mounts.unwrap_or_default();
        let found = mounts
            .iter()
            .find(|mount| mount.client == client && at(&mount.address));
        Ok(found
            .map(|mount| mount.command.clone())
            .ok_or_else(|| format!("{mounts:?}")))
    })
    .await
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

/// Where a mount command leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// IP address or host name.
    pub host: String,
    /// TCP port; `None` where the command names none, and the client takes the standard one.
    pub port: Option<u16>,
    /// Name of the share, without a slash.
    pub share: String,
}

/// Where the command of `mount` leads: `HOST:/SHARE`, `nfs://HOST/SHARE`, `//HOST/SHARE` or `\\HOST\SHARE`.
///
/// # Errors
/// When it has none of them.
pub fn target(mount: &ShareMount) -> Result<Target> {
    let command = mount.command.replace('\\', "/");
    let words = command.split(|letter: char| letter.is_whitespace() || "'\"".contains(letter));
    let mut found = None;
    for word in words {
        let place = word
            .strip_prefix("nfs://")
            .or_else(|| word.strip_prefix("smb://"))
            .or_else(|| word.strip_prefix("//"));
        let place = match (place, word.split_once(":/")) {
            (Some(place), _) => place.split_once('/'),
            (None, Some((host, share))) if !host.is_empty() && mount.protocol == "nfs" => {
                Some((host, share))
            }
            _ => None,
        };
        if let Some((authority, share)) = place {
            let share = share.split_once('?').map_or(share, |(share, _)| share);
            found = Some((authority.to_owned(), share.trim_matches('/').to_owned()));
            break;
        }
    }
    let (authority, share) = found.with_context(|| format!("no place in {}", mount.command))?;
    let host = authority
        .split_once('@')
        .map_or(authority.as_str(), |(_user, host)| host);
    let (host, in_authority) = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => {
            (name, port.parse().ok())
        }
        _ => (host, None),
    };
    let option = |name: &str| -> Option<u16> {
        let options =
            command.split(|letter: char| letter.is_whitespace() || ",?&'\"".contains(letter));
        let mut options = options.filter_map(|option| option.split_once('='));
        options.find_map(|(found, value)| (found == name).then(|| value.parse().ok())?)
    };
    Ok(Target {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: in_authority.or(option("port")).or(option("nfsport")),
        share,
    })
}

/// The commands that a share's status prints.
///
/// # Errors
/// When it prints none.
pub fn mounts(share: &DittoFSShare) -> Result<&[ShareMount]> {
    let status = share.status.as_ref().context("no status")?;
    let mounts = status.mounts.as_deref().unwrap_or_default();
    ensure!(!mounts.is_empty(), "no mounts in {status:?}");
    Ok(mounts)
}

/// An NFSv3 client at the URL of libnfs that the status prints, as user 0.
///
/// # Errors
/// When it prints none with an address that this machine can reach.
pub fn nfs(share: &DittoFSShare) -> Result<Nfs> {
    let mut mounts = mounts(share)?.iter();
    let mount = mounts
        .find(|mount| is_address(mount) && mount.command.contains("nfs://"))
        .context("no URL of libnfs with an address")?;
    let words = mount.command.split_whitespace();
    let url = words
        .map(|word| word.trim_matches(['\'', '"']))
        .find(|word| word.starts_with("nfs://"))
        .context("no URL")?;
    Ok(Nfs::at(url))
}

/// An anonymous SMB client at the place that the printed `mount -t cifs` names.
///
/// # Errors
/// When it prints none with an address that this machine can reach.
pub fn smb(share: &DittoFSShare) -> Result<Smb> {
    let mut mounts = mounts(share)?.iter();
    let mount = mounts
        .find(|mount| is_address(mount) && mount.command.contains("mount -t cifs"))
        .context("no mount -t cifs with an address")?;
    let Target { host, port, share } = target(mount)?;
    Ok(Smb::at(&host, port.unwrap_or(445), &share))
}

/// Whether a command is for an IP address: names of the cluster's DNS are known in pods only.
fn is_address(mount: &ShareMount) -> bool {
    mount.address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_command_leads_somewhere() {
        let mount = |protocol: &str, command: &str| ShareMount {
            protocol: protocol.to_owned(),
            client: String::new(),
            address: String::new(),
            command: command.to_owned(),
        };
        for (protocol, command, port) in [
            (
                "nfs",
                "mount -t nfs -o vers=4.1,port=2050 10.0.0.1:/films /mnt",
                Some(2050),
            ),
            (
                "nfs",
                "mount -t nfs -o nfsvers=3,port=2050,mountport=2050 10.0.0.1:/films /mnt",
                Some(2050),
            ),
            (
                "nfs",
                "sudo mount -t nfs -o vers=4.1 10.0.0.1:/films /mnt",
                None,
            ),
            (
                "nfs",
                "nfs-ls 'nfs://10.0.0.1/films?version=3&nfsport=2050&mountport=2050'",
                Some(2050),
            ),
            (
                "smb",
                "sudo mount -t cifs //10.0.0.1/films /mnt -o username=ann,port=1445",
                Some(1445),
            ),
            ("smb", r"net use Z: \\10.0.0.1\films", None),
            ("smb", "open smb://ann@10.0.0.1:1445/films", Some(1445)),
        ] {
            let found = target(&mount(protocol, command)).unwrap();
            let expected = Target {
                host: "10.0.0.1".to_owned(),
                port,
                share: "films".to_owned(),
            };
            assert_eq!(found, expected, "{command}");
        }
    }
}
