//! Who may do what: every route, as everybody.

use adapter_client::Access;
use serde_json::Value;

use crate::{rig::Rig, table};

/// Ordered by what they may do.
const NAMES: [Option<&str>; 4] = [None, Some("user"), Some("operator"), Some("admin")];

fn may(access: Access, name: Option<&str>, own: bool) -> bool {
    match access {
        Access::Anonymous => true,
        Access::Account => name.is_some(),
        Access::Own => name == Some("admin") || (own && name.is_some()),
        Access::Operator => matches!(name, Some("operator" | "admin")),
        Access::Admin => name == Some("admin"),
    }
}

/// The path for objects that do not exist, or for the account itself.
fn instance(pattern: &str, own: Option<&str>) -> String {
    let parts: Vec<&str> = pattern
        .split('/')
        .map(|part| match part {
            "{user}" => own.unwrap_or("nobody"),
            "{kind}" => "local",
            "{scope}" => "user",
            "{id}" => "1",
            part if part.starts_with('{') => "zz",
            part => part,
        })
        .collect();
    parts.join("/")
}

#[tokio::test]
async fn every_route_is_open_to_those_of_the_table_and_to_nobody_else() {
    let rig = Rig::in_a_domain().await;
    let mut tokens = Vec::new();
    for name in NAMES {
        tokens.push(match name {
            Some(name) => Some(rig.token(name).await),
            None => None,
        });
    }
    let mut problems = Vec::new();
    for line in table::table() {
        let owns: &[bool] = if line.access == Some(Access::Own) {
            &[false, true]
        } else {
            &[false]
        };
        for ((name, token), own) in NAMES
            .into_iter()
            .zip(&tokens)
            .flat_map(|pair| owns.iter().map(move |own| (pair, *own)))
        {
            let path = instance(line.path, name.filter(|_| own));
            let answer = rig
                .raw(line.method, &path, token.as_deref(), &Value::Null)
                .await;
            let text = answer.kind.starts_with("text/plain");
            let refused = matches!(answer.status, 401 | 403);
            let fine = match line.access {
                // The router's own word; below a group that is guarded, only for those who may enter.
                None if refused => name != Some("admin"),
                None => answer.status == 404 && text && answer.body.trim() == "404 page not found",
                Some(access) if may(access, name, own) => {
                    // Without a call in this crate the table says what comes of it.
                    !refused && (line.call.is_some() || line.statuses == [answer.status])
                }
                Some(_) => answer.status == if name.is_none() { 401 } else { 403 },
            };
            if !fine {
                problems.push(format!("{} {path} as {name:?}: {answer:?}", line.method));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
