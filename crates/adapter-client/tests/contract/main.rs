//! The client against the real dfs, which these tests start by themselves.
//!
//! A fault proxy stands in front of it for what the real server does not do on
//! demand; every good answer comes from the real one.

#[cfg(test)]
mod dfs;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod session;
#[cfg(test)]
mod tls;
