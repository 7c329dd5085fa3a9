//! A host that swallows what it is sent.

use std::net::{SocketAddr, TcpListener};

use anyhow::Result;

use crate::backends::address;
use crate::{World, ports};

/// An address on the way of pods where connections are made and nothing is ever answered.
#[derive(Debug)]
pub struct Silent(TcpListener);

impl Silent {
    /// Opens one.
    ///
    /// # Errors
    /// When no port is free.
    pub fn open(world: &World) -> Result<Self> {
        // The kernel makes the connections; nobody takes them over.
        Ok(Silent(ports::listen(address(world)?)?))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }
}
