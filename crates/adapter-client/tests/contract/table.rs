//! The route table of the crate, and whether it is whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use adapter_client::{Access, ROUTES};

use crate::{
    recorder::Seen,
    router::{self, Registered},
    topics::TOPICS,
};

/// One line of `routes.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// `None`: absent in an ordinary server.
    pub(crate) access: Option<Access>,
    /// `None`: this crate has no call for it.
    pub(crate) call: Option<&'static str>,
    pub(crate) statuses: Vec<u16>,
    /// The tests cannot make it succeed.
    unseen: bool,
}

impl Line {
    /// The part of a call's name before the dot.
    pub(crate) fn topic(&self) -> Option<&'static str> {
        self.call.map(|call| call.split('.').next().unwrap())
    }

    /// Whether `seen` asked this route for a method that it does not have.
    fn is_refused_method(&self, seen: &Seen) -> bool {
        seen.status == 405 && self.statuses.contains(&405) && is_instance(&seen.path, self.path)
    }
}

/// All lines.
pub(crate) fn table() -> &'static [Line] {
    static TABLE: OnceLock<Vec<Line>> = OnceLock::new();
    TABLE.get_or_init(|| {
        include_str!("../../routes.txt")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(line)
            .collect()
    })
}

fn line(text: &'static str) -> Line {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [method, path, access, call, statuses, reason @ ..] = words.as_slice() else {
        panic!("five columns are needed: {text}");
    };
    let unseen = reason.first() == Some(&"unseen:");
    assert_eq!(
        *call == "-",
        !reason.is_empty() && !unseen,
        "a call or a reason: {text}"
    );
    assert!(!unseen || reason.len() > 1, "a reason is needed: {text}");
    Line {
        method,
        path,
        access: match *access {
            "anonymous" => Some(Access::Anonymous),
            "account" => Some(Access::Account),
            "own" => Some(Access::Own),
            "operator" => Some(Access::Operator),
            "admin" => Some(Access::Admin),
            "absent" => None,
            other => panic!("{other} is no access: {text}"),
        },
        call: (*call != "-").then_some(*call),
        statuses: statuses
            .split(',')
            .map(|word| word.parse().unwrap())
            .collect(),
        unseen,
    }
}

/// The line that a server would choose for this request: literal segments win
/// over parameters.
fn find(method: &str, path: &str) -> Option<&'static Line> {
    let fits = |line: &&Line| line.method == method && is_instance(path, line.path);
    let literals = |line: &&Line| {
        let parts = line.path.split('/');
        parts.filter(|part| !part.starts_with('{')).count()
    };
    table().iter().filter(fits).max_by_key(literals)
}

/// The line that a request belongs to, be it refused for its method.
fn line_of(seen: &Seen) -> Option<&'static Line> {
    find(&seen.method, &seen.path)
        .or_else(|| table().iter().find(|line| line.is_refused_method(seen)))
}

fn is_instance(path: &str, pattern: &str) -> bool {
    let (parts, patterns): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), pattern.split('/').collect());
    parts.len() == patterns.len()
        && parts.iter().zip(patterns).all(|(part, pattern)| {
            *part == pattern || (pattern.starts_with('{') && !part.is_empty())
        })
}

/// What is missing among `seen` for the lines of `topic`, and what is in it
/// that the table does not know.
pub(crate) fn gaps(topic: &str, seen: &[Seen], denied: [&[Seen]; 2]) -> Vec<String> {
    let mut gaps = Vec::new();
    // What came of the requests of each line, by who sent them: with enough rights, and without.
    let mut answers: BTreeMap<&str, [BTreeSet<u16>; 3]> = BTreeMap::new();
    for (sender, requests) in [seen, denied[0], denied[1]].into_iter().enumerate() {
        for request in requests {
            match line_of(request) {
                Some(line) => {
                    let key = line.call.unwrap_or_default();
                    answers.entry(key).or_default()[sender].insert(request.status);
                }
                None => gaps.push(format!(
                    "{} {} is not in the table",
                    request.method, request.path
                )),
            }
        }
    }
    for line in table().iter().filter(|line| line.topic() == Some(topic)) {
        let of_line = answers
            .remove(line.call.unwrap_or_default())
            .unwrap_or_default();
        let all: BTreeSet<u16> = of_line.iter().flatten().copied().collect();
        let mut gap = |what: String| {
            gaps.push(format!(
                "{} {}: {what}, got {all:?}",
                line.method, line.path
            ));
        };
        let succeeded = all.iter().any(|status| (200..300).contains(status));
        if succeeded && line.unseen {
            gap("is called unseen and succeeded".into());
        } else if !succeeded && !line.unseen {
            gap("never succeeded".into());
        }
        for status in line.statuses.iter().filter(|status| !all.contains(status)) {
            gap(format!("never answered {status}"));
        }
        for (role, statuses) in ["user", "operator"].into_iter().zip(&of_line[1..]) {
            if line.access == Some(Access::Admin) && !statuses.contains(&403) {
                gap(format!("role {role} was not refused"));
            }
        }
    }
    gaps
}

#[test]
fn every_call_is_in_the_table_and_nothing_else() {
    let mut problems = Vec::new();
    for route in ROUTES {
        let method = route.method.method().to_string();
        match find(&method, route.path) {
            Some(line) if line.call == Some(route.call) && line.access == Some(route.access) => {}
            other => problems.push(format!("{route:?} is {other:?} in the table")),
        }
    }
    for line in table() {
        let called = ROUTES
            .iter()
            .filter(|route| Some(route.call) == line.call)
            .count();
        if line.call.is_some() && called != 1 {
            problems.push(format!("{called} calls for {line:?}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_line_belongs_to_a_test() {
    let topics: BTreeSet<&str> = table().iter().filter_map(Line::topic).collect();
    assert_eq!(topics, TOPICS.iter().copied().collect());
}

/// A release of dfs with another route is noticed here.
#[test]
fn the_table_has_the_routes_of_the_servers_router() {
    let registered: BTreeSet<Registered> = router::of_the_server();
    let ours: BTreeSet<Registered> = table()
        .iter()
        .map(|line| Registered::new(line.method, line.path))
        .collect();
    assert_eq!(ours.len(), table().len(), "no line twice");
    let missing: Vec<_> = registered.difference(&ours).collect();
    let surplus: Vec<_> = ours.difference(&registered).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:#?}, surplus {surplus:#?}"
    );
}

#[test]
fn requests_are_found_as_the_server_finds_them() {
    let call = |method, path| find(method, path).and_then(|line| line.call);
    assert_eq!(
        call("POST", "/api/v1/users/me/password"),
        Some("auth.change_password")
    );
    assert_eq!(
        call("POST", "/api/v1/users/eve/password"),
        Some("users.set_password")
    );
    assert_eq!(
        call("GET", "/api/v1/adapters/ports"),
        Some("adapters.ports")
    );
    assert_eq!(call("GET", "/api/v1/adapters/nfs"), Some("adapters.get"));
    assert_eq!(
        call("GET", "/api/v1/shares/%2Fa/quotas/user/1"),
        Some("quotas.get")
    );
    assert_eq!(call("GET", "/api/v1/nothing"), None);
    assert_eq!(call("PATCH", "/api/v1/users/eve"), None);
}
