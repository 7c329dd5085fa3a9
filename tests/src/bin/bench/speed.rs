//! Time from the first DittoServer to the last child, of the controller and of the raw client.
//! Both are read from the audit log: when the API server got the first request, and when it
//! answered the last.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::audit::{Entry, Mark};
use cluster_tests::{Pods, namespace};
use futures::{StreamExt, TryStreamExt, stream};

use crate::floor::{self, Shape};
use crate::processor::Processor;
use crate::servers::{self, Copies};
use crate::{Bench, FLOOR, PRODUCT, Process, say};

/// Pause in which what was disturbed settles.
const PAUSE: Duration = Duration::from_secs(2);

/// Seconds, and the shape of the raw client that gave them.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Speed {
    pub(crate) many: Compared,
    pub(crate) one: Compared,
}

/// One kind of work, done by both.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Compared {
    /// The raw client's fastest way.
    pub(crate) shape: Shape,
    /// Seconds of the raw client, each round.
    pub(crate) floor: Vec<f64>,
    /// Seconds of the controller, each round.
    pub(crate) product: Vec<f64>,
    /// Processor time that the raw client costs, each round of many servers.
    pub(crate) floor_processor: Vec<Processor>,
    /// Processor time that the controller costs, its own included.
    pub(crate) product_processor: Vec<Processor>,
}

impl Compared {
    /// Median of the controller over median of the raw client.
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.product) / median(&self.floor)
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub(crate) async fn measure(bench: &Bench, copies: &Copies) -> Result<Speed> {
    let size = bench.size;
    let mut many = Compared {
        shape: fastest(bench, copies, &floor::MANY, size.servers).await?,
        floor: Vec::new(),
        product: Vec::new(),
        floor_processor: Vec::new(),
        product_processor: Vec::new(),
    };
    let mut one = Compared {
        shape: fastest_single(bench, copies).await?,
        floor: Vec::new(),
        product: Vec::new(),
        floor_processor: Vec::new(),
        product_processor: Vec::new(),
    };
    for round in 0..size.rounds {
        floor::prepare(&bench.admin).await?;
        one.floor
            .extend(floor_singles(bench, copies, one.shape).await?);
        let before = Processor::now(None)?;
        many.floor
            .push(floor_many(bench, copies, many.shape, size.servers).await?);
        let used = Processor::now(None)?.since(before);
        many.floor_processor.push(used);
        servers::clear(&bench.admin, FLOOR).await?;

        namespace::create(&bench.admin, PRODUCT, Pods::Run).await?;
        let process = Process::start(&bench.launcher).await?;
        one.product.extend(product_singles(bench, copies).await?);
        let before = Processor::now(Some(&process))?;
        many.product
            .push(product_many(bench, copies, many.shape).await?);
        let used = Processor::now(Some(&process))?.since(before);
        many.product_processor.push(used);
        process.stop().await?;
        servers::clear(&bench.admin, PRODUCT).await?;
        say(&format!(
            "round {}: {} servers {:.3} s, raw {:.3} s; one server {:.4} s, raw {:.4} s",
            round + 1,
            size.servers,
            many.product[round],
            many.floor[round],
            median(&one.product),
            median(&one.floor),
        ));
    }
    Ok(Speed { many, one })
}

/// The raw client's fastest way to make many servers.
async fn fastest(bench: &Bench, copies: &Copies, shapes: &[Shape], number: usize) -> Result<Shape> {
    let mut best: Option<(f64, Shape)> = None;
    for shape in shapes {
        floor::prepare(&bench.admin).await?;
        tokio::time::sleep(PAUSE).await;
        let seconds = floor_many(bench, copies, *shape, number).await?;
        servers::clear(&bench.admin, FLOOR).await?;
        say(&format!("the raw client with {shape:?}: {seconds:.3} s"));
        if best.is_none_or(|(fastest, _)| seconds < fastest) {
            best = Some((seconds, *shape));
        }
    }
    Ok(best.context("no shape to try")?.1)
}

