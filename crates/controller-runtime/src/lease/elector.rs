//! Acquiring, keeping and releasing the Lease.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Api, Client, api::PostParams};

use super::{LeaseConfig, record};
use crate::{
    clock::BootClock,
    fence::{Fence, LeaseLost},
    readiness::Gate,
};

/// A contender for the Lease.
pub struct Elector {
    api: Api<Lease>,
    config: LeaseConfig,
    fence: Fence,
    clock: Arc<dyn BootClock>,
    observed: Option<Observed>,
    seen: Option<Gate>,
}

/// A record and when this process first saw it, by its own clock.
struct Observed {
    version: Option<String>,
    spec: Option<LeaseSpec>,
    since: Duration,
}

/// The Lease, held. Writes are allowed while the fence is open.
pub struct Held {
    elector: Elector,
    lease: Lease,
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Elector")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Held")
            .field("config", &self.elector.config)
            .finish_non_exhaustive()
    }
}

impl Elector {
    /// A contender that opens and closes this fence. The client may carry the
    /// same fence: it lets requests for Leases pass.
    #[must_use]
    pub fn new(client: Client, config: LeaseConfig, fence: Fence) -> Self {
        let clock = Arc::clone(fence.clock());
        Self {
            api: Api::namespaced(client, &config.namespace),
            config,
            fence,
            clock,
            observed: None,
            seen: None,
        }
    }

    /// Opens `gate` once the Lease could be read, whoever holds it: from then on this contender can take over.
    #[must_use]
    pub fn opening(mut self, gate: Gate) -> Self {
        self.seen = Some(gate);
        self
    }

