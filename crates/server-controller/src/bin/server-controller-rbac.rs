//! Writes the server-controller's roles and bindings to the files `server-controller.yaml` in and below `deploy/rbac`:
//! those for the operators of databases are in folders of their own.
//!
//! `server-controller-rbac [ROOT]` writes below ROOT, the top of the checkout (default: the
//! current folder).

use controller_runtime::rbac::{component, generate};
use server_controller::rbac;

const FILE: &str = "server-controller";

fn main() -> anyhow::Result<()> {
    generate(FILE, &rbac::cluster_role(), &rbac::lease_role())?;
    for (folder, role) in rbac::components() {
        component(folder, FILE, rbac::NAME, &role)?;
    }
    Ok(())
}
