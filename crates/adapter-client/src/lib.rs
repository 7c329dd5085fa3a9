//! Client of the REST control plane of dfs, usable without Kubernetes.
