//! The client against the real dfs, which these tests start by themselves.
//!
//! A fault proxy stands in front of it for what the real server does not do on
//! demand; every good answer comes from the real one.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod data;
#[cfg(test)]
mod dfs;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod protocols;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod router;
#[cfg(test)]
mod session;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod topics;
