//! Writes the server-controller's roles to `deploy/rbac/server-controller.yaml`.
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
