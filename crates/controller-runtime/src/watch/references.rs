//! Which primaries refer to which foreign objects.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use kube::{Resource, runtime::reflector::ObjectRef};

/// A foreign object: kind, namespace, name.
pub type Target = (Cow<'static, str>, String, String);

/// Which primaries refer to which foreign objects by name. Cheap to clone;
/// all clones share one index.
pub struct References<P: Resource<DynamicType = ()>>(Arc<RwLock<Index<P>>>);

struct Index<P: Resource<DynamicType = ()>> {
    by_target: HashMap<Target, HashSet<ObjectRef<P>>>,
    by_primary: HashMap<ObjectRef<P>, HashSet<Target>>,
}

impl<P: Resource<DynamicType = ()>> Clone for References<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Resource<DynamicType = ()>> Default for References<P> {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Index {
            by_target: HashMap::new(),
            by_primary: HashMap::new(),
        })))
    }
}

impl<P: Resource<DynamicType = ()>> std::fmt::Debug for References<P> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        formatter
            .debug_struct("References")
            .field("targets", &index.by_target.len())
            .finish()
    }
}

impl<P: Resource<DynamicType = ()>> References<P> {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces everything that a primary refers to, each as kind, namespace
    /// and name. Returns what no primary refers to any more.
    pub fn set<S, N, M>(
        &self,
        primary: &ObjectRef<P>,
        references: impl IntoIterator<Item = (S, N, M)>,
    ) -> Vec<Target>
    where
        S: Into<Cow<'static, str>>,
        N: Into<String>,
        M: Into<String>,
    {
        let targets: HashSet<Target> = references
            .into_iter()
            .map(|(kind, namespace, name)| (kind.into(), namespace.into(), name.into()))
            .collect();
        let mut index = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if index.by_primary.get(primary) == Some(&targets) {
            return Vec::new();
        }
        let mut left = index.clear(primary);
        left.retain(|target| !targets.contains(target));
        if targets.is_empty() {
            return left;
        }
        for target in &targets {
            index
                .by_target
                .entry(target.clone())
                .or_default()
                .insert(primary.clone());
        }
        index.by_primary.insert(primary.clone(), targets);
        left
    }

    /// Forgets a primary. Returns what no primary refers to any more.
    pub fn remove(&self, primary: &ObjectRef<P>) -> Vec<Target> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear(primary)
    }

    /// Primaries that refer to this object.
    #[must_use]
    pub fn lookup(&self, kind: &str, namespace: &str, name: &str) -> Vec<ObjectRef<P>> {
        let target = (
            Cow::Owned(kind.to_owned()),
            namespace.to_owned(),
            name.to_owned(),
        );
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        index
            .by_target
            .get(&target)
            .map(|primaries| primaries.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Primaries that refer to any object of this kind.
    #[must_use]
    pub fn lookup_kind(&self, kind: &str) -> Vec<ObjectRef<P>> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let primaries: HashSet<&ObjectRef<P>> = index
            .by_target
            .iter()
            .filter(|((of, _, _), _)| of == kind)
            .flat_map(|(_, primaries)| primaries)
            .collect();
        primaries.into_iter().cloned().collect()
    }
}

impl<P: Resource<DynamicType = ()>> Index<P> {
    /// Removes a primary; returns what is referred to by none then.
    fn clear(&mut self, primary: &ObjectRef<P>) -> Vec<Target> {
        let mut left = Vec::new();
        for target in self.by_primary.remove(primary).unwrap_or_default() {
            if let Some(primaries) = self.by_target.get_mut(&target) {
                primaries.remove(primary);
                if primaries.is_empty() {
                    self.by_target.remove(&target);
                    left.push(target);
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn primary(name: &str) -> ObjectRef<ConfigMap> {
        ObjectRef::new(name).within("ns")
    }

    #[test]
    fn a_new_set_replaces_the_old_one_and_removal_leaves_nothing() {
        let references = References::new();
        references.set(
            &primary("a"),
            [("Secret", "ns", "s1"), ("Secret", "ns", "s2")],
        );
        references.set(
            &primary("b"),
            [("Secret", "ns", "s2"), ("ConfigMap", "ns", "c")],
        );
        assert_eq!(references.lookup("Secret", "ns", "s1"), [primary("a")]);
        assert_eq!(references.lookup("Secret", "ns", "s2").len(), 2);
        assert_eq!(references.lookup_kind("Secret").len(), 2);
        assert!(references.lookup("Secret", "other", "s1").is_empty());

        let left = references.set(&primary("a"), [("Secret", "ns", "s2")]);
        assert_eq!(left, [("Secret".into(), "ns".to_owned(), "s1".to_owned())]);
        assert!(references.lookup("Secret", "ns", "s1").is_empty());
        assert!(references.remove(&primary("a")).is_empty(), "b needs it");
        assert_eq!(references.remove(&primary("b")).len(), 2);
        let index = references.0.read().unwrap();
        assert!(index.by_target.is_empty() && index.by_primary.is_empty());
    }
}