    /// Waits until the Lease is held. Failures are logged and tried again.
    pub async fn acquire(mut self) -> Held {
        let mut failing = false;
        loop {
            let attempt = self.attempt().await;
            if attempt.is_ok()
                && let Some(gate) = self.seen.take()
            {
                gate.open();
            }
            let pause = match attempt {
                Ok(Some(lease)) => {
                    tracing::info!(
                        lease = self.config.name,
                        identity = self.config.identity,
                        "the lease is held"
                    );
                    return Held {
                        elector: self,
                        lease,
                    };
                }
                Ok(None) => {
                    failing = false;
                    self.config.look_every()
                }
                Err(error) => {
                    if failing {
                        tracing::debug!(%error, "the lease cannot be read or written");
                    } else {
                        tracing::warn!(lease = self.config.name, %error, "the lease cannot be read or written");
                    }
                    failing = true;
                    self.config.retry_every()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One look at the Lease, and a write if it is ours to take.
    async fn attempt(&mut self) -> Result<Option<Lease>, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.config.name).await? else {
            let start = self.clock.now();
            let made = self
                .limited(
                    self.api
                        .create(&PostParams::default(), &record::new(&self.config)),
                )
                .await;
            return self.won(start, made);
        };
        if !self.is_free(&lease) {
            return Ok(None);
        }
        let start = self.clock.now();
        let next = record::taken(&lease, &self.config);
        let taken = self
            .limited(
                self.api
                    .replace(&self.config.name, &PostParams::default(), &next),
            )
            .await;
        self.won(start, taken)
    }

    /// Whether the Lease has no holder, is ours, or has been silent for a full
    /// duration by our clock.
    fn is_free(&mut self, lease: &Lease) -> bool {
        let now = self.clock.now();
        let changed = self.observed.as_ref().is_none_or(|observed| {
            observed.version != lease.metadata.resource_version || observed.spec != lease.spec
        });
        if changed {
            self.observed = Some(Observed {
                version: lease.metadata.resource_version.clone(),
                spec: lease.spec.clone(),
                since: now,
            });
        }
        match record::holder(lease) {
            None => true,
            Some(holder) if holder == self.config.identity => true,
            Some(_) => {
                let since = self
                    .observed
                    .as_ref()
                    .map_or(now, |observed| observed.since);
                let wait = record::promised(lease)
                    .unwrap_or_default()
                    .max(self.config.duration);
                now.saturating_sub(since) >= wait
            }
        }
    }

    /// Opens the fence after a write that started at `start`. A conflict means
    /// that another contender was faster.
    fn won(
        &self,
        start: Duration,
        written: Result<Lease, kube::Error>,
    ) -> Result<Option<Lease>, kube::Error> {
        match written {
            Ok(lease) => {
                self.fence.extend(start + self.config.renew_deadline());
                Ok(Some(lease))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes our name off the Lease. One that somebody else holds, or deleted, is left as it is.
    async fn give_up(&self, mut lease: Lease) -> Result<(), kube::Error> {
        loop {
            let next = record::released(&lease);
            let written = self
                .api
                .replace(&self.config.name, &PostParams::default(), &next)
                .await;
            match written {
                // Our view is old: the answer to a renewal may have been lost.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                result => return result.map(|_| ()),
            }
            match self.api.get_opt(&self.config.name).await? {
                Some(current)
                    if record::holder(&current) == Some(self.config.identity.as_str()) =>
                {
                    lease = current;
                }
                _ => return Ok(()),
            }
        }
    }

    /// A request that nobody waits for longer than the renew deadline.
    async fn limited<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        tokio::time::timeout(self.config.renew_deadline(), request)
            .await
            .unwrap_or_else(|elapsed| Err(kube::Error::Service(elapsed.into())))
    }
}

impl Held {
    /// Renews the Lease until it is lost; then the fence is cut. Dropping
    /// the future stops renewing.
    pub async fn keep(&mut self) -> LeaseLost {
        let config = self.elector.config.clone();
        let mut pause = config.renew_every();
        loop {
            let remaining = self.elector.fence.remaining();
            if remaining.is_zero() {
                tracing::error!(lease = config.name, "the lease was not renewed in time");
                return self.lost();
            }
            tokio::time::sleep(pause.min(remaining)).await;
            match self.renew().await {
                Ok(true) => pause = config.renew_every(),
                Ok(false) => {
                    tracing::error!(lease = config.name, "another process took the lease");
                    return self.lost();
                }
                Err(error) => {
                    tracing::warn!(lease = config.name, %error, "the lease could not be renewed yet");
                    pause = config.retry_every() / 2;
                }
            }
        }
    }

    /// Closes the fence and gives the Lease up, so that another process can
    /// take it at once. To be called once no write is under way any more.
    ///
    /// # Errors
    /// The error of the write; others then wait for a full duration.
    pub async fn release(self) -> Result<(), kube::Error> {
        let Self { elector, lease } = self;
        elector.fence.close();
        elector.limited(elector.give_up(lease)).await
    }

    /// One renewal; false when another process holds the Lease.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        let elector = &self.elector;
        // Half of the time left, so that one lost answer leaves time for another attempt.
        let remaining = elector.fence.remaining();
        let limit = (remaining / 2)
            .max(elector.config.retry_every() / 4)
            .min(remaining);
        let attempt = async {
            let start = elector.clock.now();
            let next = record::taken(&self.lease, &elector.config);
            let written = elector
                .api
                .replace(&elector.config.name, &PostParams::default(), &next)
                .await;
            if let Some(lease) = elector.won(start, written)? {
                return Ok(Some(lease));
            }
            // Our view is old: the answer to an earlier write of ours may have been lost.
            let Some(current) = elector.api.get_opt(&elector.config.name).await? else {
                return Ok(None);
            };
            if record::holder(&current) != Some(elector.config.identity.as_str()) {
                return Ok(None);
            }
            let start = elector.clock.now();
            let next = record::taken(&current, &elector.config);
            let written = elector
                .api
                .replace(&elector.config.name, &PostParams::default(), &next)
                .await;
            elector.won(start, written)
        };
        let renewed = tokio::time::timeout(limit, attempt)
            .await
            .unwrap_or_else(|elapsed| Err(kube::Error::Service(elapsed.into())))?;
        match renewed {
            Some(lease) => {
                self.lease = lease;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn lost(&self) -> LeaseLost {
        self.elector.fence.cut();
        LeaseLost
    }
}
