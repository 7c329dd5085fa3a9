//! The table of rights in `docs/security.md`.

use anyhow::Context;
use k8s_openapi::api::rbac::v1::PolicyRule;

/// `page` with the table `name` between its two marks made anew: these rules, each with the place where it holds.
///
/// # Errors
/// When the marks are not there.
pub(super) fn put(page: &str, name: &str, rows: &[(&PolicyRule, &str)]) -> anyhow::Result<String> {
    let begin = format!("<!-- rights: {name} -->\n");
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once("<!-- end -->")?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("no marks for {name}"))?;
    let table = table(rows);
    Ok(format!("{before}{begin}{table}<!-- end -->{after}"))
}

fn table(rows: &[(&PolicyRule, &str)]) -> String {
    let mut text = "\n| API group | resource | verbs | where |\n|---|---|---|---|\n".to_owned();
    for (rule, place) in rows {
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
        let secrets = rule("", &["secrets"], READ);
        let rows = [(&secrets, "here"), (&named, "there")];
        let made = put(page, "x", &rows).unwrap();
        assert_eq!(
            made,
            "a\n<!-- rights: x -->\n\n| API group | resource | verbs | where |\n|---|---|---|---|\n\
             | core | `secrets` | get, list, watch | here |\n\
             | `g.example` | `things`, only `one` | list | there |\n\
             \n<!-- end -->\nb\n<!-- rights: y -->\n<!-- end -->\n"
        );
        assert_eq!(put(&made, "x", &rows).unwrap(), made);
        assert!(put(page, "z", &rows).is_err());
    }
}
