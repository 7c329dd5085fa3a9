//! Log lines on standard output.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::settings::{LogFormat, Settings};

/// The log filter is not understood, or logging was set up before.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text of `--log-level` is no filter.
    #[error("the log level is not understood")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber is installed.
    #[error("logging is already set up")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logging to standard output for the whole process.
///
/// # Errors
/// [`LogError`]
pub fn init(settings: &Settings) -> Result<(), LogError> {
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(&settings.log_level)?);
    match settings.log_format {
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true)).try_init()?,
        LogFormat::Text => registry.with(fmt::layer()).try_init()?,
    }
    Ok(())
}
