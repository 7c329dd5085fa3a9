//! The DittoFS custom resources: types, schema, validation, names and labels.
//!
//! Everything here is pure: no client, no clock, no environment. The CRD YAML in `deploy/crds`, the roles of
//! people in `deploy/rbac/users` and the API references in `docs` are generated from these types by
//! `cargo run -p api-types --bin generate`.

#![allow(
    unreachable_pub,
    reason = "the derive KubeSchema repeats public structs inside function bodies"
)]

pub mod annotations;
pub mod conditions;
pub mod duration;
pub mod labels;
pub mod names;
pub mod ports;
pub mod quantity;
pub mod reference;
pub mod schema_docs;
pub mod size;
pub mod user_roles;
pub mod v1alpha1;

pub use v1alpha1::{
    DittoFSShare, DittoFSShareSpec, DittoFSShareStatus, DittoServer, DittoServerSpec,
    DittoServerStatus,
};
