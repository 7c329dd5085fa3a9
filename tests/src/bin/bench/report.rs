//! The results, as JSON for programs and as a page for people.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use crate::adapters::{Adapters, Window};
use crate::cost::{Change, Creation, Idle, Restart};
use crate::memory::{Foreign, Own, Start};
use crate::processor::Processor;
use crate::speed::{Speed, median};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

#[derive(Serialize)]
pub(crate) struct Report {
    conditions: Conditions,
    pub(crate) start: Option<Start>,
    pub(crate) foreign: Option<Foreign>,
    pub(crate) speed: Option<Speed>,
    pub(crate) creation: Option<Creation>,
    pub(crate) change: Option<Change>,
    pub(crate) own: Option<Own>,
    pub(crate) idle: Option<Idle>,
    pub(crate) restart: Option<Restart>,
    pub(crate) adapters: Option<Adapters>,
}

/// Where and when.
#[derive(Serialize)]
struct Conditions {
    date: String,
    commit: String,
    rustc: String,
    kubernetes: String,
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    /// Mean number of processes that ran or wanted to in the minute before.
    load: String,
    smoke: bool,
}

/// A line of the table.
struct Line {
    what: String,
    aim: &'static str,
    measured: String,
    predecessor: &'static str,
    /// `None` where there is no aim.
    reached: Option<bool>,
}

impl Report {
    pub(crate) async fn new(admin: &Client, smoke: bool) -> Result<Self> {
        Ok(Report {
            conditions: Conditions::now(admin, smoke).await?,
            start: None,
            foreign: None,
            speed: None,
            creation: None,
            change: None,
            own: None,
            idle: None,
            restart: None,
            adapters: None,
        })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        std::fs::write(folder.join("benchmarks.json"), json)?;
        std::fs::write(folder.join("benchmarks.md"), self.page()?)?;
        Ok(())
    }

