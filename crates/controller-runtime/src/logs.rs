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
        LogFormat::Json => registry.with(json()).try_init()?,
        LogFormat::Text => registry
            .with(fmt::layer().with_ansi(colours()))
            .try_init()?,
    }
    Ok(())
}

/// One JSON object for each line: its own fields at the top, those of what it is part of in `span`.
fn json<S>() -> fmt::Layer<S, fmt::format::JsonFields, fmt::format::Format<fmt::format::Json>>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().json().flatten_event(true)
}

/// Colour codes are for people at a terminal who did not refuse them (<https://no-color.org>), not for files.
fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A new id of a reconcile or a poll, the same in all of its lines: 16 hexadecimal digits.
#[must_use]
pub fn id() -> String {
    // Without randomness the lines still name the object.
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    Ok(EnvFilter::try_new(format!("{QUIET},{level}"))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::sync::{Arc, Mutex, Once};

    use super::*;

    thread_local! {
        static HERE: RefCell<Option<Kept>> = const { RefCell::new(None) };
    }

    /// What is logged, in memory.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

    /// Ends what [`Kept::here`] began.
    pub(crate) struct Keeping;

    impl Drop for Keeping {
        fn drop(&mut self) {
            HERE.take();
        }
    }

    impl Kept {
        /// The lines so far.
        pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
            let bytes = self.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            let lines = text.lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }

        /// Logs of this thread as a controller writes them, as long as the guard lives.
        ///
        /// The subscriber is one of the whole process, and it is the lines that find their thread: whether a line is
        /// wanted at all is asked once, by the thread that comes to it first, and kept for all others.
        pub(crate) fn here(&self) -> Keeping {
            static INSTALLED: Once = Once::new();
            INSTALLED.call_once(|| {
                tracing_subscriber::registry()
                    .with(super::filter("info").unwrap())
                    .with(json().with_writer(|| HERE.with_borrow(Clone::clone).unwrap_or_default()))
                    .init();
                // Lines that another thread came to while nobody was installed yet.
                tracing::callsite::rebuild_interest_cache();
            });
            HERE.set(Some(self.clone()));
            Keeping
        }
    }

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_that_cannot_be_decoded_stay_out_of_the_log_unless_asked_for() {
        let filter = |level: &str| filter(level).unwrap().to_string();
        assert!(filter("info").contains(QUIET));
        assert!(!filter("info,kube_client::client=debug").contains(QUIET));
        assert!(super::filter("not=a=filter").is_err());
    }
}
