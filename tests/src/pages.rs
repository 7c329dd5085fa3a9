//! The pages of the documentation: what they link to is there, and their commands work.
//!
//! A fenced block marked `sh` is run as it stands, from the top of the checkout. A line
//! `<!-- not run: REASON -->` right above the fence says why one is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::cluster::checkout;
use crate::kubectl::{self, kubectl};
use crate::random;

/// One block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The page, from the top of the checkout.
    pub page: String,
    /// Number of the line with its fence.
    pub line: usize,
    /// The heading that it is under.
    pub heading: String,
    /// The commands.
    pub commands: String,
    /// Why the tests do not run it.
    pub not_run: Option<String>,
}

/// The blocks of commands of `page`, from the top of the checkout.
///
/// # Errors
/// When the page cannot be read, or a block has no end.
pub fn blocks(page: &str) -> Result<Vec<Block>> {
    let text = std::fs::read_to_string(checkout().join(page)).with_context(|| page.to_owned())?;
    blocks_of(page, &text)
}

fn blocks_of(page: &str, text: &str) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    let mut heading = String::new();
    let mut above = "";
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let mut commands = String::new();
            loop {
                let (_, inner) = lines
                    .next()
                    .with_context(|| format!("{page}:{}: the block has no end", number + 1))?;
                if inner == "```" {
                    break;
                }
                commands.push_str(inner);
                commands.push('\n');
            }
            if language == "sh" {
                let reason = above.strip_prefix("<!-- not run: ");
                found.push(Block {
                    page: page.to_owned(),
                    line: number + 1,
                    heading: heading.clone(),
                    commands,
                    not_run: reason.map(|reason| reason.trim_end_matches(" -->").to_owned()),
                });
            }
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        above = line;
    }
    Ok(found)
}

/// A shell as a reader of the pages has it, in which `kubectl` works in one namespace unless it is told another.
#[derive(Debug)]
pub struct Shell {
    kubeconfig: PathBuf,
    /// What stands in the pages for something that the reader puts in, whole words, and what it is here.
    words: BTreeMap<&'static str, String>,
    /// What differs in the cluster of the tests: a text that a block may have, and the one in its place.
    instead: BTreeMap<&'static str, String>,
}

impl Shell {
    /// One in `namespace`.
    ///
    /// # Errors
    /// When there is no kubeconfig to start from.
    pub async fn open(namespace: &str) -> Result<Self> {
        let kubeconfig =
            std::env::temp_dir().join(format!("dittofs-kubeconfig-{}", random::suffix()?));
        let text = kubectl(&["config", "view", "--raw", "--flatten", "--minify"], "").await?;
        private(&kubeconfig, &text)?;
        let shell = Shell {
            kubeconfig,
            words: BTreeMap::new(),
            instead: BTreeMap::new(),
        };
        let set = format!("kubectl config set-context --current --namespace {namespace}");
        shell.command(&set).await?;
        Ok(shell)
    }

    /// Has `word` of the pages be `here`.
    #[must_use]
    pub fn with(mut self, word: &'static str, here: &str) -> Self {
        self.words.insert(word, here.to_owned());
        self
    }

    /// Has `text`, where a block has it, be `here`.
    #[must_use]
    pub fn instead_of(mut self, text: &'static str, here: &str) -> Self {
        self.instead.insert(text, here.to_owned());
        self
    }

    /// Runs a block up to its first command that fails; gives what it printed.
    ///
    /// # Errors
    /// When a command fails, with what was printed up to there.
    pub async fn run(&self, block: &Block) -> Result<String> {
        let mut commands = block.commands.clone();
        for (text, here) in &self.instead {
            commands = commands.replace(text, here);
        }
        for (word, here) in &self.words {
            commands = in_place_of(&commands, word, here);
        }
        let place = format!("{}:{}", block.page, block.line);
        self.command(&commands).await.context(place)
    }

    /// Runs commands that are on no page; gives what they printed.
    ///
    /// # Errors
    /// When one fails, with what was printed up to there.
    pub async fn command(&self, commands: &str) -> Result<String> {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]);
        command.current_dir(checkout());
        command.env("KUBECONFIG", &self.kubeconfig);
        if let Some(kubectl) = kubectl::program("kubectl", "kubernetes") {
            let path = std::env::var("PATH").unwrap_or_default();
            let folder = kubectl.parent().context("no folder")?;
            command.env("PATH", format!("{path}:{}", folder.display()));
        }
        // A proxy for downloads knows no way to a local cluster.
        for variable in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
            command.env_remove(variable);
        }
        kubectl::run(&mut command, "").await
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

