//! Says without a cluster what the API server would say to a manifest of a DittoFS resource.
//!
//! Each step is the API server's, in its order, from the schema of the CRD that is shipped:
//!
//! 1. `prune`: unknown fields are refused, as with `kubectl apply` (strict field validation);
//! 2. `defaults`: fields that are absent get the schema's defaults;
//! 3. `schema` and `lists`: types, bounds, patterns, enumerations, required fields, keys of lists;
//! 4. `rules`: the CEL rules, those about changes included.
//!
//! An unchanged part of an object is not refused in an update, even if it would be in a new object
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting>).
//!
//! What needs a cluster is not checked: whether StorageClasses, Secrets and keys exist, admission
//! policies and quotas. Of the metadata, only the name is checked.
//!
//! This is a crate of its own, and no controller depends on it: their binaries hold no CEL interpreter.

mod defaults;
mod lists;
mod manifest;
mod prune;
mod refusal;
mod rules;
mod schema;
mod validator;

pub use manifest::{Document, ManifestError, documents};
pub use refusal::Refusal;
pub use validator::{UnreadableSchema, Validator};
