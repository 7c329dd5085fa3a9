//! The client against the real dfs, which these tests start by themselves.
//!
//! A fault proxy stands in front of it for what the real server does not do on
//! demand; every good answer comes from the real one.

mod dfs;
mod faults;
mod proxy;
mod recorder;
mod routes;
mod session;
mod tls;
