//! Watches: stores of our own objects, and store-less triggers for foreign ones.

pub(crate) mod cache;
#[cfg(test)]
mod cache_tests;
mod events;
pub(crate) mod guard;
mod held;
mod installable;
#[cfg(test)]
mod installable_tests;
mod metadata;
mod references;
mod remembered;
#[cfg(test)]
mod stream_tests;
mod watched;

pub use held::{HeldSecret, SecretState, keep, secrets};
pub use installable::Installable;
pub use metadata::{
    cluster_metadata_triggers, cluster_reference_triggers, metadata_triggers, reference_triggers,
};
pub use references::{References, Target};
pub use remembered::{Asked, Remembered};
pub use watched::{Primaries, Primary, Watched};

use futures::stream::BoxStream;
use kube::{
    core::{Selector, SelectorExt},
    runtime::reflector::ObjectRef,
};

/// Label selector of every object that the operator makes.
pub const MANAGED_BY_SELECTOR: (&str, &str) = ("app.kubernetes.io/managed-by", "dittofs-operator");

/// Primaries to visit, because something that concerns them changed.
pub type Triggers<P> = BoxStream<'static, ObjectRef<P>>;

/// What a watch delivers and keeps.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    pub(crate) selector: Selector,
    pub(crate) managers: &'static [&'static str],
    pub(crate) optional: bool,
    /// A store of the objects that are reconciled.
    pub(crate) primary: bool,
    pub(crate) name: Option<String>,
}

impl WatchOptions {
    /// Every object in the scope; of managedFields nothing is kept.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Objects that carry [`MANAGED_BY_SELECTOR`]; of managedFields the entries
    /// of these field managers are kept.
    #[must_use]
    pub fn owned(managers: &'static [&'static str]) -> Self {
        Self::all()
            .labelled(MANAGED_BY_SELECTOR.0, MANAGED_BY_SELECTOR.1)
            .managers(managers)
    }

    /// Objects with this label value only, besides what was asked before.
    #[must_use]
    pub fn labelled(mut self, key: &'static str, value: &'static str) -> Self {
        self.selector.extend(Selector::from_iter([(key, value)]));
        self
    }

    /// Field managers whose managedFields entries are kept.
    #[must_use]
    pub fn managers(mut self, managers: &'static [&'static str]) -> Self {
        self.managers = managers;
        self
    }

    /// Neither readiness nor the first reconcile waits for this watch: its
    /// kind may be absent from the cluster, such as an optional CRD.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// What the store lacks does not exist: nothing is hidden to be read by name.
    pub(crate) fn primary(mut self) -> Self {
        self.primary = true;
        self
    }

    /// The name that readiness and logs show; by default the plural of the kind.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn config(&self) -> kube::runtime::watcher::Config {
        let config = kube::runtime::watcher::Config::default();
        if self.selector.selects_all() {
            config
        } else {
            config.labels(&self.selector.to_string())
        }
    }

    fn selects(&self, labels: Option<&std::collections::BTreeMap<String, String>>) -> bool {
        self.selector
            .matches(labels.unwrap_or(&std::collections::BTreeMap::new()))
    }
}
