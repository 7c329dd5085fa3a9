//! What the operator does with real pods of the real server, on a real kubelet.

mod configuration;
mod crashes;
mod images;
mod inputs;
mod metrics;
mod namespaces;
mod port_forward;
mod restart_table;
mod restarts;
mod serving;
mod steady_state;
mod stopping;
mod storage;
mod takeover;
mod tls;
mod trouble;
mod upgrades;
