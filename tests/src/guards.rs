//! The table of what went wrong before names tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cluster::checkout;

/// Names of all functions in the Rust files below `folder`.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| {
                let (before, after) = line.split_once("fn ")?;
                let declares = ["", "pub ", "async ", "pub async "].contains(&before.trim_start());
                let name = after.split_once('(')?.0;
                declares.then(|| name.to_owned())
            });
            found.extend(names);
        }
    }
}

#[test]
fn every_guard_in_the_table_exists() {
    let text = std::fs::read_to_string(checkout().join("tests/README.md")).unwrap();
    let named: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 50, "{} names", named.len());
    let mut found = BTreeSet::new();
    for folder in ["tests", "crates"] {
        functions(&checkout().join(folder), &mut found);
    }
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !found.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
