//! TCP ports of this machine. Many tests ask for one at the same time, and the kernel gives a number again as soon as
//! nobody listens on it: here each is given once.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use tokio::net::TcpSocket;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A listener at `address`, on a port that nobody was given before.
///
/// # Errors
/// When no port is free.
pub fn listen(address: IpAddr) -> Result<TcpListener> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let listener = TcpListener::bind((address, 0))?;
        if given.insert(listener.local_addr()?.port()) {
            return Ok(listener);
        }
    }
}

/// A port at `address` for a process that is started later.
///
/// # Errors
/// When no port is free.
pub fn free(address: IpAddr) -> Result<u16> {
    Ok(listen(address)?.local_addr()?.port())
}

/// A port that refuses connections as long as this lives: it is taken, and nobody listens.
#[derive(Debug)]
pub struct Closed(TcpSocket);

impl Closed {
    /// Takes a port at `address`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn at(address: IpAddr) -> Result<Self> {
        let socket = match address {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(address, 0))?;
        Ok(Closed(socket))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_closed_port_refuses_and_is_given_to_nobody_else() -> Result<()> {
        let closed = Closed::at(Ipv4Addr::LOCALHOST.into())?;
        let address = closed.address()?;
        let refused = TcpStream::connect(address)
            .map(|_| ())
            .map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        assert!(TcpListener::bind(address).is_err());
        Ok(())
    }
}
