//! The part of the cluster that a process serves.

use kube::{Api, Client, Resource, core::NamespaceResourceScope};

/// The part of the cluster that a process serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    Cluster,
    /// These namespaces only; never empty when made by [`Scope::from_names`].
    Namespaces(Vec<String>),
}

impl Scope {
    /// The namespaces named, sorted and without empty names and duplicates;
    /// the whole cluster when no name is left.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = names
            .into_iter()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            Self::Cluster
        } else {
            Self::Namespaces(names)
        }
    }

    /// One `Api` per collection that must be listed and watched to see every
    /// `K` in this scope.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => vec![Api::all(client.clone())],
            Self::Namespaces(names) => names
                .iter()
                .map(|name| Api::namespaced(client.clone(), name))
                .collect(),
        }
    }

    /// Whether objects of this namespace are served.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespaces(names) => names.iter().any(|name| name == namespace),
        }
    }

    /// Index, among the collections of [`Scope::apis`], of the one that holds
    /// objects of this namespace.
    pub(crate) fn collection_of(&self, namespace: &str) -> Option<usize> {
        match self {
            Self::Cluster => Some(0),
            Self::Namespaces(names) => names.iter().position(|name| name == namespace),
        }
    }

    /// Number of collections that [`Scope::apis`] gives.
    pub(crate) fn collections(&self) -> usize {
        match self {
            Self::Cluster => 1,
            Self::Namespaces(names) => names.len(),
        }
    }
}
