//! Settings that the server has stored and takes at a later start of an adapter, or of itself.
//!
//! No answer of the server tells what it runs with. So what was stored is noted with the time, and is
//! in force once what takes it has been started later. The status keeps the notes over our own restarts: it has
//! them before anything is sent, so that a process that ends right after it leaves a note, too.

use std::time::Duration;

use adapter_client::{Adapter, Liveness};
use api_types::v1alpha1::{AdapterKind, AwaitedRestart};
use jiff::Timestamp;

use super::kind_of;

/// The server reads the settings again every 10 s: an adapter that starts sooner after a change may
/// start with the old ones (server contract 3.8).
const REREAD: Duration = Duration::from_secs(10);

/// What takes settings at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starts {
    /// An adapter.
    Adapter(AdapterKind),
    /// The server.
    Server,
}

impl Starts {
    const ALL: [Starts; 3] = [
        Starts::Adapter(AdapterKind::Nfs),
        Starts::Adapter(AdapterKind::Smb),
        Starts::Server,
    ];

    fn text(self) -> &'static str {
        match self {
            Starts::Adapter(AdapterKind::Nfs) => "adapters.nfs",
            Starts::Adapter(AdapterKind::Smb) => "adapters.smb",
            Starts::Server => "server",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|starts| starts.text() == text)
    }
}

/// The notes of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Awaited(Vec<AwaitedRestart>);

impl Awaited {
    /// The notes of an earlier process.
    pub(super) fn of(notes: &[AwaitedRestart]) -> Self {
        Awaited(notes.to_vec())
    }

    /// The notes, for the status.
    pub(super) fn notes(&self) -> Vec<AwaitedRestart> {
        self.0.clone()
    }

    /// Whether anything is noted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that `settings` were stored at `since`, by the server's clock.
    pub(super) fn note(&mut self, starts: Starts, settings: &[String], since: Timestamp) {
        if settings.is_empty() {
            return;
        }
        let what = starts.text();
        let known = self.0.iter().position(|note| note.what == what);
        let mut note = match known {
            Some(at) => self.0.remove(at),
            None => AwaitedRestart {
                what: what.to_owned(),
                settings: Vec::new(),
                since: String::new(),
            },
        };
        note.settings.extend_from_slice(settings);
        note.settings.sort();
        note.settings.dedup();
        note.since = since.to_string();
        self.0.push(note);
        self.0.sort_by(|one, other| one.what.cmp(&other.what));
    }

    /// Whether it is noted of each of `settings`.
    pub(super) fn has(&self, starts: Starts, settings: &[String]) -> bool {
        let note = self.0.iter().find(|note| note.what == starts.text());
        settings
            .iter()
            .all(|setting| note.is_some_and(|note| note.settings.contains(setting)))
    }

    /// Keeps of the notes of `starts` those whose setting is still declared.
    pub(super) fn retain(&mut self, starts: Starts, is_declared: impl Fn(&str) -> bool) {
        for note in &mut self.0 {
            if note.what == starts.text() {
                note.settings.retain(|setting| is_declared(setting));
            }
        }
        self.0.retain(|note| !note.settings.is_empty());
    }

    /// Drops what was started since.
    pub(super) fn settle(&mut self, adapters: &[Adapter], server: &Liveness) {
        let started = server.data.started_at;
        self.0.retain(|note| {
            let (Some(starts), Ok(since)) = (Starts::parse(&note.what), note.since.parse()) else {
                // Not one of ours.
                return false;
            };
            let since: Timestamp = since;
            if started > since {
                return false;
            }
            match starts {
                Starts::Server => true,
                Starts::Adapter(kind) => {
                    let mut rows = adapters.iter();
                    let row = rows.find(|row| kind_of(&row.kind) == Some(kind));
                    // One that is off takes them when it is switched on.
                    row.is_some_and(|row| row.enabled && row.updated_at < since + REREAD)
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn nfs(enabled: bool, updated: i64) -> Adapter {
        serde_json::from_value(
            json!({"id": "1", "type": "nfs", "enabled": enabled, "running": enabled,
            "port": 12049, "created_at": at(0), "updated_at": at(updated),
            "status": {"status": "healthy", "checked_at": at(updated + 1)}}),
        )
        .unwrap()
    }

    fn server(started: i64) -> Liveness {
        serde_json::from_value(json!({"status": "healthy", "timestamp": at(900), "data": {
            "service": "dittofs", "started_at": at(started), "uptime_sec": 1, "control_plane_db": "reachable"}}))
        .unwrap()
    }

    fn left(starts: Starts, adapters: &[Adapter], started: i64) -> bool {
        let mut awaited = Awaited::default();
        awaited.note(starts, &["udp_enabled".to_owned()], at(100));
        let mut again = Awaited::of(&awaited.notes());
        again.settle(adapters, &server(started));
        !again.is_empty()
    }

    #[test]
    fn a_setting_is_awaited_until_what_takes_it_was_started() {
        let adapter = Starts::Adapter(AdapterKind::Nfs);
        assert!(left(adapter, &[nfs(true, 90)], 1));
        assert!(
            left(adapter, &[nfs(true, 105)], 1),
            "before the server read it again"
        );
        assert!(!left(adapter, &[nfs(true, 111)], 1));
        assert!(
            !left(adapter, &[nfs(false, 90)], 1),
            "it takes it when it is switched on"
        );
        assert!(
            !left(adapter, &[nfs(true, 90)], 101),
            "the server was started"
        );
        assert!(!left(adapter, &[], 1));
        assert!(left(Starts::Server, &[nfs(true, 200)], 1));
        assert!(!left(Starts::Server, &[], 101));
    }

    #[test]
    fn what_is_no_longer_declared_is_not_awaited() {
        let adapter = Starts::Adapter(AdapterKind::Nfs);
        let mut awaited = Awaited::default();
        awaited.note(adapter, &["b".to_owned(), "a".to_owned()], at(1));
        awaited.note(Starts::Server, &["a".to_owned()], at(1));
        awaited.note(adapter, &["a".to_owned()], at(2));
        awaited.retain(adapter, |setting| setting == "a");
        let notes = awaited.notes();
        let said: Vec<_> = notes
            .iter()
            .map(|note| (note.what.as_str(), &*note.settings))
            .collect();
        let a = ["a".to_owned()];
        assert_eq!(said, [("adapters.nfs", &a[..]), ("server", &a[..])]);
        awaited.retain(adapter, |_| false);
        awaited.retain(Starts::Server, |_| false);
        assert!(awaited.is_empty());
    }
}
