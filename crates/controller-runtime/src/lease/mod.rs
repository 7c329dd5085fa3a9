//! Leader election on a `coordination.k8s.io/v1` Lease.
//!
//! As client-go does it (`tools/leaderelection`): a contender takes over only
//! after the record has not changed for a full lease duration by the
//! contender's own clock, and every write is conditional on the
//! resourceVersion read. Stricter than client-go: writes of the holder stop
//! (see [`crate::Fence`]) a third of the duration before anyone can take over,
//! and time spent suspended counts.

mod elector;
mod record;

pub use elector::{Elector, Held};

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Which Lease, under which name, and how long it lasts.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Name of this contender; unique for each process, see [`identity`].
    pub identity: String,
    /// How long others wait for a silent holder; whole seconds.
    pub duration: Duration,
}

impl LeaseConfig {
    /// Time between renewals.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.duration / 3
    }

    /// Time after the start of a renewal during which writes are allowed.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Time between attempts after a failure.
    #[must_use]
    pub fn retry_every(&self) -> Duration {
        self.duration * 2 / 15
    }

    /// Time between looks of a contender: a Lease that was given up is noticed after this time at most.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        self.duration / 15
    }
}

/// A name for this process that no other process has: the host name and a
/// random number.
#[must_use]
pub fn identity() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let random = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
    format!("{host}_{random:016x}")
}
