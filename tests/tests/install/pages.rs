//! The commands of the documentation, run as they stand by somebody who installs the operator.

use anyhow::{Result, ensure};
use api_types::DittoFSShare;
use cluster_tests::deployed::alone;
use cluster_tests::installation::OPERATOR;
use cluster_tests::kubectl::kubectl;
use cluster_tests::pages::{Block, Shell, blocks, with_commands};
use cluster_tests::shares::{self, SHARE, ready_made};
use cluster_tests::world::{IMAGE, run};
use cluster_tests::{Cluster, Outcome, Pods, SERVER, World, namespace, until};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::Api;
use serde_json::json;

/// The namespace that the quick start makes.
const MEDIA: &str = "media";

const QUICK_START: &str = "docs/quick-start.md";

/// The page with the operator's installation and removal.
const OPERATIONS: &str = "docs/operations.md";

/// Removes all that may be there.
const UNINSTALL: &str = "hack/uninstall --servers";

/// Pages whose commands look at a server called NAME in NAMESPACE with a share, and what NAME is there.
const LOOKS: [(&str, &str); 3] = [
    ("docs/troubleshooting.md", SERVER),
    ("docs/server.md", SERVER),
    ("docs/share.md", SHARE),
];

/// Pages whose commands are not run here, and why.
const APART: [(&str, &str); 4] = [
    (
        "docs/benchmarks.md",
        "hack/bench is a step of the level `long`",
    ),
    (
        "docs/development.md",
        "hack/cluster and cargo are what runs these tests; local.rs has the controllers of this machine",
    ),
    ("docs/kind.md", "there is no container engine"),
    ("docs/testing.md", "hack/test is what runs these tests"),
];

/// What of a page removes the data or the operator: it comes last.
fn is_end(block: &Block) -> bool {
    block.heading == "Remove" || block.heading == "What outlives the server"
}

/// What a test runs of a page: the blocks of its beginning, and those of its end.
fn runnable(page: &str) -> Result<(Vec<Block>, Vec<Block>)> {
    let found = blocks(page)?.into_iter();
    let found: Vec<Block> = found.filter(|block| block.not_run.is_none()).collect();
    ensure!(!found.is_empty(), "{page} has no commands");
    Ok(found.into_iter().partition(|block| !is_end(block)))
}

#[test]
fn every_page_with_commands_is_run_or_says_why_not() -> Outcome {
    let mut known = vec![QUICK_START, OPERATIONS];
    known.extend(LOOKS.iter().map(|(page, _)| *page));
    known.extend(APART.iter().map(|(page, _why)| *page));
    known.sort_unstable();
    let found = with_commands()?;
    if found != known {
        return Err(anyhow::anyhow!("commands are in {found:?}, known are {known:?}").into());
    }
    Ok(())
}

#[test]
fn the_quick_start_leads_to_a_mounted_share_and_back() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        let cluster = Cluster::connect().await?;
        // As on a new cluster, whatever the tests before have left.
        nothing_installed().await?;
        let outcome = quick_start(&cluster).await;
        if outcome.is_err() {
            // Other tests of this cluster do not find what was left half done.
            nothing_installed().await?;
            namespace::delete(&cluster.admin, MEDIA).await.ok();
        }
        outcome
    })?)
}

async fn nothing_installed() -> Result<()> {
    Shell::open("default").await?.command(UNINSTALL).await?;
    Ok(())
}

