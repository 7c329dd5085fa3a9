//! kubectl, as people use it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs kubectl with `arguments` and `input`, as the cluster's administrator; gives what it printed.
///
/// # Errors
/// When it fails; the error has what it said.
pub async fn kubectl(arguments: &[&str], input: &str) -> Result<String> {
    let program = program("kubectl", "kubernetes")
        .context("kubectl is neither on the PATH nor in the cache of hack/cluster")?;
    let mut command = Command::new(program);
    // A proxy for downloads knows no way to a local cluster.
    for variable in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        command.env_remove(variable);
    }
    run(command.args(arguments), input).await
}

/// Runs a command and gives what it printed on both channels.
///
/// # Errors
/// When it fails; the error has what it said.
pub async fn run(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the program cannot be started")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let give = async {
        // One that fails early reads no more; what it says counts.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(give, child.wait_with_output());
    let output = output?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if !output.status.success() {
        bail!("{}: {text}", output.status);
    }
    Ok(text)
}

/// A program of the PATH, else the newest one that `hack/cluster` has built of `component`.
#[must_use]
pub fn program(name: &str, component: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    on_path.or_else(|| built(name, component))
}

/// The newest program that `hack/cluster` has built of `component`.
#[must_use]
pub fn built(name: &str, component: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("DITTOFS_CACHE_DIR")
        .map(PathBuf::from)
        .or_else(|| {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let base =
                base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
            Some(base.join("dittofs-operator"))
        })?;
    let folders = std::fs::read_dir(cache.join("bin")).ok()?.flatten();
    let mut found: Vec<PathBuf> = folders
        .filter(|folder| {
            folder
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{component}-"))
        })
        .map(|folder| folder.path().join(name))
        .filter(|file| file.is_file())
        .collect();
    found.sort_by_key(|file| file.metadata().and_then(|meta| meta.modified()).ok());
    found.pop()
}
