//! Reconciles DittoFSShare: the shares people mount.
//!
//! What is here is pure: what a DittoFSShare declares ([`declared`]), where the server differs from it
//! ([`drift`]), which stores it has ([`stores`]), and how shares in the server are known to be ours ([`marker`]).

pub mod declared;
pub mod drift;
pub mod marker;
pub mod stores;
