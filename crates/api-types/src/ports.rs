//! Ports of the server, all TCP. Source: server contract 1.4.

/// NFS listener of a fresh server: v3, v4, MOUNT and NLM share it.
pub const NFS: u16 = 12049;
/// SMB listener of a fresh server.
pub const SMB: u16 = 1445;
/// REST API and health, unless `spec.controlPlane.port` says otherwise.
pub const API: u16 = 8080;
/// Prometheus metrics, unless `spec.metrics.port` says otherwise.
pub const METRICS: u16 = 9090;
