//! The program, as people run it in a pipeline.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dittofs-validate"))
        .current_dir(checkout())
        .args(arguments)
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A file with `text` that goes with the test.
fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn server(spec: &str) -> String {
    format!(
        "apiVersion: dittofs.dittofs.com/v1alpha1\nkind: DittoServer\nmetadata: {{name: files}}\nspec: {spec}\n"
    )
}

#[test]
fn the_samples_are_taken() {
    let output = run(&[
        "deploy/samples/dittoserver.yaml",
        "deploy/samples/demo.yaml",
    ]);
    assert!(output.status.success(), "{:?}", lines(&output));
    assert!(lines(&output).last().unwrap().ends_with(", 0 refused"));
    assert!(!lines(&output).last().unwrap().starts_with('0'));
}

#[test]
fn every_flaw_is_named_with_file_object_and_field() {
    let good = server("{storage: {metadataSize: 1Gi}}");
    let bad = server("{storage: {metadataSize: 1Gi}, replicas: 2, shutdownTimeout: 2h}");
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    let file = file("bad.yaml", &format!("{good}---\n{other}---\n{bad}"));
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with(&format!(
        "{file}: DittoServer files: spec.replicas: Invalid value: 2: the server has no clustering"
    )));
    assert!(lines[1].contains("spec.shutdownTimeout: Invalid value: \"2h\": must be between"));
    assert_eq!(lines[2], "2 manifests of DittoFS, 1 refused");
}

#[test]
fn a_change_is_judged_against_what_is_stored() {
    let old = file("old.yaml", &server("{storage: {metadataSize: 2Gi}}"));
    let new = file("new.yaml", &server("{storage: {metadataSize: 1Gi}}"));
    assert!(run(&[&new]).status.success());
    let output = run(&["--old", &old, &new]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[0].contains("spec.storage: Invalid value: metadataSize cannot shrink"));
}

#[test]
fn a_file_that_cannot_be_read_is_no_verdict() {
    let file = file("broken.yaml", "a: [");
    for argument in [file.as_str(), "there/is/none.yaml"] {
        let output = run(&[argument]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(argument), "{said}");
    }
}
