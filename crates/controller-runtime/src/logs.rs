//! Log lines on standard output.

use std::io::{IsTerminal, stdout};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::settings::{LogFormat, Settings};

/// The client logs whole answers that it cannot decode, Secrets included, as
/// warnings of this target. `--log-level` can name the target to overrule this.
const QUIET: &str = "kube_client::client=error";

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
    let registry = tracing_subscriber::registry().with(filter(&settings.log_level)?);
    match settings.log_format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true))
            .try_init()?,
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(colours()))
            .try_init()?,
    }
    Ok(())
}

/// Colour codes are for people at a terminal who did not refuse them (<https://no-color.org>), not for files.
fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    Ok(EnvFilter::try_new(format!("{QUIET},{level}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_cannot_be_decoded_stay_out_of_the_log_unless_asked_for() {
        let filter = |level: &str| filter(level).unwrap().to_string();
        assert!(filter("info").contains(QUIET));
        assert!(!filter("info,kube_client::client=debug").contains(QUIET));
        assert!(super::filter("not=a=filter").is_err());
    }
}
