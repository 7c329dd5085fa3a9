//! Measures speed and cost of the server-controller against a cluster of `hack/cluster`, and a raw
//! client beside it, in the same run. `hack/bench` builds and starts it.

mod account;
mod cost;
mod floor;
mod memory;
mod process;
mod report;
mod requests;
mod servers;
mod speed;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use cluster_tests::{Cluster, Pods, namespace};
use kube::Client;

use account::Account;
use process::Process;
use report::Report;
use requests::Requests;

/// Namespace of the servers that the controller owns.
const PRODUCT: &str = "bench-product";
/// Namespace of the copies that the raw client makes.
const FLOOR: &str = "bench-floor";
/// Namespace of the Secrets that are nobody's business.
const FOREIGN: &str = "bench-foreign";

/// Measures the server-controller. KUBECONFIG and DITTOFS_CLUSTER_STATE name the cluster.
#[derive(Parser)]
struct Arguments {
    /// The server-controller to measure.
    #[arg(long)]
    binary: PathBuf,
    /// Folder that the results go to: benchmarks.md and benchmarks.json.
    #[arg(long)]
    out: PathBuf,
    /// Folder for the log and the kubeconfig of the controller.
    #[arg(long)]
    scratch: PathBuf,
    /// A small run that shows that everything works; its numbers mean nothing.
    #[arg(long)]
    smoke: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Servers that are made at once.
    pub(crate) servers: usize,
    /// Times that each speed is measured, the raw client and the controller by turns.
    pub(crate) rounds: usize,
    /// Servers of the measurement of one alone, each after the other.
    pub(crate) singles: usize,
    /// Time without a request after which the controller counts as quiet. A claim that is not
    /// bound is looked at again 5 s after it was made.
    pub(crate) calm: Duration,
    /// Window in which nothing happens.
    pub(crate) idle: Duration,
    /// Secrets of others.
    pub(crate) secrets: usize,
}

impl Size {
    const WHOLE: Size = Size {
        servers: 100,
        rounds: 5,
        singles: 15,
        calm: Duration::from_secs(7),
        idle: Duration::from_secs(60),
        secrets: 10_000,
    };
    const SMOKE: Size = Size {
        servers: 5,
        rounds: 1,
        singles: 2,
        calm: Duration::from_secs(7),
        idle: Duration::from_secs(5),
        secrets: 200,
    };
}

/// What every measurement gets to work with.
pub(crate) struct Bench {
    /// A client that may do everything.
    pub(crate) admin: Client,
    /// The controller's requests.
    pub(crate) requests: Requests,
    /// Starts the controller.
    pub(crate) launcher: process::Launcher,
    /// How much is measured.
    pub(crate) size: Size,
}

fn main() -> ExitCode {
    match cluster_tests::world::run(async || run(Arguments::parse()).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what happens.
pub(crate) fn say(text: &str) {
    eprintln!("bench: {text}");
}

async fn run(arguments: Arguments) -> Result<()> {
    let cluster = Cluster::connect().await?;
    let account = Account::create(&cluster.admin, &arguments.scratch).await?;
    let bench = Bench {
        admin: cluster.admin.clone(),
        requests: Requests::new(cluster.audit.clone(), account.user.clone()),
        launcher: process::Launcher {
            binary: arguments.binary.clone(),
            kubeconfig: account.kubeconfig.clone(),
            log: arguments.scratch.join("server-controller.log"),
            watches: std::sync::OnceLock::new(),
        },
        size: if arguments.smoke {
            Size::SMOKE
        } else {
            Size::WHOLE
        },
    };
    let mut report = Report::new(&cluster.admin, arguments.smoke).await?;

    say("start and memory");
    report.start = Some(memory::start(&bench).await?);
    report.foreign = Some(memory::foreign(&bench).await?);
    say("speed: the raw client and the controller by turns");
    let copies = servers::copies(&bench).await?;
    report.speed = Some(speed::measure(&bench, &copies).await?);
    say("cost of a creation");
    namespace::create(&bench.admin, PRODUCT, Pods::Run).await?;
    let process = Process::start(&bench.launcher).await?;
    let empty = process.memory()?;
    report.creation = Some(cost::creation(&bench).await?);
    report.change = Some(cost::change(&bench).await?);
    report.own = Some(memory::own(&bench, &process, empty).await?);
    say("idleness");
    report.idle = Some(cost::idle(&bench, &process).await?);
    say("restart");
    report.restart = Some(cost::restart(&bench, process).await?);
    servers::clear(&bench.admin, PRODUCT).await?;
    bench.requests.nothing_was_denied()?;

    std::fs::create_dir_all(&arguments.out)?;
    report.write(&arguments.out).with_context(|| {
        format!(
            "the results cannot be written to {}",
            arguments.out.display()
        )
    })
}
