//! Processor time of the cluster's processes and of the controller, from the kernel.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Process;

/// Processor time of each process while something was done, in seconds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Processor {
    pub(crate) api_server: f64,
    pub(crate) etcd: f64,
    pub(crate) controller_manager: f64,
    /// 0 for the raw client, whose own time is not counted.
    pub(crate) controller: f64,
}

impl Processor {
    /// What each has used since its start.
    pub(crate) fn now(controller: Option<&Process>) -> Result<Self> {
        let state = std::env::var("DITTOFS_CLUSTER_STATE").context("DITTOFS_CLUSTER_STATE")?;
        let of = |name: &str| -> Result<f64> {
            let file = Path::new(&state).join("pids").join(name);
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
            let pid = text
                .split_whitespace()
                .next()
                .context("an empty file")?
                .parse()?;
            Ok(used(pid)?.as_secs_f64())
        };
        Ok(Processor {
            api_server: of("kube-apiserver")?,
            etcd: of("etcd")?,
            controller_manager: of("kube-controller-manager")?,
            controller: controller
                .map_or(Ok(Duration::ZERO), Process::processor_time)?
                .as_secs_f64(),
        })
    }

    /// What each has used since `before`.
    pub(crate) fn since(self, before: Processor) -> Processor {
        Processor {
            api_server: self.api_server - before.api_server,
            etcd: self.etcd - before.etcd,
            controller_manager: self.controller_manager - before.controller_manager,
            controller: self.controller - before.controller,
        }
    }
}

/// Processor time of a process since its start, to a hundredth of a second
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
pub(crate) fn used(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("no name in stat")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap_or_default())
        .sum();
    // USER_HZ is 100 on every architecture that Rust knows.
    Ok(Duration::from_millis(10 * ticks))
}
