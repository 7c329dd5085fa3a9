//! The pages of the documentation: what they link to is there.

use std::collections::BTreeSet;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::checkout;

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
}
