//! The operator as people install it: Deployments of the overlay `dev`, in the cluster.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::checkout;
use crate::installation::OPERATOR;
use crate::kubectl::kubectl;
use crate::process::holder;
use crate::{Cluster, until};

/// The three controllers, as their programs are called.
pub const CONTROLLERS: [&str; 3] = [
    "server-controller",
    "adapter-controller",
    "share-controller",
];

/// There is one installation in a cluster: one test at a time works with it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The right to work with the installation until it is dropped.
pub fn alone() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing in here that could be broken.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The overlay that is installed.
#[must_use]
pub fn overlay() -> PathBuf {
    checkout().join("deploy/overlays/dev")
}

/// Applies the overlay and waits until every replica is ready. Doing it again changes nothing.
///
/// # Errors
/// When they do not become ready, such as without the image that `hack/test` puts on the node.
pub async fn install() -> Result<()> {
    let overlay = overlay();
    let apply = ["apply", "--server-side", "--force-conflicts", "-k"];
    let said = kubectl(&[&apply[..], &[&overlay.to_string_lossy()]].concat(), "").await?;
    // Among them: what the pod security level of the namespace would refuse.
    if said.contains("Warning") {
        bail!("the API server warns: {said}");
    }
    for controller in CONTROLLERS {
        scaled(controller, 2).await?;
    }
    for crd in ["dittoservers", "dittofsshares"] {
        let name = format!("crd/{crd}.dittofs.dittofs.com");
        kubectl(
            &[
                "wait",
                "--for=condition=Established",
                &name,
                "--timeout=180s",
            ],
            "",
        )
        .await?;
    }
    Ok(())
}

/// Sets the number of processes of a controller and waits until so many are ready and no other is left.
///
/// # Errors
/// When it does not come to that.
pub async fn scaled(controller: &str, replicas: usize) -> Result<()> {
    let deployment = format!("deployment/dittofs-{controller}");
    let replicas_option = format!("--replicas={replicas}");
    let scale = ["scale", &deployment, "-n", OPERATOR, &replicas_option];
    kubectl(&scale, "").await?;
    let status = [
        "rollout",
        "status",
        &deployment,
        "-n",
        OPERATOR,
        "--timeout=300s",
    ];
    kubectl(&status, "").await?;
    let cluster = Cluster::connect().await?;
    until(&format!("{replicas} pods of {controller}"), async || {
        let pods = pods(&cluster, controller).await?;
        Ok(if pods.len() == replicas {
            Ok(())
        } else {
            Err(format!("{}", pods.len()))
        })
    })
    .await
}

/// The pods of a controller.
///
/// # Errors
/// When they cannot be read.
pub async fn pods(cluster: &Cluster, controller: &str) -> Result<Vec<Pod>> {
    let labels = format!("app.kubernetes.io/component={controller}");
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), OPERATOR);
    Ok(pods
        .list(&ListParams::default().labels(&labels))
        .await?
        .items)
}

/// Who the leader of a controller is, as its lease says, and its pod.
///
/// # Errors
/// When there is none.
pub async fn leader(cluster: &Cluster, controller: &str) -> Result<(String, Pod)> {
    until(&format!("a pod leads as {controller}"), async || {
        let Some(identity) = holder(&cluster.admin, OPERATOR, controller).await? else {
            return Ok(Err("nobody holds the lease".to_owned()));
        };
        let pods = pods(cluster, controller).await?;
        let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        // A process calls itself after its host, which is its pod, and a random number.
        let found = pods
            .into_iter()
            .find(|pod| identity.starts_with(&format!("{}_", pod.name_any())));
        Ok(found
            .map(|pod| (identity.clone(), pod))
            .ok_or_else(|| format!("{identity} is none of {names:?}")))
    })
    .await
}

/// Sends a signal to the controller in a pod: the node's processes are this machine's.
///
/// # Errors
/// When there is no such process.
pub fn signal(pod: &Pod, controller: &str, signal: Signal) -> Result<()> {
    let uid = pod.uid().context("a pod without UID")?;
    let program = format!("/{controller}");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file));
        let (Ok(groups), Ok(line)) = (read("cgroup"), read("cmdline")) else {
            continue;
        };
        if groups.contains(&uid) && line.split('\0').next() == Some(program.as_str()) {
            let pid = Pid::from_raw(pid).context("no process has the number 0")?;
            return Ok(kill_process(pid, signal)?);
        }
    }
    bail!("no process {program} of pod {uid} on this machine")
}

/// How often the container of a pod was started again.
///
/// # Errors
/// When the pod has no status.
pub fn restarts(pod: &Pod) -> Result<i32> {
    Ok(crate::pods::container_of(pod)?.restart_count)
}
