//! What the controller asked of the API server, from the audit log.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use cluster_tests::audit::{Audit, Entry, Mark, listed};
use tokio::time::Instant;

/// Longest time that anything here may take.
const LIMIT: Duration = Duration::from_secs(180);

/// User of the cluster's own kubeconfig.
pub(crate) const ADMINISTRATOR: &str = "kubernetes-admin";

/// The requests of one user.
pub(crate) struct Requests {
    audit: Audit,
    user: String,
    beginning: Mark,
}

/// Numbers of requests by verb and resource.
pub(crate) type Counts = BTreeMap<String, usize>;

impl Requests {
    pub(crate) fn new(audit: Audit, user: String) -> Self {
        let beginning = audit.mark().unwrap_or_default();
        Requests {
            audit,
            user,
            beginning,
        }
    }

    pub(crate) fn mark(&self) -> Result<Mark> {
        self.audit.mark()
    }

    pub(crate) fn since(&self, mark: Mark) -> Result<Vec<Entry>> {
        self.of(mark, &self.user)
    }

    /// What `user` asked for since `mark`.
    pub(crate) fn of(&self, mark: Mark, user: &str) -> Result<Vec<Entry>> {
        self.audit.since(mark, user)
    }

    /// Waits until the controller has not asked for anything for the time `calm`; gives what it
    /// asked for since `mark`.
    pub(crate) async fn quiet(&self, mark: Mark, calm: Duration) -> Result<Vec<Entry>> {
        let end = Instant::now() + LIMIT;
        let mut known = self.since(mark)?;
        let mut since = Instant::now();
        while since.elapsed() < calm {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.since(mark)?;
            if now.len() != known.len() {
                ensure!(Instant::now() < end, "the controller does not come to rest");
                known = now;
                since = Instant::now();
            }
        }
        Ok(known)
    }

    /// Waits until the controller has made `number` objects since `mark`; gives their creations.
    pub(crate) async fn made(&self, mark: Mark, number: usize) -> Result<Vec<Entry>> {
        let end = Instant::now() + LIMIT;
        loop {
            let made: Vec<Entry> = self
                .since(mark)?
                .into_iter()
                .filter(Entry::is_creation)
                .collect();
            if made.len() >= number {
                return Ok(made);
            }
            if Instant::now() > end {
                bail!("{} of {number} objects were made", made.len());
            }
            // Rarely: reading the log takes processor time from what is measured.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Fails when the shipped role was not enough.
    pub(crate) fn nothing_was_denied(&self) -> Result<()> {
        let all = self.since(self.beginning)?;
        let denied = listed(all.iter().filter(|entry| entry.is_denied()));
        ensure!(denied == "none", "the controller lacks rights: {denied}");
        Ok(())
    }
}

/// Whether it read something, watches apart: they last.
pub(crate) fn is_read(entry: &Entry) -> bool {
    ["get", "list"].contains(&entry.verb.as_str())
}

/// Requests that were answered with a conflict or an error count too: they cost as much.
pub(crate) fn counts<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Counts {
    let mut counts = Counts::new();
    for entry in entries {
        *counts
            .entry(format!("{} {}", entry.verb, entry.resource))
            .or_default() += 1;
    }
    counts
}
