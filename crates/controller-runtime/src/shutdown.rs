//! The wish to stop, shared by every task of a process.

use std::sync::Arc;

use tokio::sync::watch;

/// The wish to stop, shared by every task of a process. Cheap to clone; once
/// triggered it stays so.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// A wish not yet expressed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every task to stop.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether the process was asked to stop.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes once the process is asked to stop, at once if it already was.
    pub async fn triggered(&self) {
        let mut receiver = self.0.subscribe();
        // An error means that the sender is gone, which `self` rules out.
        let _ = receiver.wait_for(|asked| *asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_and_late_ones_too() {
        let shutdown = Shutdown::new();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.triggered().await }
        });
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        early.await.unwrap();
        shutdown.clone().triggered().await;
        assert!(shutdown.is_triggered());
    }
}
