//! Reconciles `DittoServer`: the infrastructure of a file server.
//!
//! A reconcile is a pipeline: [`observe`] reads, [`validate`] and [`plan`] decide without I/O,
//! [`apply`] writes the children, [`report`] writes the status that [`status`] made of what was
//! applied.

pub mod apply;
pub mod check;
pub mod claims;
pub mod controller;
pub mod observe;
pub mod plan;
pub mod rbac;
pub mod report;
mod rights;
pub mod status;
pub mod takeover;
#[cfg(test)]
mod testing;
pub mod validate;
pub mod watches;

pub use controller::run;

/// Field manager of everything that this controller writes.
pub const MANAGER: &str = "dittofs-server-controller";
/// Of managedFields only the entries of these managers are kept in memory.
pub const MANAGERS: &[&str] = &[MANAGER];
