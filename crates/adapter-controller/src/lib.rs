//! Reconciles the live protocol adapters of a `DittoServer`: their Services, policies and status.
//!
//! The servers are asked by tasks of their own ([`poll`]), outside the reconciles. A reconcile is a
//! pipeline: [`observe`] reads, [`plan`] decides without I/O, [`apply`] writes the children,
//! [`report`] writes the status that [`status`] made of what was applied.

pub mod apply;
pub mod controller;
pub mod known;
pub mod observe;
pub mod plan;
pub mod poll;
pub mod rbac;
pub mod report;
pub mod rest;
pub mod status;
pub mod takeover;
#[cfg(test)]
mod testing;
pub mod watches;

pub use controller::run;

/// Field manager of everything that this controller writes.
pub const MANAGER: &str = "dittofs-adapter-controller";
/// Of managedFields only the entries of these managers are kept in memory.
pub const MANAGERS: &[&str] = &[MANAGER];
