//! What the controllers of this process log, on every level below trace.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

static KEPT: Mutex<Option<String>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<String>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs as `RUST_LOG` asks for, and keeps more on demand. Once per process.
pub(crate) fn start() {
    let shown = fmt::layer()
        .with_writer(io::stderr)
        .with_filter(EnvFilter::from_default_env());
    // Those of the HTTP libraries repeat what is sent, and are off in a controller.
    let ours = Targets::new()
        .with_target("adapter_client", LevelFilter::DEBUG)
        .with_target("adapter_controller", LevelFilter::DEBUG)
        .with_target("controller_runtime", LevelFilter::DEBUG)
        .with_target("server_controller", LevelFilter::DEBUG)
        .with_target("kube", LevelFilter::INFO);
    let kept = fmt::layer()
        .with_ansi(false)
        .with_writer(|| Keep)
        .with_filter(ours);
    let _ = tracing_subscriber::registry()
        .with(shown)
        .with(kept)
        .try_init();
}

/// From now on keeps what is logged.
pub fn keep() {
    kept().get_or_insert_default();
}

/// What was kept, also of other tests of this process.
#[must_use]
pub fn so_far() -> String {
    kept().clone().unwrap_or_default()
}

struct Keep;

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kept) = &mut *kept() {
            kept.push_str(&String::from_utf8_lossy(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
