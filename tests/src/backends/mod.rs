//! Servers beside the cluster that file servers keep things in: run on this machine, on an address
//! that pods reach.

pub mod postgres;
pub mod s3;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{World, random};

/// The address of this machine on the way to the cluster, by which pods reach it.
///
/// # Errors
/// When there is no way to the cluster.
pub fn address(world: &World) -> Result<IpAddr> {
    let url = &world.cluster.config.cluster_url;
    let host = url.host().context("an API server without a host")?;
    let api: SocketAddr = SocketAddr::new(host.parse()?, url.port_u16().unwrap_or(443));
    // Nothing is sent: the kernel only looks which way a packet would go.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(api)?;
    Ok(socket.local_addr()?.ip())
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new(kind: &str) -> Result<Self> {
        let name = format!("dittofs-{kind}-{}", random::suffix()?);
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        Ok(Folder(folder))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever looks at a failed test needs the failure, not this.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
