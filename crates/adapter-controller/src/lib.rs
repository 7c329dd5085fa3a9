//! Reconciles the live protocol adapters of a DittoServer.
