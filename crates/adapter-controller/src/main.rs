//! The adapter-controller: reconciles the protocol adapters of each `DittoServer`.

use std::process::ExitCode;

use clap::Parser;
use controller_runtime::Settings;
use controller_runtime::bootstrap::{self, Binary};
use controller_runtime::rest::RestSettings;

/// Reconciles the live protocol adapters of each DittoServer: Services, policies, status.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    rest: RestSettings,
}

fn main() -> ExitCode {
    let binary = Binary {
        name: "adapter-controller",
        version: env!("CARGO_PKG_VERSION"),
        concurrency: 32,
    };
    let Arguments { settings, rest } = Arguments::parse();
    bootstrap::main(binary, settings, move |context| {
        adapter_controller::run(context, rest)
    })
}
