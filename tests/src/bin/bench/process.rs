//! The controller as the process that is shipped, and what the kernel says of it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the controller is started.
pub(crate) struct Launcher {
    pub(crate) binary: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) log: PathBuf,
    /// Number of its watches: as many as it lists kinds in a cluster where each list is one page.
    /// The first start tells.
    pub(crate) watches: OnceLock<u64>,
}

/// A running controller. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    /// From its start to the moment in which every watch was answered.
    pub(crate) start: Duration,
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Memory {
    /// All of it (VmRSS).
    pub(crate) resident: u64,
    /// What is no part of a file (RssAnon): heap and stacks.
    pub(crate) anonymous: u64,
    /// The most that was resident so far (VmHWM).
    pub(crate) highest: u64,
}

impl Process {
    /// Starts the controller and waits until all its watches stand.
    pub(crate) async fn start(launcher: &Launcher) -> Result<Self> {
        let address = free_address()?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&launcher.log)?;
        let began = Instant::now();
        let child = Command::new(&launcher.binary)
            .arg("--kubeconfig")
            .arg(&launcher.kubeconfig)
            .args(["--http-address", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", launcher.binary.display()))?;
        let mut process = Process {
            child,
            address,
            start: Duration::ZERO,
        };
        let watches = loop {
            if let Some(watches) = process.watches(launcher.watches.get()).await {
                break watches;
            }
            if process.child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(30) {
                bail!(
                    "the controller did not start: see {}",
                    launcher.log.display()
                );
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        process.start = began.elapsed();
        launcher.watches.get_or_init(|| watches);
        Ok(process)
    }

    /// Number of watches that were answered, once it is ready and has all of them: `known`, or as
    /// many as lists.
    async fn watches(&self, known: Option<&u64>) -> Option<u64> {
        let (200, _) = self.get("/readyz").await? else {
            return None;
        };
        let (200, metrics) = self.get("/metrics").await? else {
            return None;
        };
        let count = |verb: &str| -> u64 {
            let start =
                format!("dittofs_operator_api_requests_total{{verb=\"{verb}\",code=\"2xx\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
            line.and_then(|number| number.trim().parse().ok())
                .unwrap_or_default()
        };
        let (lists, watches) = (count("list"), count("watch"));
        (lists > 0 && watches >= *known.unwrap_or(&lists)).then_some(watches)
    }

    /// Status and body of an answer of its HTTP server.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            Ok(1024
                * kilobytes
                    .context("no such line in status")?
                    .parse::<u64>()?)
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            highest: field("VmHWM:")?,
        })
    }

    /// Processor time since its start, to a hundredth of a second
    /// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
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

    /// Stops it as a kubelet would.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("the controller ended with {status}");
                }
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the controller does not stop");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