async fn fastest_single(bench: &Bench, copies: &Copies) -> Result<Shape> {
    let mut best: Option<(f64, Shape)> = None;
    for shape in floor::ONE {
        floor::prepare(&bench.admin).await?;
        let seconds = median(&floor_singles(bench, copies, shape).await?);
        servers::clear(&bench.admin, FLOOR).await?;
        say(&format!("the raw client with {shape:?}: {seconds:.4} s"));
        if best.is_none_or(|(fastest, _)| seconds < fastest) {
            best = Some((seconds, shape));
        }
    }
    Ok(best.context("no shape to try")?.1)
}

async fn floor_singles(bench: &Bench, copies: &Copies, shape: Shape) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for index in 0..bench.size.singles {
        tokio::time::sleep(PAUSE / 4).await;
        times.push(floor_many_from(bench, copies, shape, 900 + index, 1).await?);
    }
    Ok(times)
}

async fn floor_many(bench: &Bench, copies: &Copies, shape: Shape, number: usize) -> Result<f64> {
    tokio::time::sleep(PAUSE).await;
    floor_many_from(bench, copies, shape, 0, number).await
}

async fn floor_many_from(
    bench: &Bench,
    copies: &Copies,
    shape: Shape,
    first: usize,
    number: usize,
) -> Result<f64> {
    let mark = bench.requests.mark()?;
    floor::make(&bench.admin, copies, shape, first, number).await?;
    let made = created(bench, mark, FLOOR)?;
    ensure!(
        made.len() == number * (1 + copies.children.len()),
        "the raw client made {} objects",
        made.len()
    );
    span(&made)
}

async fn product_singles(bench: &Bench, copies: &Copies) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for index in 0..bench.size.singles {
        tokio::time::sleep(PAUSE / 4).await;
        let mark = bench.requests.mark()?;
        servers::create(&bench.admin, PRODUCT, &servers::name(900 + index)).await?;
        times.push(product(bench, mark, copies.children.len()).await?);
    }
    Ok(times)
}

async fn product_many(bench: &Bench, copies: &Copies, shape: Shape) -> Result<f64> {
    tokio::time::sleep(PAUSE).await;
    let mark = bench.requests.mark()?;
    let number = bench.size.servers;
    stream::iter(0..number)
        .map(anyhow::Ok)
        .try_for_each_concurrent(shape.servers, |index| async move {
            servers::create(&bench.admin, PRODUCT, &servers::name(index)).await?;
            Ok(())
        })
        .await?;
    product(bench, mark, number * copies.children.len()).await
}

/// Waits until the controller has made `number` children since `mark`.
async fn product(bench: &Bench, mark: Mark, number: usize) -> Result<f64> {
    let mut made = bench.requests.made(mark, number).await?;
    ensure!(
        made.len() == number,
        "the controller made {} objects",
        made.len()
    );
    made.extend(created(bench, mark, PRODUCT)?);
    span(&made)
}

/// What the administrator made in a namespace since `mark`.
fn created(bench: &Bench, mark: Mark, namespace: &str) -> Result<Vec<Entry>> {
    let place = format!("/namespaces/{namespace}/");
    let all = bench.requests.of(mark, crate::requests::ADMINISTRATOR)?;
    Ok(all
        .into_iter()
        .filter(|entry| entry.is_creation() && entry.uri.contains(&place))
        .collect())
}

/// Seconds from the arrival of the first request to the answer of the last.
pub(crate) fn span(entries: &[Entry]) -> Result<f64> {
    let first = entries.iter().filter_map(|entry| entry.received).min();
    let last = entries.iter().filter_map(|entry| entry.answered).max();
    match (first, last) {
        (Some(first), Some(last)) => Ok(last.duration_since(first).as_secs_f64()),
        _ => anyhow::bail!("nothing was asked"),
    }
}
