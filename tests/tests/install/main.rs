//! The operator as people install it, in Deployments on a real node.

mod leaders;
mod local;
mod serving;
mod uninstall;
