//! Reconciles DittoFSShare: the shares people mount.
