//! What the looks at one server have told so far. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::v1alpha1::{AdapterKind, AwaitedRestart, PushedSecret};
use controller_runtime::rest::Trouble;
use tokio::time::Instant;

/// An adapter as the server tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The protocol.
    pub kind: AdapterKind,
    /// Whether the server shall serve it.
    pub enabled: bool,
    /// TCP port of its listener, 1 to 65535; `None` when the server holds a number that is no port.
    pub port: Option<u16>,
    /// Whether it listens.
    pub serving: Serving,
}

/// Whether an adapter listens, by the server's own report (server contract, rule 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Its port is open.
    Healthy,
    /// The report is not newer than the adapter's last change, or too young to be a verdict.
    Starting,
    /// It does not listen, for this reason in the server's words.
    Failed(String),
    /// It is switched off.
    Off,
}

/// What one look at a server found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its adapters.
    pub adapters: Vec<Seen>,
    /// What of the declared settings is not in force, for people.
    pub not_applied: Vec<String>,
    /// What of the declared settings the server takes at a later start.
    pub awaited: Vec<AwaitedRestart>,
    /// Secrets that were pushed, as they were then.
    pub pushed: Vec<PushedSecret>,
    /// The Secret of NFS over TLS whose files the server uses, or is about to.
    pub tls_secret: Option<String>,
}

/// The result of one look.
pub type Look = Result<Found, Trouble>;

/// Looks in a row with an adapter that does not listen, or with settings that are not in force, after which it is looked at at the normal pace.
const UNSETTLED_LOOKS: u32 = 8;

/// The answers in a row in which an adapter was absent or disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    /// How many of them count.
    answers: u32,
    /// When the look began that gave the last one that counts.
    counted: Instant,
}

impl Missing {
    /// The row with one more answer, of a look that began at `began`. It counts when it comes at
    /// least `interval` after the last one that does: looks that follow each other quickly see the
    /// same moment, such as the pause while a person restarts an adapter.
    fn and(before: Option<Self>, began: Instant, interval: Duration) -> Self {
        match before {
            None => Missing {
                answers: 1,
                counted: began,
            },
            Some(row) if began.duration_since(row.counted) < interval => row,
            Some(row) => Missing {
                answers: row.answers.saturating_add(1),
                counted: began,
            },
        }
    }
}

/// What the looks at one server have told so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Generation of the spec that the last look was made for.
    pub generation: Option<i64>,
    /// What the last successful look found.
    pub found: Option<Found>,
    /// Why the last look failed, if it did.
    pub trouble: Option<Trouble>,
    /// The adapters that were absent or disabled in the last answer.
    missing: BTreeMap<AdapterKind, Missing>,
    failures: u32,
    unsettled: u32,
}

impl Memory {
    /// Takes in the result of a look that was made for `generation` and began at `began`. Of looks
    /// that come sooner after each other than `interval`, one counts towards the removal of an adapter.
    ///
    /// A look that failed tells nothing: it ends every row of answers and changes nothing else that
    /// is known of the adapters.
    pub fn take(&mut self, look: Look, generation: i64, began: Instant, interval: Duration) {
        self.generation = Some(generation);
        match look {
            Err(trouble) => {
                self.trouble = Some(trouble);
                self.missing.clear();
                self.failures = self.failures.saturating_add(1);
            }
            Ok(found) => {
                for kind in AdapterKind::ALL {
                    let served = found
                        .adapters
                        .iter()
                        .any(|seen| seen.kind == kind && seen.enabled);
                    let row = self.missing.remove(&kind);
                    if !served {
                        let row = Missing::and(row, began, interval);
                        self.missing.insert(kind, row);
                    }
                }
                let settled =
                    found.not_applied.is_empty() && found.adapters.iter().all(Seen::is_settled);
                self.unsettled = if settled {
                    0
                } else {
                    self.unsettled.saturating_add(1)
                };
                self.trouble = None;
                self.failures = 0;
                self.found = Some(found);
            }
        }
    }

    /// An adapter as the last successful look found it.
    pub fn seen(&self, kind: AdapterKind) -> Option<&Seen> {
        let found = self.found.as_ref()?;
        found.adapters.iter().find(|seen| seen.kind == kind)
    }

    /// Whether at least `polls` answers in a row that count said that the adapter is absent or disabled.
    pub fn is_missing(&self, kind: AdapterKind, polls: u32) -> bool {
        self.missing
            .get(&kind)
            .is_some_and(|row| row.answers >= polls.max(1))
    }

