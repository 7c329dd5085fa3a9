//! The commands that the status prints lead to the share.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use api_types::DittoFSShare;
use api_types::names;
use api_types::v1alpha1::AdapterKind::{self, Nfs, Smb};
use cluster_tests::adapters::address;
use cluster_tests::clients::Refusal;
use cluster_tests::shares::{self, SHARE, Stage, mounts, ready_made, target};
use cluster_tests::{Outcome, Pods, SERVER, World, scenario, until};
use serde_json::json;

use super::{PASSWORD, ann, gets, nothing_leaks, refused, told};

#[test]
fn a_share_is_written_over_nfs_and_read_over_smb_by_the_printed_commands() -> Outcome {
    scenario("share", Pods::Run, async |world| {
        let stage = Stage::set(world, json!({})).await?;
        world.secret("ann", json!({"password": PASSWORD})).await?;
        let spec = json!({"access": {"users": [ann("read-write")]}});
        let share = ready_made(world, SHARE, spec).await?;

        let nfs = shares::nfs(&share)?;
        let smb = shares::smb(&share)?;
        let ann = smb.by("ann", PASSWORD);
        gets("ann writes over NFS", async || {
            nfs.by(1000).write("over-nfs", b"hello").await
        })
        .await?;
        let found = gets("ann reads over SMB", async || ann.read("over-nfs").await).await?;
        ensure!(found == b"hello", "{found:?}");
        gets("ann writes over SMB", async || {
            ann.write("over-smb", b"hi").await
        })
        .await?;
        let found = gets("ann reads over NFS", async || {
            nfs.by(1000).read("over-smb").await
        });
        let found = found.await?;
        ensure!(found == b"hi", "{found:?}");

        // Nobody else: the default is none.
        let stranger = nfs.by(1001);
        let answer = told(async || stranger.list().await).await?;
        ensure!(answer == Err(Refusal::Denied), "{answer:?}");
        let answer = told(async || smb.list().await).await?;
        ensure!(answer == Err(Refusal::Denied), "{answer:?}");
        let wrong = smb.by("ann", "another password");
        let answer = told(async || wrong.list().await).await?;
        ensure!(answer == Err(Refusal::NoAccount), "{answer:?}");

        // The password follows its Secret.
        let new = "another-hidden-password";
        let patch = kube::api::Patch::Merge(json!({"stringData": {"password": new}}));
        world
            .api::<k8s_openapi::api::core::v1::Secret>()
            .patch("ann", &cluster_tests::world::somebody(), &patch)
            .await?;
        gets("ann's new password", async || {
            smb.by("ann", new).list().await
        })
        .await?;
        refused("ann's old password", &Refusal::NoAccount, async || {
            ann.list().await
        })
        .await?;
        nothing_leaks(world, &[PASSWORD, new]).await?;
        stage.shares.quiet().await
    })
}

/// Where the Service of an adapter can be reached.
async fn hosts(world: &World, kind: AdapterKind) -> Result<BTreeSet<String>> {
    let (_, address) = address(world, kind).await?;
    let name = format!("{}.{}.svc", names::adapter(SERVER, kind), world.namespace);
    Ok([address, name].into())
}

/// Whether `found` names this Service, with or without the cluster's domain behind its name.
fn is_one_of(hosts: &BTreeSet<String>, found: &str) -> bool {
    hosts
        .iter()
        .any(|host| found == host || found.starts_with(&format!("{host}.")))
}

/// Every command leads to the share; `ports` are those of the Services of NFS and SMB.
async fn lead_to_the_share(world: &World, share: &DittoFSShare, ports: (u16, u16)) -> Result<()> {
    let of_nfs = hosts(world, Nfs).await?;
    let of_smb = hosts(world, Smb).await?;
    let mut clients: BTreeSet<(String, String)> = BTreeSet::new();
    for mount in mounts(share)? {
        let found = target(mount)?;
        let (hosts, port, standard) = match mount.protocol.as_str() {
            "nfs" => (&of_nfs, ports.0, 2049),
            _ => (&of_smb, ports.1, 445),
        };
        let leads = found.host == mount.address
            && is_one_of(hosts, &found.host)
            && found.share == SHARE
            && found.port.unwrap_or(standard) == port;
        ensure!(leads, "{mount:?} leads to {found:?}");
        // No portmapper tells the port of MOUNT.
        let v3 = mount.command.contains("vers=3") || mount.command.contains("version=3");
        let mount_port = format!("mountport={port}");
        ensure!(
            !v3 || mount.command.contains(&mount_port),
            "{mount:?} needs {mount_port}"
        );
        clients.insert((mount.address.clone(), mount.client.clone()));
    }
    for host in of_nfs.iter().chain(&of_smb) {
        let count = clients
            .iter()
            .filter(|(found, _)| is_one_of(&[host.clone()].into(), found))
            .count();
        ensure!(count >= 2, "{count} clients at {host}: {clients:?}");
    }
    for (word, what, expected) in [
        ("vers=4.1", "NFSv4.1", true),
        ("vers=3", "NFSv3", true),
        ("nfs://", "libnfs", true),
        ("mount -t cifs", "the SMB client of Linux", true),
        // Windows asks for the standard port and no other.
        ("\\\\", "Windows", ports.1 == 445),
    ] {
        let commands = mounts(share)?.iter();
        let mut commands = commands.filter(|mount| mount.command.contains(word));
        ensure!(commands.next().is_some() == expected, "{what}: {expected}");
    }
    ensure!(
        clients.iter().any(|(_, client)| client.contains("macOS")),
        "nothing for macOS: {clients:?}"
    );
    Ok(())
}

/// Waits until every command leads to the share: addresses are told one by one.
async fn commands_lead(world: &World, ports: (u16, u16)) -> Result<DittoFSShare> {
    until(
        &format!("the commands have the ports {ports:?}"),
        async || {
            let found = shares::get(world, SHARE).await?;
            Ok(match lead_to_the_share(world, &found, ports).await {
                Ok(()) => Ok(found),
                Err(error) => Err(format!("{error:#}")),
            })
        },
    )
    .await
}

#[test]
fn all_printed_commands_carry_the_same_host_port_and_name() -> Outcome {
    scenario("commands", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        ready_made(world, SHARE, super::open()).await?;
        commands_lead(world, (2049, 445)).await?;

        // Another port of a Service is another command.
        let overrides =
            json!([{"adapter": "nfs", "port": 12049}, {"adapter": "smb", "port": 1445}]);
        let services = json!({"spec": {"adapterServices": {"overrides": overrides}}});
        world.change(services).await?;
        let found = commands_lead(world, (12049, 1445)).await?;
        let nfs = shares::nfs(&found)?;
        gets("writing at the other port", async || {
            nfs.write("a", b"a").await
        })
        .await?;
        let smb = shares::smb(&found)?;
        let text = gets("reading at the other port", async || smb.read("a").await).await?;
        ensure!(text == b"a", "{text:?}");
        Ok(())
    })
}
