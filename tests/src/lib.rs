//! Harness of the tests of the operator against a real cluster.
//!
//! A test is one [`scenario`]: a fresh namespace, a controller that runs in the test's own process
//! as a ServiceAccount bound to the generated role, and the audit log of the API server as the
//! witness of every request it made.

pub mod adapters;
pub mod asked;
pub mod audit;
pub mod backends;
pub mod belongings;
pub mod certificates;
pub mod children;
pub mod clients;
pub mod cluster;
pub mod controller;
pub mod crash;
pub mod databases;
pub mod deployed;
pub mod end_state;
pub mod faults;
#[cfg(test)]
mod guards;
pub mod identity;
pub mod installation;
pub mod kernel_nfs;
pub mod kubectl;
pub mod listeners;
pub mod logs;
pub mod manifests;
pub mod monitoring;
pub mod namespace;
pub mod nfs_tls;
pub mod pages;
pub mod paths;
pub mod pods;
pub mod ports;
pub mod predecessor;
pub mod process;
pub mod random;
pub mod release;
pub mod request_log;
pub mod rest;
pub mod scrape;
pub mod shares;
pub mod traffic;
pub mod wait;
pub mod world;

pub use children::Child;
pub use cluster::Cluster;
pub use controller::Controller;
pub use namespace::Pods;
pub use pods::PodLog;
pub use wait::until;
pub use world::{Failure, Outcome, SERVER, World, scenario};
