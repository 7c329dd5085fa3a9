//! What the controller asks of the API server: for a creation, a change, a minute of nothing, and
//! a restart.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use api_types::DittoServer;
use cluster_tests::audit::Entry;
use cluster_tests::world::somebody;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use crate::requests::{Counts, counts, is_read};
use crate::{Bench, PRODUCT, Process, servers};

/// Servers of which one is changed after the other.
const CHANGED: usize = 10;

/// Writes and reads for each of a number of things.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cost {
    /// Number of things.
    pub(crate) number: usize,
    /// Writes for each, Events of ours included.
    pub(crate) writes: f64,
    /// Gets and lists for each.
    pub(crate) reads: f64,
    /// All of them by verb and resource.
    pub(crate) requests: Counts,
}

impl Cost {
    fn of(number: usize, entries: &[Entry]) -> Self {
        let each = |what: &dyn Fn(&Entry) -> bool| {
            entries.iter().filter(|entry| what(entry)).count() as f64 / number as f64
        };
        Cost {
            number,
            writes: each(&Entry::is_write),
            reads: each(&is_read),
            requests: counts(entries),
        }
    }
}

/// The cost of a creation.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Creation {
    /// Of one server alone.
    pub(crate) one: Cost,
    /// Of many at once.
    pub(crate) many: Cost,
}

pub(crate) async fn creation(bench: &Bench) -> Result<Creation> {
    let total = bench.size.servers;
    let mark = bench.requests.mark()?;
    servers::create(&bench.admin, PRODUCT, &servers::name(0)).await?;
    servers::filled(&bench.admin, PRODUCT, 1).await?;
    let one = bench.requests.quiet(mark, bench.size.calm).await?;

    let mark = bench.requests.mark()?;
    stream::iter(1..total)
        .map(anyhow::Ok)
        .try_for_each_concurrent(16, |index| async move {
            servers::create(&bench.admin, PRODUCT, &servers::name(index)).await?;
            Ok(())
        })
        .await?;
    servers::filled(&bench.admin, PRODUCT, total).await?;
    let many = bench.requests.quiet(mark, bench.size.calm).await?;
    Ok(Creation {
        one: Cost::of(1, &one),
        many: Cost::of(total - 1, &many),
    })
}

/// The cost of a changed annotation of the API Service, set in the spec.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Change {
    /// One server after the other.
    pub(crate) one: Cost,
    /// All servers at once.
    pub(crate) many: Cost,
}

pub(crate) async fn change(bench: &Bench) -> Result<Change> {
    let total = bench.size.servers;
    let mark = bench.requests.mark()?;
    let some = CHANGED.min(total);
    for index in 0..some {
        annotate(bench, index, "one").await?;
        let mark = bench.requests.mark()?;
        bench
            .requests
            .quiet(mark, Duration::from_millis(800))
            .await?;
    }
    let one = bench.requests.quiet(mark, bench.size.calm).await?;

    let mark = bench.requests.mark()?;
    stream::iter(0..total)
        .map(anyhow::Ok)
        .try_for_each_concurrent(16, |index| annotate(bench, index, "many"))
        .await?;
    let many = bench.requests.quiet(mark, bench.size.calm).await?;
    Ok(Change {
        one: Cost::of(some, &one),
        many: Cost::of(total, &many),
    })
}

async fn annotate(bench: &Bench, index: usize, value: &str) -> Result<()> {
    let api: Api<DittoServer> = Api::namespaced(bench.admin.clone(), PRODUCT);
    let patch = json!({"spec": {"service": {"annotations": {"bench.example.org/beat": value}}}});
    api.patch(&servers::name(index), &somebody(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

#[derive(Debug, serde::Serialize)]
pub(crate) struct Idle {
    /// Length of the window in seconds.
    pub(crate) seconds: f64,
    pub(crate) servers: usize,
    pub(crate) writes: usize,
    pub(crate) lists: usize,
    /// All requests by verb and resource.
    pub(crate) requests: Counts,
    /// Processor time in seconds; the kernel counts hundredths.
    pub(crate) processor: f64,
}

pub(crate) async fn idle(bench: &Bench, process: &Process) -> Result<Idle> {
    bench
        .requests
        .quiet(bench.requests.mark()?, bench.size.calm)
        .await?;
    let mark = bench.requests.mark()?;
    let before = process.processor_time()?;
    tokio::time::sleep(bench.size.idle).await;
    let processor = process.processor_time()?.saturating_sub(before);
    let entries = bench.requests.since(mark)?;
    Ok(Idle {
        seconds: bench.size.idle.as_secs_f64(),
        servers: bench.size.servers,
        writes: entries.iter().filter(|entry| entry.is_write()).count(),
        lists: entries.iter().filter(|entry| entry.is_list()).count(),
        requests: counts(&entries),
        processor: processor.as_secs_f64(),
    })
}

#[derive(Debug, serde::Serialize)]
pub(crate) struct Restart {
    pub(crate) servers: usize,
    pub(crate) writes: usize,
    /// All requests by verb and resource.
    pub(crate) requests: Counts,
    /// Seconds from the start of the process to the answer of its last request.
    pub(crate) quiet: f64,
    /// Memory of the new process.
    pub(crate) memory: crate::process::Memory,
}

pub(crate) async fn restart(bench: &Bench, process: Process) -> Result<Restart> {
    process.stop().await?;
    // Watches of the old process end with it, and are logged then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mark = bench.requests.mark()?;
    let began = Timestamp::try_from(SystemTime::now())?;
    let process = Process::start(&bench.launcher).await?;
    let entries = bench.requests.quiet(mark, bench.size.calm).await?;
    let last = entries
        .iter()
        .filter_map(|entry| entry.answered)
        .max()
        .context("the new process asked nothing")?;
    let memory = process.memory()?;
    process.stop().await?;
    Ok(Restart {
        servers: bench.size.servers,
        writes: entries.iter().filter(|entry| entry.is_write()).count(),
        requests: counts(&entries),
        quiet: last.duration_since(began).as_secs_f64(),
        memory,
    })
}