async fn quick_start(cluster: &Cluster) -> Result<()> {
    // The node has no way to a registry: the only thing in the page that is not as it stands.
    let image = format!("spec:\n  image: {IMAGE}\n  storage:\n");
    let shell = Shell::open("default")
        .await?
        .instead_of("spec:\n  storage:\n", &image);
    let (all, none) = runnable(QUICK_START)?;
    ensure!(none.is_empty(), "{none:?}");
    let is_removal = |block: &&Block| block.heading.ends_with("Remove it");
    let (removals, steps): (Vec<&Block>, Vec<&Block>) = all.iter().partition(is_removal);
    ensure!(removals.len() == 3 && steps.len() >= 7, "{all:?}");
    let mut said = String::new();
    for block in steps {
        said += &shell.run(block).await?;
    }
    // What the page promises.
    ensure!(said.matches("condition met").count() == 3, "{said}");
    ensure!(said.matches("1/1").count() >= 6, "{said}");
    // Among them: what the pod security level of a namespace would refuse.
    ensure!(!said.contains("Warning:"), "{said}");
    ensure!(said.contains(": mount -t nfs -o vers=4.1"), "{said}");
    let shares: Api<DittoFSShare> = Api::namespaced(cluster.admin.clone(), MEDIA);
    let share = shares.get(SHARE).await?;
    serves(&share).await?;

    let mut removed = String::new();
    for block in removals {
        removed += &shell.run(block).await?;
    }
    for stays in [
        "metadata-files-0",
        "content-files-0",
        "bootstrap-credentials",
    ] {
        ensure!(removed.contains(stays), "{stays} is not listed: {removed}");
    }
    let namespaces: Api<Namespace> = Api::all(cluster.admin.clone());
    for name in [MEDIA, OPERATOR] {
        ensure!(namespaces.get_opt(name).await?.is_none(), "{name} is there");
    }
    let crds = kubectl(&["get", "crd", "-o", "name"], "").await?;
    ensure!(!crds.contains("dittofs.dittofs.com"), "{crds}");
    Ok(())
}

/// A file is written and read by clients at the printed places.
async fn serves(share: &DittoFSShare) -> Result<()> {
    let (nfs, smb) = (shares::nfs(share)?, shares::smb(share)?);
    // The node learns of a new pod a moment after the API server.
    until("a file is written over NFS", async || {
        let answer = nfs.write("hello", b"hello").await?;
        Ok(answer.map_err(|refusal| format!("{refusal:?}")))
    })
    .await?;
    let found = until("it is read over SMB", async || {
        let answer = smb.read("hello").await?;
        Ok(answer.map_err(|refusal| format!("{refusal:?}")))
    })
    .await?;
    ensure!(found == b"hello", "{found:?}");
    Ok(())
}

#[test]
fn the_commands_of_the_other_pages_work() -> Outcome {
    let _alone = alone();
    Ok(run(async || {
        let (beginning, end) = runnable(OPERATIONS)?;
        let [install, looks @ ..] = &beginning[..] else {
            anyhow::bail!("{OPERATIONS} does not install");
        };
        ensure!(install.heading == "Install" && end.len() == 1, "{end:?}");
        let shell = Shell::open("default").await?;
        shell.run(install).await?;
        let world = World::create("pages", Pods::Run).await?;
        let outcome = look(&world, looks).await;
        shell.run(&end[0]).await?;
        world.remove().await?;
        outcome
    })?)
}

/// Runs what looks at a server with its share, and what removes its data.
async fn look(world: &World, looks: &[Block]) -> Result<()> {
    world.serve(json!({})).await?;
    ready_made(world, SHARE, json!({})).await?;
    world.condition("Ready", "True", "AllReady").await?;
    let shell = Shell::open(&world.namespace).await?;
    for block in looks {
        ensure!(
            !shell.run(block).await?.is_empty(),
            "{block:?} says nothing"
        );
    }
    let mut ends = Vec::new();
    for (page, name) in LOOKS {
        let (blocks, end) = runnable(page)?;
        let shell = Shell::open(&world.namespace)
            .await?
            .with("NAMESPACE", &world.namespace)
            .with("NAME", name);
        let mut said = String::new();
        for block in blocks {
            said += &shell.run(&block).await?;
        }
        ensure!(said.contains("Ready=True AllReady"), "{page}: {said}");
        ends.extend(end.into_iter().map(|block| (name, block)));
    }
    ensure!(!ends.is_empty(), "no page removes the data");
    let gone = format!("dittofsshare/{SHARE} dittoserver/{SERVER}");
    shell.command(&format!("kubectl delete {gone}")).await?;
    for (name, block) in ends {
        let shell = Shell::open(&world.namespace).await?.with("NAME", name);
        let said = shell.run(&block).await?;
        ensure!(said.contains("deleted"), "{block:?}: {said}");
    }
    let claims = world.api::<PersistentVolumeClaim>();
    until("the claims are gone", async || {
        let left = claims.list(&Default::default()).await?.items.len();
        Ok(if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} claims"))
        })
    })
    .await
}
