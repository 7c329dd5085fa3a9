//! The commands that mount a share, for every address at which its server can be reached. Pure.

use api_types::DittoServer;
use api_types::v1alpha1::{AdapterStatus, ShareMount};
use kube::ResourceExt;

/// Most commands that a status holds.
const MOST: usize = 256;

/// The commands for the share `name` of `server`, in a cluster with the DNS domain `domain`.
pub fn mounts(server: &DittoServer, name: &str, domain: &str) -> Vec<ShareMount> {
    let adapters = server.status.iter().flat_map(|status| &status.adapters);
    let mut mounts: Vec<ShareMount> = adapters
        .flatten()
        .filter(|adapter| adapter.enabled)
        .flat_map(|adapter| of_adapter(server, adapter, name, domain))
        .collect();
    mounts.truncate(MOST);
    mounts
}

fn of_adapter(
    server: &DittoServer,
    adapter: &AdapterStatus,
    name: &str,
    domain: &str,
) -> Vec<ShareMount> {
    let Some(service) = &adapter.service else {
        return Vec::new();
    };
    let namespace = server.namespace().unwrap_or_default();
    let inside = format!("{}.{namespace}.svc.{domain}", service.name);
    let mut places = vec![(inside, service.port)];
    for address in adapter.addresses.iter().flatten() {
        let port = match (address.kind.as_str(), service.node_port) {
            ("NodeIP" | "NodePort", Some(node_port)) => node_port,
            _ => service.port,
        };
        places.push((address.value.clone(), port));
    }
    let mut mounts = Vec::new();
    let mut seen: Vec<(String, i32)> = Vec::new();
    for place in places {
        if seen.contains(&place) {
            continue;
        }
        let (address, port) = &place;
        match adapter.kind.as_str() {
            "nfs" => mounts.extend(nfs(address, *port, name)),
            "smb" => mounts.extend(smb(address, *port, name)),
            _ => {}
        }
        seen.push(place);
    }
    mounts
}

/// An IPv6 address needs brackets where a port or path follows.
fn bracketed(address: &str) -> String {
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}

fn nfs(address: &str, port: i32, name: &str) -> Vec<ShareMount> {
    let host = bracketed(address);
    let mount = |client: &str, command: String| ShareMount {
        protocol: "nfs".to_owned(),
        client: client.to_owned(),
        address: address.to_owned(),
        command,
    };
    vec![
        mount(
            "Linux NFSv4.1",
            format!("mount -t nfs -o vers=4.1,port={port} {host}:/{name} /mnt"),
        ),
        mount(
            "Linux NFSv3",
            // No portmapper answers, so both ports are named.
            format!(
                "mount -t nfs -o nfsvers=3,tcp,port={port},mountport={port},mountproto=tcp,nolock {host}:/{name} /mnt"
            ),
        ),
        mount(
            "macOS",
            format!(
                "mount_nfs -o vers=3,tcp,port={port},mountport={port},nolocks,resvport {host}:/{name} /private/mnt"
            ),
        ),
        mount(
            "libnfs",
            format!("nfs://{host}/{name}?version=3&nfsport={port}&mountport={port}"),
        ),
    ]
}

fn smb(address: &str, port: i32, name: &str) -> Vec<ShareMount> {
    let mount = |client: &str, command: String| ShareMount {
        protocol: "smb".to_owned(),
        client: client.to_owned(),
        address: address.to_owned(),
        command,
    };
    let host = bracketed(address);
    let mut mounts = vec![
        mount(
            "Linux",
            format!("mount -t cifs -o port={port},username=USER //{address}/{name} /mnt"),
        ),
        mount(
            "macOS",
            format!("mount_smbfs //USER@{host}:{port}/{name} /private/mnt"),
        ),
    ];
    // Windows asks for port 445 and no other, and takes no IPv6 address in a UNC path.
    if port == 445 && host == address {
        mounts.push(mount("Windows", format!(r"net use * \\{address}\{name}")));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(adapters: serde_json::Value) -> DittoServer {
        serde_json::from_value(json!({
            "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoServer",
            "metadata": {"name": "files", "namespace": "media"},
            "spec": {"storage": {"metadataSize": "1Gi"}},
            "status": {"conditions": [], "adapters": adapters}}))
        .unwrap()
    }

    fn adapter(kind: &str, port: i32, addresses: serde_json::Value) -> serde_json::Value {
        json!({"type": kind, "enabled": true, "healthy": true, "addresses": addresses,
            "service": {"name": format!("files-adapter-{kind}"), "uid": "u", "type": "ClusterIP",
                "port": port}})
    }

    #[test]
    fn every_command_carries_the_address_the_port_and_the_name() {
        let addresses = json!([{"kind": "ClusterIP", "value": "10.0.0.7"},
            {"kind": "LoadBalancerIP", "value": "fd00::7"}]);
        let server = server(json!([adapter("nfs", 12049, addresses)]));
        let mounts = mounts(&server, "films", "cluster.local");
        assert_eq!(mounts.len(), 12);
        for mount in &mounts {
            assert!(mount.command.contains("/films"), "{}", mount.command);
            assert!(mount.command.contains("port=12049"), "{}", mount.command);
            assert!(mount.command.contains(&bracketed(&mount.address)));
        }
        assert_eq!(
            mounts[0].command,
            "mount -t nfs -o vers=4.1,port=12049 files-adapter-nfs.media.svc.cluster.local:/films /mnt"
        );
        assert!(mounts[8].command.contains("[fd00::7]:/films"));
    }

    #[test]
    fn windows_is_told_only_of_what_it_can_reach() {
        let addresses = json!([{"kind": "ClusterIP", "value": "10.0.0.7"}]);
        let of = |port| {
            let server = server(json!([adapter("smb", port, addresses.clone())]));
            let mounts = mounts(&server, "films", "cluster.local");
            mounts
                .iter()
                .filter(|mount| mount.client == "Windows")
                .count()
        };
        assert_eq!((of(445), of(1445)), (2, 0));
    }

    #[test]
    fn what_is_off_or_has_no_service_has_no_command() {
        let mut off = adapter("nfs", 2049, json!([]));
        off["enabled"] = json!(false);
        let mut bare = adapter("smb", 445, json!([]));
        bare.as_object_mut().unwrap().remove("service");
        let server = server(json!([off, bare]));
        assert!(mounts(&server, "films", "cluster.local").is_empty());
    }
}
