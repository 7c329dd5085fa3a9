//! Clients of the file server: the programs of libnfs and smbclient, run on this machine, which has a
//! route to the cluster's Services.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::random;

/// Far beyond what any of them takes here.
const LIMIT: Duration = Duration::from_secs(120);

/// Why a client did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may not. `dfs` v0.29.0 says the same about a share that is read only.
    Denied,
    /// There is no such file or share.
    NotFound,
    /// The share is read only.
    ReadOnly,
    /// There is no room.
    NoSpace,
    /// The server took the name of the file and not, or not all, of its contents; `nfs-cp` does not say why.
    Incomplete,
    /// The share is not served any more.
    Gone,
    /// Name or password are wrong.
    NoAccount,
    /// Something else, in the client's words.
    Other(String),
}

/// What a client is told.
pub type Answer<T> = Result<T, Refusal>;

/// What the clients say, and what it means; the first that is found counts.
const WORDS: [(&str, Refusal); 17] = [
    ("NFS3ERR_ACCES", Refusal::Denied),
    ("NFS3ERR_PERM", Refusal::Denied),
    ("MNT3ERR_ACCES", Refusal::Denied),
    ("NFS4ERR_ACCESS", Refusal::Denied),
    ("NT_STATUS_ACCESS_DENIED", Refusal::Denied),
    ("NFS3ERR_NOENT", Refusal::NotFound),
    ("MNT3ERR_NOENT", Refusal::NotFound),
    ("NFS4ERR_NOENT", Refusal::NotFound),
    ("NT_STATUS_OBJECT_NAME_NOT_FOUND", Refusal::NotFound),
    ("NT_STATUS_BAD_NETWORK_NAME", Refusal::NotFound),
    ("NFS3ERR_ROFS", Refusal::ReadOnly),
    ("NT_STATUS_MEDIA_WRITE_PROTECTED", Refusal::ReadOnly),
    ("NT_STATUS_DISK_FULL", Refusal::NoSpace),
    ("Failed to write to dest file", Refusal::Incomplete),
    ("NFS4ERR_STALE", Refusal::Gone),
    ("NT_STATUS_NETWORK_NAME_DELETED", Refusal::Gone),
    ("NT_STATUS_LOGON_FAILURE", Refusal::NoAccount),
];

