//! The tasks under a clock of the tests' own. What stands for the servers here only answers, hangs
//! or fails at given times; what a real server says is tried elsewhere.

use std::collections::BTreeMap;

use api_types::v1alpha1::{AdapterDiscovery, AdapterKind};
use controller_runtime::Metrics;

use super::memory::tests::{answer, nfs, silence};
use super::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<BTreeMap<String, Vec<Duration>>>>);

/// Answers by the first word of the server's name.
struct Script {
    log: Log,
    start: Instant,
}

#[async_trait]
impl Looker for Script {
    async fn look(&mut self, target: &Target, _: Why) -> Look {
        let at = self.start.elapsed();
        let name = target.name.clone();
        let note = |mut log: MutexGuard<'_, BTreeMap<String, Vec<Duration>>>| {
            log.entry(name).or_default().push(at);
        };
        note(self.log.0.lock().unwrap());
        match target.name.split('-').next().unwrap() {
            "hangs" => std::future::pending().await,
            "refuses" => silence(),
            "panics" => panic!("on purpose"),
            // NFS is being started, so that it is looked at often; SMB is switched off meanwhile.
            "restarts" => {
                let starting = Seen {
                    serving: Serving::Starting,
                    ..nfs(true)
                };
                let off = Seen {
                    kind: AdapterKind::Smb,
                    ..nfs(false)
                };
                answer(vec![starting, off])
            }
            _ => {
                let smb = Seen {
                    kind: AdapterKind::Smb,
                    ..nfs(true)
                };
                answer(vec![nfs(true), smb])
            }
        }
    }

    async fn retire(&mut self, target: &Target) {
        let mut log = self.log.0.lock().unwrap();
        log.entry(format!("retired {}", target.name)).or_default();
    }
}

struct Scripts(Log, Instant);

impl Lookers for Scripts {
    fn looker(&self) -> Box<dyn Looker> {
        Box::new(Script {
            log: self.0.clone(),
            start: self.1,
        })
    }
}

fn target(name: &str) -> Target {
    Target {
        namespace: "media".to_owned(),
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        generation: 1,
        api: ApiStatus::default(),
        available_since: String::new(),
        pace: Pace::of(&AdapterDiscovery::default()),
        polls: 3,
        spec: Box::new(crate::testing::server(serde_json::json!({})).spec),
        may_write: true,
        leave_behind: false,
        awaited: Vec::new(),
        pushed: Vec::new(),
        tls_secret: None,
    }
}

fn key(name: &str) -> Key {
    ObjectRef::new(name).within("media")
}

struct Fleet {
    pollers: Pollers,
    news: controller_runtime::Triggers<DittoServer>,
    log: Log,
}

impl Fleet {
    fn of(names: &[String]) -> Self {
        let log = Log::default();
        let scripts = Scripts(log.clone(), Instant::now());
        let (pollers, news) =
            Pollers::with_jitter(Box::new(scripts), Metrics::new().polls(), || 0.0);
        for name in names {
            pollers.follow(&key(name), target(name));
        }
        Fleet { pollers, news, log }
    }

    fn looks(&self, name: &str) -> Vec<u64> {
        let log = self.log.0.lock().unwrap();
        let looks = log.get(name).into_iter().flatten();
        looks.map(Duration::as_secs).collect()
    }

    fn told(&mut self) -> usize {
        let mut count = 0;
        while let Some(Some(_)) = self.news.next().now_or_never() {
            count += 1;
        }
        count
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_hang_or_fail_delay_nobody() {
    let names: Vec<String> = (0..100)
        .map(|number| match number % 10 {
            3 => format!("hangs-{number}"),
            5 => format!("refuses-{number}"),
            7 => format!("panics-{number}"),
            _ => format!("answers-{number}"),
        })
        .collect();
    let mut fleet = Fleet::of(&names);
    tokio::time::sleep(Duration::from_secs(601)).await;
    let on_time: Vec<u64> = (0..=20).map(|beat| beat * 30).collect();
    for name in names.iter().filter(|name| name.starts_with("answers")) {
        assert_eq!(fleet.looks(name), on_time, "{name}");
    }
    let told = fleet.told();
    assert!(
        told <= 100,
        "{told} pieces of news of 100 servers that did not change"
    );
    let refuses = fleet.looks("refuses-5");
    assert_eq!(refuses, [0, 2, 6, 14, 30, 62, 126, 254, 510]);
}

#[tokio::test(start_paused = true)]
async fn a_change_or_a_poke_is_looked_at_at_once() {
    let fleet = Fleet::of(&["answers".to_owned()]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut changed = target("answers");
    changed.generation = 2;
    fleet.pollers.follow(&key("answers"), changed.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fleet.looks("answers"), [0, 5]);
    fleet.pollers.follow(&key("answers"), changed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fleet.looks("answers"), [0, 5], "nothing changed");
    fleet.pollers.poke(&key("answers"));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(fleet.looks("answers"), [0, 5, 7]);
    let memory = fleet.pollers.memory(&key("answers"), "uid of answers");
    assert_eq!(memory.unwrap().generation, Some(2));
    assert_eq!(
        fleet.pollers.memory(&key("answers"), "another uid"),
        None,
        "a server of the same name inherits nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_pokes_is_no_storm_of_looks() {
    let fleet = Fleet::of(&["answers".to_owned()]);
    for _ in 0..100 {
        fleet.pollers.poke(&key("answers"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let looks = fleet.looks("answers").len();
    assert!(looks <= 3, "{looks} looks in a second");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_left_is_not_looked_at() {
    let fleet = Fleet::of(&["answers".to_owned(), "hangs".to_owned()]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.pollers.leave(&key("answers"));
    fleet.pollers.retire(&key("hangs"));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(fleet.looks("answers"), [0]);
    let log = fleet.log.0.lock().unwrap();
    assert!(log.contains_key("retired hangs"));
}

#[tokio::test(start_paused = true)]
async fn quick_looks_do_not_hasten_a_removal() {
    let fleet = Fleet::of(&["restarts".to_owned()]);
    let is_missing = || {
        let memory = fleet.pollers.memory(&key("restarts"), "uid of restarts");
        memory.unwrap().is_missing(AdapterKind::Smb, 3)
    };
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fleet.pollers.poke(&key("restarts"));
    }
    assert!(fleet.looks("restarts").len() > 10);
    assert!(!is_missing());
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert!(is_missing());
}
