//! The kernel of Linux mounts a share by the printed commands.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cluster_tests::shares::{self, SHARE, Stage, mounts, ready_made};
use cluster_tests::{Outcome, Pods, World, kernel_nfs, scenario};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::json;

/// Where the names of Services are known.
async fn nameserver(world: &World) -> Result<String> {
    let services: Api<Service> = Api::namespaced(world.admin.clone(), "kube-system");
    let spec = services.get("kube-dns").await?.spec;
    spec.and_then(|spec| spec.cluster_ip)
        .context("kube-dns has no address")
}

#[test]
fn the_kernel_of_linux_mounts_a_share_by_the_printed_commands() -> Outcome {
    scenario("kernel", Pods::Run, async |world| {
        let _stage = Stage::set(world, json!({})).await?;
        let spec =
            json!({"access": {"defaultPermission": "read-write", "nfs": {"squash": "none"}}});
        let share = ready_made(world, SHARE, spec).await?;
        let commands: Vec<(&str, bool, &str)> = mounts(&share)?
            .iter()
            .filter(|mount| mount.client.starts_with("Linux NFS"))
            .map(|mount| {
                let version = mount.client.trim_start_matches("Linux NFSv");
                let by_name = mount.address.parse::<IpAddr>().is_err();
                (version, by_name, mount.command.as_str())
            })
            .collect();
        for wanted in [("4.1", true), ("4.1", false), ("3", true), ("3", false)] {
            let found = commands
                .iter()
                .filter(|(version, by_name, _)| (*version, *by_name) == wanted);
            ensure!(found.count() == 1, "{wanted:?} in {commands:?}");
        }
        // Each mount reads what the one before has written.
        let mut script = "set -e\n".to_owned();
        for (number, (version, _, command)) in commands.iter().enumerate() {
            let before = number.checked_sub(1);
            let read = before.map_or("true".to_owned(), |before| format!("cat /mnt/{before}"));
            script += &format!(
                "echo '+ {command}'\n{command}\ngrep ' /mnt ' /proc/mounts | grep -q 'vers={version},'\n{read}\n\
                 echo written-{number} >/mnt/{number}\nmkdir /mnt/folder-{number}\nmv /mnt/{number} /mnt/folder-{number}/\n\
                 mv /mnt/folder-{number}/{number} /mnt/{number}\numount /mnt\n"
            );
        }
        script += "echo the end\n";
        let said = kernel_nfs::run(&script, &nameserver(world).await?).await?;
        for number in 0..commands.len() - 1 {
            let line = format!("written-{number}");
            ensure!(said.lines().any(|found| found == line), "no {line}: {said}");
        }
        ensure!(said.ends_with("the end\n"), "{said}");

        // It is the share, and not a folder of the virtual machine.
        let last = commands.len() - 1;
        let nfs = shares::nfs(&share)?;
        let text = nfs.read(&last.to_string()).await?;
        let expected = format!("written-{last}\n").into_bytes();
        ensure!(text == Ok(expected), "{text:?}");
        Ok(())
    })
}
