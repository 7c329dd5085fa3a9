//! Time to start, and resident memory: alone, among Secrets of others, and for each server.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::{Child, Pods, namespace};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::process::Memory;
use crate::speed::median;
use crate::{Bench, FOREIGN, PRODUCT, Process, servers};

/// Bytes in each Secret of others.
const BYTES: usize = 4096;

/// So few Secrets that only the code that reads them takes memory.
const FEW: usize = 10;

/// Time in which a start is digested.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, serde::Serialize)]
pub(crate) struct Start {
    /// Seconds from the start of the process until every watch was answered, each start.
    pub(crate) seconds: Vec<f64>,
    /// Memory of a process without anything to do.
    pub(crate) memory: Memory,
}

pub(crate) async fn start(bench: &Bench) -> Result<Start> {
    let mut seconds = Vec::new();
    for _ in 0..bench.size.rounds.max(3) {
        let process = Process::start(&bench.launcher).await?;
        seconds.push(process.start.as_secs_f64());
        tokio::time::sleep(SETTLE).await;
        let memory = process.memory()?;
        process.stop().await?;
        if seconds.len() == bench.size.rounds.max(3) {
            return Ok(Start { seconds, memory });
        }
    }
    anyhow::bail!("no start was measured")
}

#[derive(Debug, serde::Serialize)]
pub(crate) struct Foreign {
    /// Number of Secrets of others.
    pub(crate) secrets: usize,
    /// Memory of a process that starts when [`FEW`] are there: the code that reads them is loaded.
    pub(crate) few: Memory,
    /// Memory of a process that runs while they are made.
    pub(crate) made_meanwhile: Memory,
    /// Memory of a process that starts when they are there.
    pub(crate) there_before: Memory,
    /// Seconds from that start until every watch was answered.
    pub(crate) seconds: f64,
}

pub(crate) async fn foreign(bench: &Bench) -> Result<Foreign> {
    namespace::create(&bench.admin, FOREIGN, Pods::None).await?;
    make(bench, 0..FEW).await?;
    let process = Process::start(&bench.launcher).await?;
    tokio::time::sleep(SETTLE).await;
    let few = process.memory()?;
    make(bench, FEW..bench.size.secrets).await?;
    tokio::time::sleep(SETTLE).await;
    let made_meanwhile = process.memory()?;
    process.stop().await?;

    let process = Process::start(&bench.launcher).await?;
    tokio::time::sleep(SETTLE).await;
    let there_before = process.memory()?;
    let seconds = process.start.as_secs_f64();
    process.stop().await?;
    servers::clear(&bench.admin, FOREIGN).await?;
    Ok(Foreign {
        secrets: bench.size.secrets,
        few,
        made_meanwhile,
        there_before,
        seconds,
    })
}

async fn make(bench: &Bench, which: std::ops::Range<usize>) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(bench.admin.clone(), FOREIGN);
    let value = "x".repeat(BYTES);
    stream::iter(which)
        .map(anyhow::Ok)
        .try_for_each_concurrent(32, |index| {
            let (api, value) = (&api, &value);
            async move {
                let secret: Secret = serde_json::from_value(json!({
                    "metadata": {"name": format!("foreign-{index:05}")},
                    "stringData": {"value": value},
                }))?;
                api.create(&PostParams::default(), &secret).await?;
                Ok(())
            }
        })
        .await
}

#[derive(Debug, serde::Serialize)]
pub(crate) struct Own {
    /// Number of servers.
    pub(crate) servers: usize,
    /// Objects of one server that the controller watches: itself, children, claims, pod.
    pub(crate) objects: usize,
    /// Memory of the process that made them.
    pub(crate) maker: Memory,
    /// What a server adds to the process that made it, in bytes.
    pub(crate) per_server: f64,
}

/// What each server adds; `process` made them, and had `empty` before.
pub(crate) async fn own(bench: &Bench, process: &Process, empty: Memory) -> Result<Own> {
    servers::filled(&bench.admin, PRODUCT, bench.size.servers).await?;
    let maker = process.memory()?;
    let servers = bench.size.servers;
    ensure!(servers > 0, "no servers");
    // The generated Secrets are not kept.
    let objects = 1 + Child::APPLIED.len() + 3 + 1;
    let grown = maker.resident.saturating_sub(empty.resident);
    Ok(Own {
        servers,
        objects,
        maker,
        per_server: grown as f64 / servers as f64,
    })
}

impl Start {
    pub(crate) fn median(&self) -> f64 {
        median(&self.seconds)
    }
}