    /// Whether something is under way that another look will show soon.
    pub fn is_pending(&self) -> bool {
        (1..UNSETTLED_LOOKS).contains(&self.unsettled)
    }

    /// Looks in a row that failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Everything that a visit makes something of: a look that changes none of it needs no visit.
    pub fn significant(&self, polls: u32) -> impl PartialEq + use<> {
        let due = AdapterKind::ALL.map(|kind| self.is_missing(kind, polls));
        let trouble = self.trouble.as_ref();
        (
            self.generation,
            self.found.clone(),
            trouble.map(|trouble| (trouble.reason, trouble.message.clone())),
            due,
        )
    }
}

impl Seen {
    fn is_settled(&self) -> bool {
        matches!(self.serving, Serving::Healthy | Serving::Off)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use api_types::conditions::Reason;

    use super::*;

    impl Memory {
        /// Takes in a look for which it was time.
        pub(crate) fn take_due(&mut self, look: Look, generation: i64) {
            self.take(look, generation, Instant::now(), Duration::ZERO);
        }
    }

    pub(crate) fn nfs(enabled: bool) -> Seen {
        Seen {
            kind: AdapterKind::Nfs,
            enabled,
            port: Some(12049),
            serving: if enabled {
                Serving::Healthy
            } else {
                Serving::Off
            },
        }
    }

    pub(crate) fn answer(adapters: Vec<Seen>) -> Look {
        Ok(Found {
            adapters,
            not_applied: Vec::new(),
            awaited: Vec::new(),
            pushed: Vec::new(),
            tls_secret: None,
        })
    }

    pub(crate) fn silence() -> Look {
        Err(Trouble::new(Reason::Unreachable, "nothing answers"))
    }

    #[test]
    fn only_answers_in_a_row_make_an_adapter_missing() {
        let mut memory = Memory::default();
        memory.take_due(answer(vec![nfs(true)]), 1);
        memory.take_due(answer(vec![nfs(false)]), 1);
        memory.take_due(answer(Vec::new()), 1);
        assert!(!memory.is_missing(AdapterKind::Nfs, 3));
        memory.take_due(silence(), 1);
        memory.take_due(answer(Vec::new()), 1);
        assert!(
            !memory.is_missing(AdapterKind::Nfs, 3),
            "a failed look ends the row"
        );
        memory.take_due(answer(vec![nfs(false)]), 1);
        memory.take_due(answer(vec![nfs(false)]), 1);
        assert!(memory.is_missing(AdapterKind::Nfs, 3));
        memory.take_due(answer(vec![nfs(true)]), 1);
        assert!(!memory.is_missing(AdapterKind::Nfs, 1));
    }

    #[test]
    fn a_failed_look_changes_nothing_that_is_known() {
        let mut memory = Memory::default();
        memory.take_due(answer(vec![nfs(true)]), 1);
        let known = memory.found.clone();
        memory.take_due(silence(), 1);
        assert_eq!(memory.found, known);
        assert!(memory.trouble.is_some());
    }

    #[test]
    fn an_adapter_that_never_comes_up_is_not_pending_for_ever() {
        let mut memory = Memory::default();
        let stuck = Seen {
            serving: Serving::Failed("no".to_owned()),
            ..nfs(true)
        };
        memory.take_due(answer(vec![stuck.clone()]), 1);
        assert!(memory.is_pending());
        for _ in 0..UNSETTLED_LOOKS {
            memory.take_due(answer(vec![stuck.clone()]), 1);
        }
        assert!(!memory.is_pending());
        memory.take_due(answer(vec![nfs(true)]), 1);
        assert!(!memory.is_pending());
    }

    #[test]
    fn looks_in_quick_succession_are_one_answer_towards_a_removal() {
        let interval = Duration::from_secs(30);
        let start = Instant::now();
        let mut memory = Memory::default();
        let mut look = |second: u64, enabled| {
            let began = start + Duration::from_secs(second);
            memory.take(answer(vec![nfs(enabled)]), 1, began, interval);
            memory.is_missing(AdapterKind::Nfs, 3)
        };
        for second in (0..60).step_by(2) {
            assert!(!look(second, false), "after {second} s");
        }
        assert!(look(60, false));
        assert!(!look(62, true), "it is served again");
        assert!(!look(64, false));
        assert!(!look(93, false));
        assert!(!look(95, false));
        assert!(!look(96, false));
        assert!(look(125, false));
    }
}
