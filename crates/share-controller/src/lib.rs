//! Reconciles DittoFSShare: the shares people mount.
//!
//! A visit is a pipeline: [`observe`] reads Kubernetes, [`validate`] says what the share shall be, the
//! server's task ([`server`]) has it be so, [`status`] and [`report`] tell of it. What a task does is decided
//! without I/O: what a DittoFSShare declares ([`declared`]), which stores it has ([`stores`]), how shares in
//! the server are known to be ours ([`marker`]), where the server differs ([`drift`]), and which request comes
//! next ([`plan`]); [`carry_out`] sends it. The snapshot policies that a DittoServer declares are kept by the same task
//! ([`policies`]).

pub mod carry_out;
pub mod controller;
pub mod declared;
pub mod drift;
pub mod marker;
pub mod observe;
pub mod plan;
pub mod policies;
pub mod rbac;
pub mod report;
pub mod server;
pub mod status;
pub mod stores;
pub mod validate;
pub mod watches;
pub mod wish;
pub mod world;

pub use controller::run;

/// Field manager of everything that this controller writes.
pub const MANAGER: &str = "dittofs-share-controller";
/// Of managedFields only the entries of these managers are kept in memory.
pub const MANAGERS: &[&str] = &[MANAGER];
