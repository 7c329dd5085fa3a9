//! What the operator does with real pods of the real server, on a real kubelet.

mod adapter_account;
mod adapter_addresses;
mod adapter_services;
mod adapter_takeover;
mod adapter_tls;
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
mod share_faults;
mod share_namespaces;
mod shares;
mod steady_state;
mod stopping;
mod storage;
mod takeover;
mod tls;
mod trouble;
mod upgrades;
