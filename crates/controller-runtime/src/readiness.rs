//! Which watches have delivered their first full list.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Which watches have delivered their first full list. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gates: Mutex<BTreeMap<String, bool>>,
    missing: watch::Sender<usize>,
    /// Set once the run loop has ended.
    dead: Mutex<Option<String>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            gates: Mutex::default(),
            missing: watch::Sender::new(0),
            dead: Mutex::default(),
        }
    }
}

/// One thing that must be there before a process is ready. Dropping it changes
/// nothing.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// Nothing to wait for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds something to wait for; the name is shown to people, with a number
    /// when it was used before.
    #[must_use]
    pub fn register(&self, name: &str) -> Gate {
        let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unique = name.to_owned();
        let mut number = 1_usize;
        while gates.contains_key(&unique) {
            number += 1;
            unique = format!("{name} ({number})");
        }
        gates.insert(unique.clone(), false);
        self.0
            .missing
            .send_replace(gates.values().filter(|open| !**open).count());
        Gate {
            readiness: self.clone(),
            name: unique,
        }
    }

    /// Names of everything still waited for.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates
            .iter()
            .filter(|(_, open)| !**open)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether nothing is waited for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.missing.borrow() == 0
    }

    /// Completes once nothing is waited for.
    pub async fn ready(&self) {
        let mut receiver = self.0.missing.subscribe();
        // An error means that the sender is gone, which `self` rules out.
        let _ = receiver.wait_for(|missing| *missing == 0).await;
    }

    /// Records that the process can do no more work, and why.
    pub fn set_dead(&self, reason: impl Into<String>) {
        *self.0.dead.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// Why the process can do no more work, if so.
    #[must_use]
    pub fn dead(&self) -> Option<String> {
        self.0
            .dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn open(&self, name: &str) {
        let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = gates.get_mut(name) {
            *open = true;
        }
        self.0
            .missing
            .send_replace(gates.values().filter(|open| !**open).count());
    }
}

impl Gate {
    /// Whether the thing is there.
    pub(crate) fn is_open(&self) -> bool {
        let gates = self
            .readiness
            .0
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        gates.get(&self.name).copied().unwrap_or_default()
    }

    /// Records that the thing is there.
    pub fn open(&self) {
        self.readiness.open(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_registered_must_open() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let first = readiness.register("pods");
        let second = readiness.register("services");
        first.open();
        assert_eq!(readiness.missing(), ["services"]);
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        second.open();
        waiting.await.unwrap();
        assert!(readiness.is_ready());
    }
}
