//! The share-controller: reconciles `DittoFSShare`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use controller_runtime::Settings;
use controller_runtime::bootstrap::{self, Binary};
use controller_runtime::rest::RestSettings;

/// Has the shares of each server be what their DittoFSShares declare.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    rest: RestSettings,

    /// Seconds between two comparisons of a server with what its shares declare
    #[arg(
        long,
        env = "DITTOFS_OPERATOR_DRIFT_INTERVAL",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(10..=86_400)
    )]
    drift_interval: u64,
}

fn main() -> ExitCode {
    let binary = Binary {
        name: "share-controller",
        version: env!("CARGO_PKG_VERSION"),
        concurrency: 16,
    };
    let Arguments {
        settings,
        rest,
        drift_interval,
    } = Arguments::parse();
    let interval = Duration::from_secs(drift_interval);
    bootstrap::main(binary, settings, move |context| {
        share_controller::run(context, rest, interval)
    })
}
