//! The server-controller: reconciles `DittoServer`.

use std::process::ExitCode;

use clap::Parser;
use controller_runtime::Settings;
use controller_runtime::bootstrap::{self, Binary};

/// Reconciles DittoServer: the infrastructure of a file server.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let binary = Binary {
        name: "server-controller",
        version: env!("CARGO_PKG_VERSION"),
        concurrency: 8,
    };
    bootstrap::main(binary, Arguments::parse().settings, server_controller::run)
}
