//! Trial logins to databases, outside of the visits: a visit asks for one and goes on; it is visited again when
//! the answer is there. Answers expire.

mod login;
mod tls;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::DittoServer;
use api_types::conditions::Reason;
use controller_runtime::{Context, Lookup, Triggers};
use futures::StreamExt;
use futures::channel::mpsc;
use kube::runtime::reflector::ObjectRef;
use percona_bridge::Parts;
use tokio::time::Instant;

/// Where Kubernetes puts the token of a pod's service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long a login that worked counts.
const GOOD: Duration = Duration::from_secs(300);
/// How long one counts that did not work: then it is tried again.
const BAD: Duration = Duration::from_secs(10);

/// Why a login did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: Reason,
    /// For people: what is and what to do. No secrets, no counters, no times.
    pub message: String,
}

/// What a trial login brought.
pub type Answer = Result<(), Trouble>;

/// Trial logins, and what they brought. Cheap to clone.
#[derive(Clone)]
pub struct Checks {
    known: Arc<Mutex<HashMap<ObjectRef<DittoServer>, Databases>>>,
    done: mpsc::UnboundedSender<ObjectRef<DittoServer>>,
    place: Place,
}

/// From where logins are tried.
#[derive(Clone)]
pub(crate) struct Place {
    /// DNS domain of the cluster.
    pub(crate) domain: String,
    /// Whether names of Services have addresses here.
    pub(crate) in_cluster: bool,
    /// How names are looked up; the system's resolver where it is absent.
    pub(crate) lookup: Option<Lookup>,
}

type Databases = HashMap<String, Entry>;

struct Entry {
    parts: Parts,
    answer: Option<(Answer, Instant)>,
    is_running: bool,
}

impl Debug for Checks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Checks")
            .field("domain", &self.place.domain)
            .finish_non_exhaustive()
    }
}

impl Checks {
    /// No answers yet. The stream names the servers for which one has come.
    pub fn new(context: &Context) -> (Self, Triggers<DittoServer>) {
        let (done, answered) = mpsc::unbounded();
        let checks = Checks {
            known: Arc::default(),
            done,
            place: Place {
                domain: context.settings.cluster_domain.clone(),
                in_cluster: context.lookup.is_some() || Path::new(TOKEN).exists(),
                lookup: context.lookup.clone(),
            },
        };
        (checks, answered.boxed())
    }

    /// What logins of `server` with these parts brought, by name of the database. Those that were not tried, or
    /// whose answer has expired, are tried now; an expired answer counts until the new one is there. What is
    /// not asked for any more is forgotten.
    pub fn ask(
        &self,
        server: &ObjectRef<DittoServer>,
        wanted: &[Parts],
    ) -> HashMap<String, Answer> {
        let mut known = self.known();
        if wanted.is_empty() {
            known.remove(server);
            return HashMap::new();
        }
        let databases = known.entry(server.clone()).or_default();
        databases.retain(|name, entry| {
            let mut wanted = wanted.iter();
            wanted.any(|parts| parts.database == *name && parts.is(&entry.parts))
        });
        for parts in wanted {
            let entry = databases
                .entry(parts.database.clone())
                .or_insert_with(|| Entry {
                    parts: parts.clone(),
                    answer: None,
                    is_running: false,
                });
            if !entry.is_running && entry.has_expired() {
                entry.is_running = true;
                self.start(server.clone(), parts.clone());
            }
        }
        databases
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), entry.answer.clone()?.0)))
            .collect()
    }

    /// Time until something that was asked for shall be asked for again.
    pub fn wake(&self, server: &ObjectRef<DittoServer>) -> Option<Duration> {
        let known = self.known();
        let entries = known.get(server)?.values();
        let left = entries.filter_map(|entry| match &entry.answer {
            Some((Err(_), at)) if !entry.is_running => Some(BAD.saturating_sub(at.elapsed())),
            _ => None,
        });
        left.min()
    }

    /// The server is gone.
    pub fn forget(&self, server: &ObjectRef<DittoServer>) {
        self.known().remove(server);
    }

    fn start(&self, server: ObjectRef<DittoServer>, parts: Parts) {
        let checks = self.clone();
        tokio::spawn(async move {
            let namespace = server.namespace.clone().unwrap_or_default();
            let answer = login::log_in(&parts, &namespace, &checks.place).await;
            checks.keep(&server, &parts, answer);
            // Nobody listens any more when the process ends.
            let _ = checks.done.unbounded_send(server);
        });
    }

    fn keep(&self, server: &ObjectRef<DittoServer>, parts: &Parts, answer: Answer) {
        let mut known = self.known();
        let entry = known
            .get_mut(server)
            .and_then(|databases| databases.get_mut(&parts.database));
        // An answer to an earlier question says nothing about this one.
        if let Some(entry) = entry.filter(|entry| entry.parts.is(parts)) {
            entry.answer = Some((answer, Instant::now()));
            entry.is_running = false;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ObjectRef<DittoServer>, Databases>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn has_expired(&self) -> bool {
        match &self.answer {
            None => true,
            Some((answer, at)) => at.elapsed() >= if answer.is_ok() { GOOD } else { BAD },
        }
    }
}

#[cfg(test)]
mod tests {
    use api_types::v1alpha1::SslMode;

    use super::*;

    fn parts(password: &str) -> Parts {
        Parts {
            host: "127.0.0.1".to_owned(),
            // Nothing listens there.
            port: 1,
            database: "files".to_owned(),
            user: "u".to_owned(),
            password: password.to_owned().into(),
            sslmode: SslMode::Disable,
            ca: None,
        }
    }

    fn checks() -> (Checks, mpsc::UnboundedReceiver<ObjectRef<DittoServer>>) {
        let (done, answered) = mpsc::unbounded();
        let place = Place {
            domain: "cluster.local".to_owned(),
            in_cluster: false,
            lookup: None,
        };
        let checks = Checks {
            known: Arc::default(),
            done,
            place,
        };
        (checks, answered)
    }

    #[tokio::test]
    async fn an_answer_wakes_its_server_and_counts_until_the_connection_changes() {
        let (checks, mut answered) = checks();
        let server = ObjectRef::new("files").within("media");
        assert!(checks.ask(&server, &[parts("p")]).is_empty());
        assert_eq!(answered.next().await, Some(server.clone()));
        let answers = checks.ask(&server, &[parts("p")]);
        let trouble = answers["files"].clone().unwrap_err();
        assert_eq!(trouble.reason, Reason::DatabaseUnreachable);
        assert!(checks.wake(&server).is_some());
        // Another password is another question.
        assert!(checks.ask(&server, &[parts("q")]).is_empty());
        assert!(checks.ask(&server, &[]).is_empty());
        assert!(checks.wake(&server).is_none());
    }
}
