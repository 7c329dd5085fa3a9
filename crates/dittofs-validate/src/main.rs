//! `dittofs-validate FILE...`: what the API server would say to manifests, without a cluster.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use dittofs_validate::{Document, Validator, documents};
use serde_json::Value;

/// Says which manifests of DittoFS resources the API server would refuse, and why. Prints one line for
/// each field: file, field, message. Manifests of other kinds are left out.
///
/// Exit code: 0 when all would be taken, 1 when one would be refused, 2 when a file cannot be read.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Files with manifests in YAML or JSON; `-` is the standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// Files with the manifests as they are stored now: what they hold is judged as a change.
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse(), &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "dittofs-validate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every manifest would be taken.
fn run(arguments: &Arguments, out: &mut impl Write) -> Result<bool> {
    let validator = Validator::new()?;
    let mut stored = Vec::new();
    for file in &arguments.old {
        stored.extend(read(file)?);
    }
    let (mut judged, mut refused) = (0_usize, 0_usize);
    for file in &arguments.files {
        for Document { called, manifest } in read(file)? {
            if !is_ours(&manifest) {
                continue;
            }
            let same = |other: &&Document| identity(&other.manifest) == identity(&manifest);
            let found = match stored.iter().find(same) {
                Some(old) => validator.update(&old.manifest, &manifest),
                None => validator.create(&manifest),
            };
            judged += 1;
            refused += usize::from(!found.is_empty());
            for refusal in found {
                writeln!(out, "{}: {called}: {refusal}", file.display())?;
            }
        }
    }
    writeln!(out, "{judged} manifests of DittoFS, {refused} refused")?;
    Ok(refused == 0)
}

fn read(file: &Path) -> Result<Vec<Document>> {
    let name = file.display();
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("{name} cannot be read"))?;
    documents(&text).with_context(|| name.to_string())
}

/// Whether a manifest is of our group, in whatever version and kind.
fn is_ours(manifest: &Value) -> bool {
    let version = manifest["apiVersion"].as_str().unwrap_or_default();
    version.split('/').next() == Some(api_types::v1alpha1::GROUP)
}

fn identity(manifest: &Value) -> [&Value; 3] {
    let metadata = &manifest["metadata"];
    [&manifest["kind"], &metadata["namespace"], &metadata["name"]]
}
