//! The NFS client of Linux, in the virtual machine of `hack/kit/nfs-client`: the kernel of the machine that runs the tests
//! may have none.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longest time, the making of the virtual machine included: it is emulated.
const LIMIT: Duration = Duration::from_secs(420);

/// Runs `script` as root of the virtual machine, which asks `nameserver` for names; gives what it printed.
///
/// # Errors
/// When it cannot be run or a command of it fails, with what it printed.
pub async fn run(script: &str, nameserver: &str) -> Result<String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hack/kit/nfs-client");
    let mut child = Command::new(&program)
        .args(["run", nameserver])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(script.as_bytes()).await?;
    drop(input);
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .with_context(|| format!("the virtual machine was not done after {LIMIT:?}"))??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{}: {said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}
