//! Writes the adapter-controller's roles and bindings to the files `adapter-controller.yaml` in and below `deploy/rbac`.
//!
//! `adapter-controller-rbac [ROOT]` writes below ROOT, the top of the checkout (default: the
//! current folder).

use adapter_controller::rbac;

fn main() -> anyhow::Result<()> {
    controller_runtime::rbac::generate(
        "adapter-controller",
        &rbac::cluster_role(),
        &rbac::lease_role(),
    )
}
