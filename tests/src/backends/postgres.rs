//! A PostgreSQL server with TLS, on this machine.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{Folder, address, free_port};
use crate::certificates::Authority;
use crate::{World, until};

/// PostgreSQL refuses to run as root; this user exists everywhere.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "hidden-database-password";

/// A server. Dropped, it ends and its contents are gone.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    process: Child,
    // After the process, which works in it.
    _folder: Folder,
}

/// Where Debian keeps the programs of the newest release, which are not on the PATH.
fn programs() -> Result<PathBuf> {
    let releases =
        std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL, which hack/test installs")?;
    let mut found: Vec<PathBuf> = releases
        .flatten()
        .map(|release| release.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().context("PostgreSQL has no initdb")
}

/// A file that only the server may read.
fn private(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(chown(path, Some(NOBODY), Some(NOBODY))?)
}

impl Postgres {
    /// Starts one, and waits until it takes connections.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn start(world: &World) -> Result<Self> {
        let programs = programs()?;
        let host = address(world)?;
        let address = SocketAddr::new(host, free_port(host)?);
        let folder = Folder::new("postgres")?;
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        private(&password, PASSWORD)?;
        let made = Command::new(programs.join("initdb"))
            .current_dir(folder.path())
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"])
            .arg(format!("--pgdata={}", data.display()))
            .arg(format!("--pwfile={}", password.display()))
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .await?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let certificate = Authority::new("postgres")?.issue(&[&host.to_string()])?;
        private(&data.join("server.crt"), &certificate.pem)?;
        private(&data.join("server.key"), &certificate.key)?;
        private(
            &data.join("pg_hba.conf"),
            "hostssl all all all scram-sha-256\n",
        )?;
        let process = Command::new(programs.join("postgres"))
            .current_dir(folder.path())
            .arg("-D")
            .arg(&data)
            .args(["-h", &host.to_string(), "-p", &address.port().to_string()])
            .args(["-k", "", "-c", "ssl=on", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .uid(NOBODY)
            .gid(NOBODY)
            .spawn()?;
        let server = Postgres {
            address,
            process,
            _folder: folder,
        };
        until("PostgreSQL takes connections", async || {
            Ok(server
                .run("SELECT 1")
                .await
                .map_err(|error| format!("{error:#}")))
        })
        .await?;
        Ok(server)
    }

    /// Runs one statement as the superuser.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, statement: &str) -> Result<String> {
        let output = Command::new(programs()?.join("psql"))
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLMODE", "require")
            .args(["-h", &self.address.ip().to_string()])
            .args(["-p", &self.address.port().to_string()])
            .args(["-U", "postgres", "-d", "postgres", "-tAc", statement])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{statement}: {said}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Makes a database; gives the values of a Secret that connects to it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn database(&self, name: &str) -> Result<Value> {
        self.run(&format!("CREATE DATABASE {name}")).await?;
        Ok(
            json!({"host": self.address.ip().to_string(), "port": self.address.port().to_string(),
            "database": name, "user": "postgres", "password": PASSWORD}),
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed, it would leave its children behind for a while; told to quit it takes them along.
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::QUIT);
        }
        for _ in 0..200 {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => break,
            }
        }
    }
}
