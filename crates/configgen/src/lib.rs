//! From a DittoServer to what the server process reads: its configuration file, the Secrets it
//! takes, and the digest of what a restart depends on.
//!
//! Facts about the server: server contract, sections 1.3, 2 and 5.

mod config_file;
mod digest;
mod inputs;
mod memory;
pub mod paths;
mod pod_digest;

pub use config_file::{ConfigError, config_file};
pub use digest::{RestartSpec, restart_digest};
pub use inputs::{Check, Concern, Effect, Input, InputKind, JWT_KEY, PASSWORD_KEY, inputs};
