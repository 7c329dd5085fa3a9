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

use super::{Folder, address};
use crate::certificates::{Authority, Certificate};
use crate::{World, ports, until};

/// PostgreSQL refuses to run as root; this user exists everywhere.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "hidden-database-password";

/// A server. Dropped, it ends and its contents are gone.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    authority: Authority,
    process: Option<Child>,
    // After the process, which works in it.
    folder: Folder,
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
    /// Starts one, and waits until it takes connections. Its certificate is for its address.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn start(world: &World) -> Result<Self> {
        let programs = programs()?;
        let host = address(world)?;
        let address = SocketAddr::new(host, ports::free(host)?);
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
        private(
            &data.join("pg_hba.conf"),
            "hostssl all all all scram-sha-256\n",
        )?;
        let mut server = Postgres {
            address,
            authority: Authority::new("postgres")?,
            process: None,
            folder,
        };
        server.install(&server.authority.issue(&[&host.to_string()])?)?;
        server.resume().await?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that its own is of, PEM.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn install(&self, certificate: &Certificate) -> Result<()> {
        private(&self.data().join("server.crt"), &certificate.pem)?;
        private(&self.data().join("server.key"), &certificate.key)?;
        private(&self.folder.path().join("ca.crt"), &self.authority.pem)
    }

    /// Gives it a certificate of `authority` for these names and its address, as a provider that renews
    /// it: connections that stand stay. Waits until new ones see it.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn certify(&mut self, authority: Authority, names: &[&str]) -> Result<()> {
        self.issue(authority, names, true).await
    }

    /// As [`Postgres::certify`], with a certificate that vouches for itself.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn certify_itself(&mut self) -> Result<()> {
        let host = self.address.ip().to_string();
        let (authority, certificate) = Authority::of_itself(&[&host])?;
        self.offer(authority, &certificate, true).await
    }

    /// As [`Postgres::certify`], with an authority or a certificate that no client accepts.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn certify_badly(&mut self, authority: Authority, names: &[&str]) -> Result<()> {
        self.issue(authority, names, false).await
    }

    async fn issue(&mut self, authority: Authority, names: &[&str], good: bool) -> Result<()> {
        let host = self.address.ip().to_string();
        let mut all = vec![host.as_str()];
        all.extend(names);
        let certificate = authority.issue(&all)?;
        self.offer(authority, &certificate, good).await
    }

    async fn offer(
        &mut self,
        authority: Authority,
        certificate: &Certificate,
        good: bool,
    ) -> Result<()> {
        self.authority = authority;
        self.install(certificate)?;
        self.signal(Signal::HUP);
        until("PostgreSQL shows its new certificate", async || {
            let seen = self.psql("postgres", "SELECT 1", "verify-ca").await;
            let refused = seen
                .as_ref()
                .is_err_and(|error| format!("{error:#}").contains("certificate"));
            Ok(if seen.is_ok() == good && (good || refused) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            })
        })
        .await
    }

    /// Ends it, as an administrator would: connections break.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::INT);
        if let Some(mut process) = self.process.take() {
            process.wait().await?;
        }
        Ok(())
    }

    /// Starts it again at the same address with the same contents.
    ///
    /// # Errors
    /// When it does not take connections.
    pub async fn resume(&mut self) -> Result<()> {
        let process = Command::new(programs()?.join("postgres"))
            .current_dir(self.folder.path())
            .arg("-D")
            .arg(self.data())
            .args(["-h", &self.address.ip().to_string()])
            .args(["-p", &self.address.port().to_string()])
            .args(["-k", "", "-c", "ssl=on", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .uid(NOBODY)
            .gid(NOBODY)
            .spawn()?;
        self.process = Some(process);
        until("PostgreSQL takes connections", async || {
            Ok(self
                .run("SELECT 1")
                .await
                .map_err(|error| format!("{error:#}")))
        })
        .await
        .map(|_| ())
    }

    /// Holds it still with all that it runs: connections are made and stand, and nothing answers.
    ///
    /// # Errors
    /// When the kernel does not tell what it runs.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP);
        self.signal_children(Signal::STOP)
    }

    /// Lets one go on that was held still.
    ///
    /// # Errors
    /// When the kernel does not tell what it runs.
    pub fn thaw(&self) -> Result<()> {
        self.signal_children(Signal::CONT)?;
        self.signal(Signal::CONT);
        Ok(())
    }

    /// Runs one statement as the superuser.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, statement: &str) -> Result<String> {
        self.run_in("postgres", statement).await
    }

    /// Runs one statement as the superuser in the database `database`.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run_in(&self, database: &str, statement: &str) -> Result<String> {
        self.psql(database, statement, "require").await
    }

    async fn psql(&self, database: &str, statement: &str, mode: &str) -> Result<String> {
        // Where there is such a file, mode `require` verifies too.
        let authority = match mode {
            "require" => PathBuf::from("/nonexistent"),
            _ => self.folder.path().join("ca.crt"),
        };
        let output = Command::new(programs()?.join("psql"))
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLMODE", mode)
            .env("PGSSLROOTCERT", authority)
            .env("PGCONNECT_TIMEOUT", "30")
            .args(["-h", &self.address.ip().to_string()])
            .args(["-p", &self.address.port().to_string()])
            .args(["-U", "postgres", "-d", database, "-tAc", statement])
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

    /// Makes a role that may log in with `password`, or gives it that password.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn role(&self, name: &str, password: &str) -> Result<()> {
        let known = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname = {}",
            literal(name)
        );
        let verb = match self.run(&known).await?.as_str() {
            "0" => "CREATE",
            _ => "ALTER",
        };
        let (name, password) = (identifier(name), literal(password));
        self.run(&format!("{verb} ROLE {name} LOGIN PASSWORD {password}"))
            .await?;
        Ok(())
    }

    /// Makes a database that belongs to `owner`, unless it exists.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database_of(&self, owner: &str, name: &str) -> Result<()> {
        let known = format!(
            "SELECT count(*) FROM pg_database WHERE datname = {}",
            literal(name)
        );
        if self.run(&known).await? == "0" {
            let (owner, name) = (identifier(owner), identifier(name));
            self.run(&format!("CREATE DATABASE {name} OWNER {owner}"))
                .await?;
        }
        Ok(())
    }

    /// Names of the users in the control plane that is in the database `database`.
    ///
    /// # Errors
    /// When there is no control plane.
    pub async fn users(&self, database: &str) -> Result<Vec<String>> {
        let schema = self
            .run_in(
                database,
                "SELECT quote_ident(schemaname) FROM pg_tables WHERE tablename = 'users'",
            )
            .await?;
        ensure!(!schema.is_empty(), "no table users in {database}");
        let rows = self
            .run_in(database, &format!("SELECT username FROM {schema}.users"))
            .await?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    fn id(&self) -> Option<i32> {
        let id = self.process.as_ref().and_then(Child::id);
        id.and_then(|id| i32::try_from(id).ok())
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = self.id().and_then(Pid::from_raw) {
            let _ = kill_process(process, signal);
        }
    }

    fn signal_children(&self, signal: Signal) -> Result<()> {
        let id = self.id().context("it does not run")?;
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        for child in children.split_whitespace() {
            if let Some(process) = Pid::from_raw(child.parse()?) {
                let _ = kill_process(process, signal);
            }
        }
        Ok(())
    }
}

/// `name` as SQL writes an identifier.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as SQL writes a string.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that is held still hears nothing.
        let _ = self.thaw();
        // Killed, it would leave its children behind for a while; told to quit it takes them along.
        self.signal(Signal::QUIT);
        let Some(process) = &mut self.process else {
            return;
        };
        for _ in 0..200 {
            match process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => break,
            }
        }
    }
}