fn private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// `text` with `here` where the whole word `word` was.
fn in_place_of(text: &str, word: &str, here: &str) -> String {
    let is_inside = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let whole = !is_inside(
            before
                .chars()
                .next_back()
                .or_else(|| made.chars().next_back()),
        ) && !is_inside(after.chars().next());
        made.push_str(before);
        made.push_str(if whole { here } else { word });
        rest = after;
    }
    made + rest
}

/// Every page with blocks of commands, from the top of the checkout, sorted.
///
/// # Errors
/// When the pages cannot be read.
pub fn with_commands() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["", "docs/", "tests/"] {
        for entry in std::fs::read_dir(checkout().join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let page = format!("{folder}{name}");
            if name.ends_with(".md") && !blocks(&page)?.is_empty() {
                found.push(page);
            }
        }
    }
    if found.is_empty() {
        bail!("no page has commands");
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The targets of links in the text of a page, without those in blocks of code.
    fn links(text: &str) -> Vec<&str> {
        let prose = text.split("```").step_by(2);
        prose
            .flat_map(|part| part.split("](").skip(1))
            .filter_map(|rest| rest.split(')').next())
            .collect()
    }

    /// The names of a page's headings in links, as GitHub makes them: lower case, no punctuation, blanks are hyphens.
    fn anchors(text: &str) -> BTreeSet<String> {
        let prose = text.split("```").step_by(2);
        prose
            .flat_map(str::lines)
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
                title
                    .chars()
                    .filter(kept)
                    .collect::<String>()
                    .replace(' ', "-")
            })
            .collect()
    }

    /// Links of the page at `page`, with the text `text`, that lead nowhere.
    fn broken(page: &Path, text: &str) -> Vec<String> {
        let folder = page.parent().unwrap_or(Path::new("."));
        let leads_somewhere = |link: &&str| {
            if link.contains("://") || link.starts_with("mailto:") {
                return true;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                page.to_owned()
            } else {
                folder.join(file)
            };
            if anchor.is_empty() {
                return target.exists();
            }
            std::fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor))
        };
        let links = links(text).into_iter();
        links
            .filter(|link| !leads_somewhere(link))
            .map(|link| format!("{}: {link}", page.display()))
            .collect()
    }

    #[test]
    fn every_link_of_the_documentation_leads_somewhere() {
        let mut failures = Vec::new();
        let mut pages = 0;
        for folder in ["", "docs", "tests"] {
            for entry in std::fs::read_dir(checkout().join(folder)).unwrap() {
                let page = entry.unwrap().path();
                if page.extension().is_some_and(|extension| extension == "md") {
                    failures.extend(broken(&page, &std::fs::read_to_string(&page).unwrap()));
                    pages += 1;
                }
            }
        }
        assert!(pages > 10, "{pages} pages");
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn a_broken_link_is_found() {
        let page = checkout().join("docs/server.md");
        let ours = anchors("# One `two`, three\n");
        assert!(ours.contains("one-two-three"), "{ours:?}");
        let found = broken(
            &page,
            "[a](nowhere.md) [b](api.md#nothing) [c](api.md)\n```\n[d](x)\n```\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn blocks_of_commands_are_found_with_their_reasons() {
        let page = "# One\n```sh\na\nb\n```\n```yaml\n# c\n```\n## Two\n<!-- not run: why -->\n```sh\nd\n```\n";
        let found = blocks_of("x.md", page).unwrap();
        let summary: Vec<_> = found
            .iter()
            .map(|block| {
                (
                    block.line,
                    block.heading.as_str(),
                    block.commands.as_str(),
                    block.not_run.as_deref(),
                )
            })
            .collect();
        let expected = [(2, "One", "a\nb\n", None), (11, "Two", "d\n", Some("why"))];
        assert_eq!(summary, expected);
        assert!(blocks_of("x.md", "```sh\na\n").is_err());
    }

    #[test]
    fn only_whole_words_are_put_in() {
        let made = in_place_of("NAME NAMESPACE x-NAME/NAME MY_NAME", "NAME", "files");
        assert_eq!(made, "files NAMESPACE x-files/files MY_NAME");
    }
}