/// Runs a client; gives what it printed.
async fn run(program: &str, arguments: &[&str]) -> Result<Answer<Vec<u8>>> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .with_context(|| format!("{program} was not done after {LIMIT:?}"))?
        .with_context(|| format!("{program}, which hack/test installs, cannot be run"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    // Some commands of smbclient fail without an exit code.
    let trouble = || WORDS.iter().find(|(word, _)| said.contains(word));
    if output.status.success() && (program != "smbclient" || !said.contains("NT_STATUS_")) {
        return Ok(Ok(output.stdout));
    }
    Ok(Err(match trouble() {
        Some((_, refusal)) => refusal.clone(),
        None => Refusal::Other(said),
    }))
}

/// A file of this machine that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!("dittofs-client-{}", random::suffix()?);
        Ok(Scratch(std::env::temp_dir().join(name)))
    }

    fn with(contents: &[u8]) -> Result<Self> {
        let file = Self::new()?;
        std::fs::write(&file.0, contents)?;
        Ok(file)
    }

    fn path(&self) -> Result<&str> {
        self.0.to_str().context("a folder that is not UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file or folder, as an NFS client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Numeric ID of its owner.
    pub uid: u32,
    /// Numeric ID of its group.
    pub gid: u32,
    /// Bytes in it.
    pub size: u64,
}

/// An NFS client (libnfs) that says who it is without proof (AUTH_SYS).
///
/// With NFSv4 it can only list: libnfs 4.0 refuses the server's answer to ACCESS
/// (server contract 4.2).
#[derive(Clone, Debug)]
pub struct Nfs {
    url: String,
    uid: u32,
    gid: u32,
}

impl Nfs {
    /// A client of the share at a URL of libnfs such as `nfs://10.0.0.1/films?version=3&nfsport=2049`,
    /// as user and group 0.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Nfs {
            url: url.to_owned(),
            uid: 0,
            gid: 0,
        }
    }

    /// The same as this user, and the group of the same number.
    #[must_use]
    pub fn by(&self, id: u32) -> Self {
        self.by_member(id, id)
    }

    /// The same as this user in this group.
    #[must_use]
    pub fn by_member(&self, uid: u32, gid: u32) -> Self {
        Nfs {
            url: self.url.clone(),
            uid,
            gid,
        }
    }

    /// The same with NFSv4 in place of NFSv3.
    #[must_use]
    pub fn v4(&self) -> Self {
        Nfs {
            url: self.url.replace("version=3", "version=4"),
            ..self.clone()
        }
    }

    fn url(&self, name: &str) -> String {
        let (share, options) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let separator = if name.is_empty() { "" } else { "/" };
        let and = if options.is_empty() { "" } else { "&" };
        let (uid, gid) = (self.uid, self.gid);
        format!("{share}{separator}{name}?{options}{and}uid={uid}&gid={gid}")
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn write(&self, name: &str, contents: &[u8]) -> Result<Answer<()>> {
        let file = Scratch::with(contents)?;
        let answer = run("nfs-cp", &[file.path()?, &self.url(name)]).await?;
        Ok(answer.map(|_| ()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn read(&self, name: &str) -> Result<Answer<Vec<u8>>> {
        run("nfs-cat", &[&self.url(name)]).await
    }

    /// Lists the share's top folder.
    ///
    /// # Errors
    /// When the client cannot be run, or prints something else than a list.
    pub async fn list(&self) -> Result<Answer<Vec<Entry>>> {
        let text = match run("nfs-ls", &[&self.url("")]).await? {
            Ok(text) => String::from_utf8(text)?,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let entries: Result<Vec<Entry>> = text.lines().map(entry).collect();
        Ok(Ok(entries?))
    }
}

/// A line such as `-rw-r--r--  1  1000  1000            6 hello`.
fn entry(line: &str) -> Result<Entry> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().with_context(|| format!("no list: {line}"));
    let (_mode, _links) = (next()?, next()?);
    // Printed with a sign.
    let id = |text: &str| -> Result<u32> { Ok(text.parse::<i64>()? as u32) };
    let (uid, gid) = (id(next()?)?, id(next()?)?);
    let size = next()?.parse()?;
    let name = words.collect::<Vec<_>>().join(" ");
    ensure!(!name.is_empty(), "no name: {line}");
    Ok(Entry {
        name,
        uid,
        gid,
        size,
    })
}

/// An SMB client (smbclient).
#[derive(Clone, Debug)]
pub struct Smb {
    host: String,
    port: u16,
    share: String,
    account: Option<(String, String)>,
}

impl Smb {
    /// An anonymous client of a share.
    #[must_use]
    pub fn at(host: &str, port: u16, share: &str) -> Self {
        Smb {
            host: host.to_owned(),
            port,
            share: share.to_owned(),
            account: None,
        }
    }

    /// The same with an account.
    #[must_use]
    pub fn by(&self, user: &str, password: &str) -> Self {
        Smb {
            account: Some((user.to_owned(), password.to_owned())),
            ..self.clone()
        }
    }

    async fn run(&self, commands: &str) -> Result<Answer<Vec<u8>>> {
        let who = match &self.account {
            Some((user, password)) => format!("--user={user}%{password}"),
            None => "--no-pass".to_owned(),
        };
        let share = format!("//{}/{}", self.host, self.share);
        let port = self.port.to_string();
        run("smbclient", &["-p", &port, &who, &share, "-c", commands]).await
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn write(&self, name: &str, contents: &[u8]) -> Result<Answer<()>> {
        let file = Scratch::with(contents)?;
        let commands = format!("put {} {name}", file.path()?);
        Ok(self.run(&commands).await?.map(|_| ()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn read(&self, name: &str) -> Result<Answer<Vec<u8>>> {
        let file = Scratch::new()?;
        let commands = format!("get {name} {}", file.path()?);
        Ok(match self.run(&commands).await? {
            Ok(_) => Ok(std::fs::read(&file.0)?),
            Err(refusal) => Err(refusal),
        })
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn delete(&self, name: &str) -> Result<Answer<()>> {
        Ok(self.run(&format!("del {name}")).await?.map(|_| ()))
    }

    /// Names in the share's top folder.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub async fn list(&self) -> Result<Answer<Vec<String>>> {
        let text = match self.run("ls").await? {
            Ok(text) => String::from_utf8(text)?,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // `  name      A        6  Sat Nov 21 18:38:42 2026`, and a line about blocks in the end.
        let names = text.lines().filter(|line| line.starts_with("  "));
        let names = names.filter_map(|line| line.split_whitespace().next());
        let names = names.filter(|name| ![".", ".."].contains(name));
        Ok(Ok(names.map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_listing_is_taken_apart() {
        let found = entry("-rw-r--r--  1    -2 65534            6 two words").unwrap();
        assert_eq!(
            found,
            Entry {
                name: "two words".to_owned(),
                uid: 4_294_967_294,
                gid: 65534,
                size: 6
            }
        );
    }

    #[test]
    fn a_client_is_somebody_at_a_file() {
        let client = Nfs::at("nfs://10.0.0.1/films?version=3&nfsport=2049").by(1000);
        let options = "nfsport=2049&uid=1000&gid=1000";
        let file = format!("nfs://10.0.0.1/films/a?version=3&{options}");
        assert_eq!(client.url("a"), file);
        let folder = format!("nfs://10.0.0.1/films?version=4&{options}");
        assert_eq!(client.v4().url(""), folder);
    }
}
