//! The table of rights in `docs/security.md`.

use anyhow::Context;
use k8s_openapi::api::rbac::v1::PolicyRule;

/// `page` with the table of `controller` between its two marks made anew.
///
/// # Errors
/// When the marks are not there.
pub(super) fn put(
    page: &str,
    controller: &str,
    cluster: &[PolicyRule],
    lease: &[PolicyRule],
) -> anyhow::Result<String> {
    let begin = format!("<!-- rights: {controller} -->\n");
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once("<!-- end -->")?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("no marks for {controller}"))?;
    let table = table(cluster, lease);
    Ok(format!("{before}{begin}{table}<!-- end -->{after}"))
}

fn table(cluster: &[PolicyRule], lease: &[PolicyRule]) -> String {
    let mut text = "\n| API group | resource | verbs | where |\n|---|---|---|---|\n".to_owned();
    let places = [
        (cluster, "where it serves"),
        (lease, "its own namespace, for its lease"),
    ];
    for (rules, place) in places {
        for rule in rules {
            let group = rule.api_groups.iter().flatten().map(|group| match group {
                group if group.is_empty() => "core".to_owned(),
                group => format!("`{group}`"),
            });
            let named = match rule.resource_names.as_deref() {
                None | Some([]) => String::new(),
                Some(names) => format!(", only {}", code(names)),
            };
            text.push_str(&format!(
                "| {} | {}{named} | {} | {place} |\n",
                group.collect::<Vec<_>>().join(", "),
                code(rule.resources.as_deref().unwrap_or_default()),
                rule.verbs.join(", "),
            ));
        }
    }
    text.push('\n');
    text
}

fn code(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{READ, rule};
    use super::*;

    #[test]
    fn a_table_replaces_what_was_between_its_marks() {
        let page =
            "a\n<!-- rights: x -->\nold\n<!-- end -->\nb\n<!-- rights: y -->\n<!-- end -->\n";
        let named = PolicyRule {
            resource_names: Some(vec!["one".to_owned()]),
            ..rule("g.example", &["things"], &["list"])
        };
        let rules = [rule("", &["secrets"], READ), named];
        let made = put(page, "x", &rules, &[]).unwrap();
        assert_eq!(
            made,
            "a\n<!-- rights: x -->\n\n| API group | resource | verbs | where |\n|---|---|---|---|\n\
             | core | `secrets` | get, list, watch | where it serves |\n\
             | `g.example` | `things`, only `one` | list | where it serves |\n\
             \n<!-- end -->\nb\n<!-- rights: y -->\n<!-- end -->\n"
        );
        assert_eq!(put(&made, "x", &rules, &[]).unwrap(), made);
        assert!(put(page, "z", &rules, &[]).is_err());
    }
}