    fn page(&self) -> Result<String> {
        let conditions = &self.conditions;
        let mut page = String::from(HEAD);
        writeln!(
            page,
            "| what | aim | measured | Go operator | aim reached |"
        )?;
        writeln!(page, "|---|---|---|---|---|")?;
        for line in self.lines()? {
            let reached = match line.reached {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let Line {
                what,
                aim,
                measured,
                predecessor,
                ..
            } = line;
            writeln!(
                page,
                "| {what} | {aim} | {measured} | {predecessor} | {reached} |"
            )?;
        }
        writeln!(page, "\n## Conditions\n")?;
        writeln!(
            page,
            "{}, commit {}, Kubernetes {}, {}, release profile. {} cores ({}), {:.0} GiB of memory, Linux {}, load before the run {}.",
            conditions.date,
            conditions.commit,
            conditions.kubernetes,
            conditions.rustc,
            conditions.cores,
            conditions.processor,
            conditions.memory_gib,
            conditions.kernel,
            conditions.load,
        )?;
        if conditions.smoke {
            writeln!(page, "\nA smoke run: the numbers mean nothing.")?;
        }
        writeln!(page, "\n## Requests\n")?;
        writeln!(
            page,
            "From the audit log, the user of the controller only.\n"
        )?;
        writeln!(
            page,
            "| request | one creation | each of many creations | each changed annotation |"
        )?;
        writeln!(page, "|---|---|---|---|")?;
        self.requests(&mut page)?;
        self.processor(&mut page)?;
        self.adapters(&mut page)?;
        page.push_str(TAIL);
        Ok(page)
    }

    /// Where the processor time goes while many servers are made.
    fn processor(&self, page: &mut String) -> Result<()> {
        let speed = self.speed.as_ref().context("no speed")?;
        let servers = self.own.as_ref().context("no own objects")?.servers as f64;
        writeln!(page, "\n## Processor time\n")?;
        writeln!(
            page,
            "Of each process, in milliseconds for each of many servers, until the last child is there. With two cores this is what the time\nabove consists of.\n"
        )?;
        writeln!(page, "| process | raw client | controller |")?;
        writeln!(page, "|---|---|---|")?;
        type Part = fn(&Processor) -> f64;
        let parts: [(&str, Part); 4] = [
            ("kube-apiserver", |used| used.api_server),
            ("etcd", |used| used.etcd),
            ("kube-controller-manager", |used| used.controller_manager),
            ("server-controller", |used| used.controller),
        ];
        for (name, part) in parts {
            let each = |rounds: &[Processor]| {
                let times: Vec<f64> = rounds.iter().map(part).collect();
                median(&times) * 1000.0 / servers
            };
            writeln!(
                page,
                "| {name} | {:.1} | {:.1} |",
                each(&speed.many.floor_processor),
                each(&speed.many.product_processor),
            )?;
        }
        Ok(())
    }

    /// The adapter-controller.
    fn adapters(&self, page: &mut String) -> Result<()> {
        let adapters = self.adapters.as_ref().context("no adapters")?;
        page.push_str(ADAPTERS);
        for (window, what, predecessor) in [
            (&adapters.healthy, "answer", "6,298 in a minute"),
            (
                &adapters.refusing,
                "refuse connections",
                "7,514 in a minute, for one server",
            ),
            (&adapters.hanging, "take requests and say nothing", ""),
        ] {
            let Window {
                seconds,
                writes,
                requests: _,
                polls,
                processor,
                memory,
            } = window;
            let reached = if *writes == 0 { "yes" } else { "**no**" };
            // Nobody counts where nobody listens.
            let polls = match polls {
                0 => "not counted".to_owned(),
                polls => polls.to_string(),
            };
            writeln!(
                page,
                "| {} servers {what}, {seconds:.0} s: writes | 0 | {writes} | {predecessor} | {reached} |",
                adapters.servers,
            )?;
            writeln!(
                page,
                "| the same: polls, processor time, resident memory | | {polls}, {processor:.2} s, {:.1} MiB | | |",
                memory.resident as f64 / MEBIBYTE,
            )?;
        }
        let reached = if adapters.ratio() <= 2.0 {
            "yes"
        } else {
            "**no**"
        };
        writeln!(
            page,
            "| a new server gets its Services while {} hang, over alone | ≤ 2 × | {:.2} × ({:.3} s, alone {:.3} s) | | {reached} |",
            adapters.servers,
            adapters.ratio(),
            median(&adapters.while_others_hang),
            median(&adapters.alone),
        )?;
        Ok(())
    }

    fn requests(&self, page: &mut String) -> Result<()> {
        let creation = self.creation.as_ref().context("no creation")?;
        let change = self.change.as_ref().context("no change")?;
        let columns = [&creation.one, &creation.many, &change.one];
        let mut names: Vec<&String> = columns
            .iter()
            .flat_map(|cost| cost.requests.keys())
            .collect();
        names.sort();
        names.dedup();
        for name in names {
            write!(page, "| {name} |")?;
            for cost in columns {
                let number = cost.requests.get(name).copied().unwrap_or_default();
                write!(page, " {} |", short(number as f64 / cost.number as f64))?;
            }
            writeln!(page)?;
        }
        Ok(())
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let speed = self.speed.as_ref().context("no speed")?;
        for (what, compared) in [
            (
                "servers at once, from the first DittoServer to the last child, over the raw client",
                &speed.many,
            ),
            ("one server, the same", &speed.one),
        ] {
            let many = std::ptr::eq(compared, &speed.many);
            let servers = self.own.as_ref().map_or(0, |own| own.servers);
            lines.push(Line {
                what: if many {
                    format!("{servers} {what}")
                } else {
                    what.to_owned()
                },
                aim: "≤ 1.3 ×",
                measured: format!(
                    "{:.2} × ({:.3} s, raw {:.3} s)",
                    compared.ratio(),
                    median(&compared.product),
                    median(&compared.floor)
                ),
                predecessor: if many { "4.1 ×" } else { "2.1 ×" },
                reached: Some(compared.ratio() <= 1.3),
            });
        }
        let creation = self.creation.as_ref().context("no creation")?;
        let (one, many) = (&creation.one, &creation.many);
        lines.push(line(
            "writes for each created server, one alone and many at once",
            "≤ 10",
            format!("{} and {}", short(one.writes), short(many.writes)),
            "19.8",
            one.writes <= 10.0 && many.writes <= 10.0,
        ));
        lines.push(line(
            "reads for each created server, the same",
            "≤ 12",
            format!("{} and {}", short(one.reads), short(many.reads)),
            "16.7",
            one.reads <= 12.0 && many.reads <= 12.0,
        ));
        let change = self.change.as_ref().context("no change")?;
        let (one, many) = (&change.one, &change.many);
        lines.push(line(
            "writes for each changed annotation, one alone and many at once",
            "≤ 3",
            format!("{} and {}", short(one.writes), short(many.writes)),
            "12",
            one.writes <= 3.0 && many.writes <= 3.0,
        ));
        let idle = self.idle.as_ref().context("no idleness")?;
        lines.push(line(
            &format!(
                "{:.0} s of idleness with {} servers: writes, lists",
                idle.seconds, idle.servers
            ),
            "0, 0",
            format!("{}, {}", idle.writes, idle.lists),
            "",
            idle.writes + idle.lists == 0,
        ));
        lines.push(line(
            "processor time in it",
            "not measurable (< 0.05 s)",
            format!("{:.2} s", idle.processor),
            "",
            idle.processor < 0.05,
        ));
        let restart = self.restart.as_ref().context("no restart")?;
        lines.push(line(
            &format!("restart with {} servers: writes", restart.servers),
            "0",
            restart.writes.to_string(),
            "303",
            restart.writes == 0,
        ));
        lines.push(line(
            "restart: time until its last request",
            "≤ 1 s",
            format!("{:.2} s", restart.quiet),
            "",
            restart.quiet <= 1.0,
        ));
        self.memory_lines(&mut lines)?;
        Ok(lines)
    }

    fn memory_lines(&self, lines: &mut Vec<Line>) -> Result<()> {
        let start = self.start.as_ref().context("no start")?;
        let foreign = self.foreign.as_ref().context("no foreign Secrets")?;
        let own = self.own.as_ref().context("no own objects")?;
        let restart = self.restart.as_ref().context("no restart")?;
        let empty = start.memory.resident as f64 / MEBIBYTE;
        lines.push(line(
            "resident memory, empty",
            "≤ 14 MiB",
            format!(
                "{empty:.1} MiB ({:.1} MiB without the program's file)",
                start.memory.anonymous as f64 / MEBIBYTE
            ),
            "50 MiB",
            empty <= 14.0,
        ));
        let few = foreign.few.resident as f64 / MEBIBYTE;
        let more = |memory: &crate::process::Memory| memory.resident as f64 / MEBIBYTE - few;
        let (before, meanwhile) = (more(&foreign.there_before), more(&foreign.made_meanwhile));
        lines.push(line(&format!("more with {} Secrets of others (4 KiB each) than with 10, there before the start or made meanwhile", foreign.secrets), "+0 MiB (< 0.5)",
            format!("{before:+.1} and {meanwhile:+.1} MiB"), "212 to 262 MiB in all", before < 0.5 && meanwhile < 0.5));
        let restarted =
            (restart.memory.resident as f64 / 1024.0 - empty * 1024.0) / own.servers as f64;
        let each = own.per_server / 1024.0;
        lines.push(Line {
            what: format!("more for each server ({} watched objects), in the process that made it and after a restart", own.objects),
            aim: "",
            measured: format!("{each:.0} and {restarted:.0} KiB ({:.1} and {:.1} KiB for each object)", each / own.objects as f64, restarted / own.objects as f64),
            predecessor: "",
            reached: None,
        });
        lines.push(line(
            "from the start of the process until all watches stand",
            "≤ 0.1 s",
            format!("{:.3} s", start.median()),
            "0.09 s",
            start.median() <= 0.1,
        ));
        Ok(())
    }
}

fn line(
    what: &str,
    aim: &'static str,
    measured: String,
    predecessor: &'static str,
    reached: bool,
) -> Line {
    Line {
        what: what.to_owned(),
        aim,
        measured,
        predecessor,
        reached: Some(reached),
    }
}

/// A number with at most two digits after the point.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Conditions {
    async fn now(admin: &Client, smoke: bool) -> Result<Self> {
        let given = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&file("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
            .unwrap_or_default();
        Ok(Conditions {
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            commit: given("BENCH_COMMIT"),
            rustc: given("BENCH_RUSTC"),
            kubernetes: admin.apiserver_version().await?.git_version,
            processor: field(&file("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory / 1024.0 / 1024.0,
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: file("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            smoke,
        })
    }
}

const HEAD: &str = "# Speed and cost

Written by `hack/bench`, which measures the controllers as they are released, under their own ServiceAccounts with the shipped roles,
against the API server, etcd and controller-manager of `hack/cluster`. `hack/bench --help` tells more.

The raw client makes the same DittoServers and the same children as the controller, in the same run and by turns with it. It reads
nothing, checks nothing and repeats nothing; of several numbers of requests at a time the fastest is taken. Times are medians.
The column of the Go operator has what was measured of it in the same way.

";

const ADAPTERS: &str = "
## The adapter-controller

Its release, under its own ServiceAccount with the shipped role. The servers are HTTP listeners on the same machine, each polled as the
spec's defaults say: every 30 s, and ever more rarely, up to 5 min, after failures.

| what | aim | measured | Go operator | aim reached |
|---|---|---|---|---|
";

const TAIL: &str = "
## Run it again

```sh
hack/bench            # builds the release, makes a cluster of its own, measures, removes the cluster, writes this page
hack/bench --smoke    # a small run that shows that everything works
```

It needs what `hack/test` needs, and a machine with nothing else to do: two cores that others use too change every time by a half and
more. Compare ratios and numbers of requests, not seconds. `docs/benchmarks.json` has every number.
";
