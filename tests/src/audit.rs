//! The audit log of the API server: the witness of every request, written before its answer.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

/// The audit log.
#[derive(Clone, Debug)]
pub struct Audit(PathBuf);

/// A point in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(u64);

/// One answered request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Verb, as in RBAC rules.
    pub verb: String,
    /// Plural of the resource, with the subresource after a slash.
    pub resource: String,
    /// Name of the object; empty for a collection.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u64,
    /// URL without the host.
    pub uri: String,
    /// When the API server got it.
    pub received: Option<Timestamp>,
    /// When the API server had answered it; of a watch, when it ended.
    pub answered: Option<Timestamp>,
}

impl Entry {
    fn read(line: &Value) -> Self {
        let text = |pointer: &str| {
            line.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut resource = text("/objectRef/resource");
        let subresource = text("/objectRef/subresource");
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        Entry {
            verb: text("/verb"),
            resource,
            name: text("/objectRef/name"),
            code: line
                .pointer("/responseStatus/code")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            uri: text("/requestURI"),
            received: text("/requestReceivedTimestamp").parse().ok(),
            answered: text("/stageTimestamp").parse().ok(),
        }
    }

    /// Whether it may have changed something. Leases do not count, and neither does the question
    /// what one may do, which is a creation in form only.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        let apart = ["leases", "selfsubjectaccessreviews"];
        writes.contains(&self.verb.as_str()) && !apart.contains(&self.resource.as_str())
    }

    /// Whether it read a collection.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.verb == "list"
    }

    /// Whether the caller lacked the right.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code == 403
    }

    /// Whether an object came to be, Events apart.
    #[must_use]
    pub fn is_creation(&self) -> bool {
        self.code == 201 && self.is_write() && self.resource != "events"
    }
}

impl Entry {
    /// Whether the API server took the deletion of an object.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        (200..300).contains(&self.code) && self.verb == "delete"
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} {} {} ({})",
            self.verb, self.resource, self.name, self.code
        )
    }
}

/// `entries` for a message.
#[must_use]
pub fn listed<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let lines: Vec<String> = entries.into_iter().map(ToString::to_string).collect();
    if lines.is_empty() {
        "none".to_owned()
    } else {
        lines.join(", ")
    }
}

impl Mark {
    /// The point after so many bytes.
    #[must_use]
    pub fn at(bytes: u64) -> Self {
        Mark(bytes)
    }
}

impl Audit {
    /// The log of the cluster that `hack/cluster env` names.
    ///
    /// # Errors
    /// When the environment names none.
    pub fn from_environment() -> Result<Self> {
        let state = std::env::var_os("DITTOFS_CLUSTER_STATE")
            .context("DITTOFS_CLUSTER_STATE is not set, and these tests count requests in the audit log of a cluster made by hack/cluster: eval \"$(hack/cluster env)\"")?;
        Ok(Audit(PathBuf::from(state).join("audit.log")))
    }

    /// Now.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(
            std::fs::metadata(&self.0)
                .with_context(|| format!("{} cannot be read", self.0.display()))?
                .len(),
        ))
    }

    /// What `user` was answered since `mark`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn since(&self, mark: Mark, user: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.each_line(mark, |line| {
            // Most lines are other tests': they are not worth parsing. A last line may be half written.
            if !line.contains(user) {
                return;
            }
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                return;
            };
            if line.pointer("/user/username").and_then(Value::as_str) == Some(user) {
                entries.push(Entry::read(&line));
            }
        })?;
        Ok(entries)
    }

    /// Hands over each line since `mark`; the last one may be half written.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn each_line(&self, mark: Mark, mut take: impl FnMut(&str)) -> Result<()> {
        let mut file = File::open(&self.0)?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        // A last line may end in the middle of a character.
        while file.read_until(b'\n', &mut line)? > 0 {
            take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(())
    }
}
