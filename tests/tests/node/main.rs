//! What the operator does with real pods of the real server, on a real kubelet.

mod configuration;
mod images;
mod port_forward;
mod restarts;
mod serving;
mod steady_state;
mod stopping;
mod storage;
