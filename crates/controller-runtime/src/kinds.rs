//! Which Rust types can be watched and written. Every namespaced kind of
//! k8s-openapi and of `#[derive(CustomResource)]` is one.

use std::fmt::Debug;

use kube::{Resource, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};

/// A namespaced kind that can be watched and read.
pub trait Readable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Readable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// A namespaced kind that can be written too.
pub trait Writable: Readable + Serialize {}

impl<K: Readable + Serialize> Writable for K {}
