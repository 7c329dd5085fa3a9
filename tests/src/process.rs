//! A controller as the process that people run, on this machine.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::identity::granted;
use crate::{World, random, until};

/// A program of this workspace, beside the one that runs.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(|deps| deps.parent());
    let file = folder.context("no folder")?.join(name);
    ensure!(
        file.is_file(),
        "{} is not there: cargo build --workspace --bins",
        file.display()
    );
    Ok(file)
}

/// A ServiceAccount of a world's namespace with the rights of the server-controller there, its lease included.
#[derive(Debug)]
pub struct Account {
    /// User name, as the audit log has it.
    pub user: String,
    kubeconfig: PathBuf,
}

impl Account {
    /// Makes the account `name`.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn create(world: &World, name: &str) -> Result<Self> {
        let accounts: Api<ServiceAccount> = world.api();
        let account = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        accounts.create(&PostParams::default(), &account).await?;
        let lease = server_controller::rbac::lease_role();
        let lease_name = lease.metadata.name.clone().unwrap_or_default();
        let roles: Api<Role> = world.api();
        if roles.get_opt(&lease_name).await?.is_none() {
            roles.create(&PostParams::default(), &lease).await?;
        }
        for (kind, role) in [
            ("ClusterRole", server_controller::rbac::NAME),
            ("Role", lease_name.as_str()),
        ] {
            let binding: RoleBinding = serde_json::from_value(json!({
                "metadata": {"name": format!("{name}-{role}")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": world.namespace}],
            }))?;
            world.api().create(&PostParams::default(), &binding).await?;
        }
        let user = format!("system:serviceaccount:{}:{name}", world.namespace);
        granted(&world.admin, &user, &world.namespace).await?;
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await?
            .status
            .context("no token was given")?
            .token;
        let file = format!("dittofs-kubeconfig-{}", random::suffix()?);
        let kubeconfig = std::env::temp_dir().join(file);
        let mut config = serde_json::to_value(Kubeconfig::read()?)?;
        for user in config["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token });
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&kubeconfig)?;
        // JSON is YAML.
        file.write_all(config.to_string().as_bytes())?;
        Ok(Account { user, kubeconfig })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

/// A running controller. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program `name`, as `account` or else as the administrator.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, account: Option<&Account>, arguments: &[&str]) -> Result<Self> {
        let log = std::env::temp_dir().join(format!("dittofs-{name}-{}.log", random::suffix()?));
        let file = File::create(&log)?;
        let mut command = Command::new(program(name)?);
        // A proxy for downloads knows no way to a local cluster.
        for variable in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
            command.env_remove(variable);
        }
        if let Some(account) = account {
            command.arg("--kubeconfig").arg(&account.kubeconfig);
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Process { child, log })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| self.said())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        until("the process has ended", async || {
            Ok(match self.child.try_wait()? {
                Some(status) => Ok(status),
                None => Err(self.said()),
            })
        })
        .await
    }

    /// What it said.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Who holds the lease `name`, if anybody does.
///
/// # Errors
/// When it cannot be read.
pub async fn holder(admin: &Client, namespace: &str, name: &str) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(admin.clone(), namespace);
    let lease = leases.get_opt(name).await?;
    Ok(lease
        .and_then(|lease| lease.spec)
        .and_then(|spec| spec.holder_identity)
        .filter(|holder| !holder.is_empty()))
}

/// Waits until somebody other than `than` holds the lease; gives who.
///
/// # Errors
/// When nobody else does.
pub async fn another_holder(
    admin: &Client,
    namespace: &str,
    name: &str,
    than: Option<&str>,
) -> Result<String> {
    until("another process holds the lease", async || {
        Ok(match holder(admin, namespace, name).await? {
            Some(holder) if than != Some(holder.as_str()) => Ok(holder),
            other => Err(format!("{other:?}")),
        })
    })
    .await
}
