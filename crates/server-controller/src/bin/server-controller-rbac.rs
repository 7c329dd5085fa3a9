//! Writes the server-controller's roles and bindings to the files `server-controller.yaml` in and below `deploy/rbac`.
//!
//! `server-controller-rbac [ROOT]` writes below ROOT, the top of the checkout (default: the
//! current folder).

use server_controller::rbac;

fn main() -> anyhow::Result<()> {
    controller_runtime::rbac::generate(
        "server-controller",
        &rbac::cluster_role(),
        &rbac::lease_role(),
    )
}
