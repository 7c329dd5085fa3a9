//! Crashes after every write: each must end where the undisturbed run ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use controller_runtime::Seam;
use controller_runtime::seam::CrashAfter;
use serde_json::json;

use crate::audit::{Entry, listed};
use crate::end_state::EndState;
use crate::wait::{LIMIT, within};
use crate::{Controller, Pods, World, until};

/// Where the undisturbed run ended.
#[derive(Clone, Debug)]
pub struct Undisturbed {
    /// The end state.
    pub end: EndState,
    /// Writes that it took.
    pub writes: u64,
    /// Objects that were created, Events apart.
    pub created: usize,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// After this many writes, before the next one is sent.
    After(u64),
    /// With this write: the API server did it, and the process never hears of it.
    LosingTheAnswerOf(u64),
}

impl Crash {
    fn seam(self) -> CrashAfter {
        match self {
            Crash::After(writes) => CrashAfter::writes(writes),
            Crash::LosingTheAnswerOf(write) => CrashAfter::losing_the_answer_of(write),
        }
    }
}

/// Creates a server without any crash.
///
/// # Errors
/// When it does not settle.
pub async fn undisturbed() -> Result<Undisturbed> {
    let world = World::create("undisturbed", Pods::None).await?;
    let result = async {
        let controller = Controller::start(&world).await?;
        world.serve(json!({})).await?;
        world.settled(&controller).await?;
        let writes = u64::try_from(controller.traffic.writes())?;
        let seen = world.writes(world.beginning)?;
        ensure!(
            seen.len() as u64 == writes,
            "{writes} writes were sent, the audit log has {}",
            listed(&seen)
        );
        Ok(Undisturbed {
            end: EndState::of(&world).await?,
            writes,
            created: created(&seen),
        })
    }
    .await;
    world.remove().await?;
    result
}

fn created(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.is_creation()).count()
}

/// Creates a server with a crash, then goes on with a fresh controller behind `seams` until the
/// end state is the undisturbed one. Gives whether the crash came to pass: a run with fewer writes
/// than that ends undisturbed.
///
/// # Errors
/// When the end state, or the number of objects created, is another.
pub async fn recovers(
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    recovers_within(LIMIT, crash, expected, seams).await
}

/// As [`recovers`], with a limit for the second controller.
///
/// # Errors
/// As [`recovers`].
pub async fn recovers_within(
    limit: Duration,
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    let world = World::create("crash", Pods::None).await?;
    let result = run(&world, limit, crash, expected, seams).await;
    world.remove().await?;
    result.with_context(|| {
        format!(
            "{crash:?} of {} writes, namespace {}",
            expected.writes, world.namespace
        )
    })
}

async fn run(
    world: &World,
    limit: Duration,
    crash: Crash,
    expected: &Undisturbed,
    seams: Vec<Arc<dyn Seam>>,
) -> Result<bool> {
    let seam = Arc::new(crash.seam());
    let first = Controller::start_behind(world, vec![Arc::clone(&seam) as Arc<dyn Seam>]).await?;
    world.serve(json!({})).await?;
    let crashed = until("the crash, or the end", async || {
        if seam.crashed() {
            return Ok(Ok(true));
        }
        let differences = EndState::of(world).await?.differences(&expected.end);
        if !differences.is_empty() {
            return Ok(Err(differences.join("\n")));
        }
        // The crash may still come with an Event or a last write of the status.
        first.quiet().await?;
        Ok(Ok(seam.crashed()))
    })
    .await?;
    first.crash().await;

    let second = Controller::start_behind(world, seams).await?;
    within(limit, "the end state is the undisturbed one", async || {
        let differences = EndState::of(world).await?.differences(&expected.end);
        Ok(if differences.is_empty() {
            Ok(())
        } else {
            Err(differences.join("\n"))
        })
    })
    .await?;
    second.quiet().await?;
    let differences = EndState::of(world).await?.differences(&expected.end);
    ensure!(
        differences.is_empty(),
        "the end state did not last:\n{}",
        differences.join("\n")
    );
    let writes = world.writes(world.beginning)?;
    ensure!(
        created(&writes) == expected.created,
        "{} objects were created instead of {}: {}",
        created(&writes),
        expected.created,
        listed(&writes)
    );
    Ok(crashed)
}
