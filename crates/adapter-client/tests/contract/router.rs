//! The routes that dfs registers, from the source of the version that the tests run.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A registered route; parameters have no names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Registered {
    path: String,
    method: String,
}

impl Registered {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let parts: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part })
            .collect();
        Self {
            path: parts.join("/"),
            method: method.into(),
        }
    }
}

/// Profiles of the process: no part of the REST API, off unless configured.
const PROFILES: &str = "/debug/pprof";

/// The routes of the server under test.
pub(crate) fn of_the_server() -> BTreeSet<Registered> {
    let file = module().join("pkg/controlplane/api/router.go");
    let source =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let found =
        registered(&source).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
    found
        .into_iter()
        .filter(|route| !route.path.starts_with(PROFILES))
        .collect()
}

/// Folder of the module that `hack/cluster program dfs` builds the server from:
/// in Go's module cache, fetched when it is not there.
fn module() -> PathBuf {
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hack/kit/components/dfs");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("go")
        .args(["mod", "download", "-json", "github.com/marmos91/dittofs"])
        .current_dir(component)
        // Where the Go project's archive is unpacked, as in hack/kit.
        .env("PATH", format!("{path}:/usr/local/go/bin"))
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("go mod download, to read the server's routes: {error}"));
    assert!(
        output.status.success(),
        "go mod download in {component} failed"
    );
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Path::new(answer["Dir"].as_str().unwrap()).to_owned()
}

/// Reads the calls of chi in `NewRouter`. What it does not understand is an
/// error: a route must not go unnoticed.
fn registered(source: &str) -> Result<BTreeSet<Registered>, String> {
    let body = source
        .split_once("\nfunc NewRouter(")
        .ok_or("no function NewRouter")?
        .1;
    let body = body.split_once("{\n").ok_or("NewRouter has no body")?.1;
    let mut found = BTreeSet::new();
    // Depth of the block that a prefix holds for, and the prefix.
    let mut prefixes: Vec<(usize, String)> = Vec::new();
    let mut depth = 1;
    for line in body.lines() {
        let line = without_comment(line);
        let opened = depth;
        depth = (depth + count(line, '{'))
            .checked_sub(count(line, '}'))
            .ok_or("unbalanced braces")?;
        if let Some((call, rest)) = router_call(line) {
            let argument = quoted(rest);
            let all = || {
                prefixes
                    .iter()
                    .map(|(_, prefix)| prefix.as_str())
                    .collect::<String>()
            };
            match (call, argument) {
                ("Use", _) => {}
                ("Route", Some(prefix)) => prefixes.push((opened, prefix.into())),
                ("Group", _) => prefixes.push((opened, String::new())),
                ("Get" | "Post" | "Put" | "Patch" | "Delete" | "Handle", Some(path)) => {
                    let path = format!("{}{path}", all());
                    let path = if path == "/" {
                        &path
                    } else {
                        path.trim_end_matches('/')
                    };
                    found.insert(Registered::new(&call.to_uppercase(), path));
                }
                _ => return Err(format!("not understood: {}", line.trim())),
            }
        }
        prefixes.retain(|(opened, _)| *opened < depth);
        if depth == 0 {
            return Ok(found);
        }
    }
    Err("NewRouter does not end".into())
}

/// `r.Call(rest` at the start of a line.
fn router_call(line: &str) -> Option<(&str, &str)> {
    line.trim_start().strip_prefix("r.")?.split_once('(')
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?
        .split_once('"')
        .map(|(path, _)| path)
}

fn without_comment(line: &str) -> &str {
    let mut inside = false;
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => inside = !inside,
            b'/' if !inside && bytes.get(at + 1) == Some(&b'/') => return &line[..at],
            _ => {}
        }
    }
    line
}

/// How often `brace` occurs outside texts.
fn count(line: &str, brace: char) -> usize {
    line.split('"')
        .step_by(2)
        .flat_map(str::chars)
        .filter(|found| *found == brace)
        .count()
}

#[test]
fn routers_are_read_with_their_prefixes() {
    let source = r#"
func NewRouter(x int) http.Handler {
	r := chi.NewRouter()
	r.Use(a(func() { return }))
	r.Get("/", x) // r.Get("/no", x)
	r.Route("/a/{b}", func(r chi.Router) {
		r.Get("/", x)
		if y := f(); y != nil {
			r.Group(func(r chi.Router) {
				r.Put("/c/{d}/", x)
				r.Get("/e", func(w W, q *R) {
					f(w, "}")
				})
			})
		}
	})
	r.Delete("/f", x)
	return r
}

func other() { r.Get("/not", x) }
"#;
    let expected = [
        ("GET", "/"),
        ("GET", "/a/{}"),
        ("PUT", "/a/{}/c/{}"),
        ("GET", "/a/{}/e"),
        ("DELETE", "/f"),
    ];
    let expected = expected
        .into_iter()
        .map(|(method, path)| Registered::new(method, path))
        .collect();
    assert_eq!(registered(source), Ok(expected));
    for unknown in [
        "r.Mount(\"/x\", y)",
        "r.Get(path, y)",
        "r.With(a).Get(\"/x\", y)",
    ] {
        let source = format!("\nfunc NewRouter() {{\n\t{unknown}\n}}\n");
        assert!(registered(&source).is_err(), "{unknown}");
    }
}
