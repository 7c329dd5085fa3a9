//! The operator as people install it, in Deployments on a real node.

mod leaders;
mod local;
mod pages;
mod readiness;
mod serving;
mod uninstall;
