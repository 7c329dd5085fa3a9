//! Writes the share-controller's roles and bindings to the files `share-controller.yaml` in and below `deploy/rbac`.
//!
//! `share-controller-rbac [ROOT]` writes below ROOT, the top of the checkout (default: the
//! current folder).

use share_controller::rbac;

fn main() -> anyhow::Result<()> {
    controller_runtime::rbac::generate(
        "share-controller",
        &rbac::cluster_role(),
        &rbac::lease_role(),
    )
}
