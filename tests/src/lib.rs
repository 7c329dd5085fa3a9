//! Tests of the operator against a real cluster.
