//! An S3 server: versitygw on a folder of this machine.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{Folder, address};
use crate::kubectl::program;
use crate::{World, ports, until};

/// The bucket that there is.
pub const BUCKET: &str = "films";
const ACCESS_KEY: &str = "access";
const SECRET_KEY: &str = "hidden-secret-key";

/// A server with one bucket. Dropped, it ends and its contents are gone.
#[derive(Debug)]
pub struct S3 {
    address: SocketAddr,
    folder: Folder,
    process: Option<Child>,
}

impl S3 {
    /// A place for one, which does not run yet.
    ///
    /// # Errors
    /// When there is no port or folder for it.
    pub fn new(world: &World) -> Result<Self> {
        let host = address(world)?;
        let folder = Folder::new("s3")?;
        // A folder of the server's folder is a bucket.
        std::fs::create_dir(folder.path().join(BUCKET))?;
        Ok(S3 {
            address: SocketAddr::new(host, ports::free(host)?),
            folder,
            process: None,
        })
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn start(&mut self) -> Result<()> {
        let Some(program) = program("versitygw", "versitygw") else {
            bail!("there is no versitygw: hack/cluster program versitygw")
        };
        let mut command = Command::new(program);
        command
            .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY])
            .args(["--port", &self.address.to_string()])
            .args(["--region", "us-east-1", "posix"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.process = Some(command.spawn()?);
        until("versitygw listens", async || {
            let stream = tokio::net::TcpStream::connect(self.address).await;
            Ok(stream.map(|_| ()).map_err(|error| error.to_string()))
        })
        .await
    }

    /// Ends it; what is in the bucket stays.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        Ok(process.kill().await?)
    }

    /// The values of a Secret with its credentials.
    #[must_use]
    pub fn secret(&self) -> Value {
        json!({"accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY})
    }

    /// `blockStore.remote` of a share with its contents here, and the credentials in `secret`.
    #[must_use]
    pub fn remote(&self, secret: &str) -> Value {
        json!({"s3": {"bucket": BUCKET, "endpoint": format!("http://{}", self.address), "forcePathStyle": true,
            "allowPrivateEndpoint": true, "region": "us-east-1", "credentialsSecretRef": {"name": secret}}})
    }

    /// Number of objects in the bucket, also while it does not run.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn objects(&self) -> Result<usize> {
        fn files(folder: &std::path::Path) -> Result<usize> {
            let mut found = 0;
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                found += if entry.file_type()?.is_dir() {
                    files(&entry.path())?
                } else {
                    1
                };
            }
            Ok(found)
        }
        files(&self.folder.path().join(BUCKET))
    }
}
