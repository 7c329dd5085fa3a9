//! What the controllers of a whole run asked the API server for, beside what their roles grant.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use crate::audit::{Audit, Mark};

/// The controllers, as their ServiceAccounts are called; an installation puts `dittofs-` before it.
pub const CONTROLLERS: [&str; 3] = [
    "server-controller",
    "adapter-controller",
    "share-controller",
];

/// One right: API group, resource with its subresource, verb.
pub type Right = (String, String, String);

/// What one controller asked for, in all its processes of the run.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Requests that the API server granted, and how many; whether they succeeded is another question.
    pub used: BTreeMap<Right, usize>,
    /// Requests that no role granted, in words.
    pub denied: BTreeSet<String>,
    /// Lists of Secrets that were answered with more than their metadata, in words.
    pub whole_secrets: BTreeSet<String>,
    /// Lists of Secrets that were answered with their metadata alone.
    pub metadata_lists: usize,
}

/// What each of [`CONTROLLERS`] asked for since `mark`, as a ServiceAccount of its name in any namespace.
///
/// # Errors
/// When the audit log cannot be read.
pub fn since(audit: &Audit, mark: Mark) -> Result<BTreeMap<&'static str, Asked>> {
    let mut all: BTreeMap<&'static str, Asked> = BTreeMap::new();
    audit.each_line(mark, |line| {
        // Most lines are the tests' own: they are not worth parsing.
        if !line.contains("-controller\"") {
            return;
        }
        // A last line may be half written.
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return;
        };
        if let Some(controller) = controller(&line) {
            take(all.entry(controller).or_default(), &line);
        }
    })?;
    Ok(all)
}

fn text<'a>(line: &'a Value, pointer: &str) -> &'a str {
    line.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whose request it is, if it is one of a controller.
fn controller(line: &Value) -> Option<&'static str> {
    let user = text(line, "/user/username").strip_prefix("system:serviceaccount:")?;
    let (_namespace, name) = user.split_once(':')?;
    let name = name.strip_prefix("dittofs-").unwrap_or(name);
    CONTROLLERS.into_iter().find(|known| *known == name)
}

fn take(asked: &mut Asked, line: &Value) {
    let mut resource = text(line, "/objectRef/resource").to_owned();
    let subresource = text(line, "/objectRef/subresource");
    if !subresource.is_empty() {
        resource = format!("{resource}/{subresource}");
    }
    let group = text(line, "/objectRef/apiGroup").to_owned();
    let verb = text(line, "/verb").to_owned();
    let words = format!(
        "{verb} {resource} {} in {} as {}",
        text(line, "/objectRef/name"),
        text(line, "/objectRef/namespace"),
        text(line, "/user/username"),
    );
    // Of the answers 403 only these are about rights: a quota, an admission policy and a namespace that goes say it too.
    if text(line, "/annotations/authorization.k8s.io~1decision") == "forbid" {
        asked.denied.insert(words);
        return;
    }
    let code = line.pointer("/responseStatus/code").and_then(Value::as_u64);
    if verb == "list" && resource == "secrets" && code == Some(200) {
        match text(line, "/responseObject/kind") {
            "PartialObjectMetadataList" => asked.metadata_lists += 1,
            kind => {
                asked
                    .whole_secrets
                    .insert(format!("{words}: answered with {kind:?}"));
            }
        }
    }
    // A server-side apply of what does not exist needs the right to create it.
    if verb == "patch" && code == Some(201) {
        let create = (group.clone(), resource.clone(), "create".to_owned());
        *asked.used.entry(create).or_default() += 1;
    }
    *asked.used.entry((group, resource, verb)).or_default() += 1;
}

/// The rights that `rules` grant; the names of objects in them are left out.
#[must_use]
pub fn rights_of<'a>(rules: impl IntoIterator<Item = &'a PolicyRule>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let of = |verb: &String| (group.clone(), resource.clone(), verb.clone());
                rights.extend(rule.verbs.iter().map(of));
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(user: &str, verb: &str, resource: &str, code: u64, more: Value) -> Value {
        let mut line = json!({
            "user": {"username": format!("system:serviceaccount:{user}")}, "verb": verb,
            "objectRef": {"resource": resource, "namespace": "ns", "name": "a", "apiGroup": "g"},
            "responseStatus": {"code": code},
            "annotations": {"authorization.k8s.io/decision": "allow"},
        });
        crate::world::merge(&mut line, more);
        line
    }

    #[test]
    fn accounts_of_tests_and_of_an_installation_are_known_and_no_others() {
        for (user, known) in [
            ("t-x-1:server-controller", Some("server-controller")),
            (
                "dittofs-system:dittofs-share-controller",
                Some("share-controller"),
            ),
            ("t-x-1:default", None),
            ("kube-system:deployment-controller", None),
        ] {
            let line = line(user, "get", "pods", 200, json!({}));
            assert_eq!(controller(&line), known, "{user}");
        }
    }

    #[test]
    fn only_what_no_role_grants_is_denied() {
        let mut asked = Asked::default();
        let quota = line("a:b", "create", "pods", 403, json!({}));
        take(&mut asked, &quota);
        assert!(asked.denied.is_empty());
        let more = json!({"annotations": {"authorization.k8s.io/decision": "forbid"}});
        take(&mut asked, &line("a:b", "delete", "pods", 403, more));
        assert_eq!(asked.denied.len(), 1);
        assert_eq!(asked.used.len(), 1, "{:?}", asked.used);
    }

    #[test]
    fn an_apply_that_makes_something_uses_the_right_to_create() {
        let mut asked = Asked::default();
        take(&mut asked, &line("a:b", "patch", "pods", 200, json!({})));
        assert_eq!(asked.used.len(), 1);
        take(&mut asked, &line("a:b", "patch", "pods", 201, json!({})));
        let create = ("g".to_owned(), "pods".to_owned(), "create".to_owned());
        assert!(asked.used.contains_key(&create));
    }

    #[test]
    fn a_list_of_whole_secrets_is_found() {
        let mut asked = Asked::default();
        let list = |kind: &str| {
            let more = json!({"responseObject": {"kind": kind}});
            line("a:b", "list", "secrets", 200, more)
        };
        take(&mut asked, &list("PartialObjectMetadataList"));
        assert!(asked.whole_secrets.is_empty() && asked.metadata_lists == 1);
        take(&mut asked, &list("SecretList"));
        take(&mut asked, &line("a:b", "list", "secrets", 200, json!({})));
        assert_eq!(asked.whole_secrets.len(), 2);
    }
}
