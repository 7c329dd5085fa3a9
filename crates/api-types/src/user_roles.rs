//! What people may do with the resources: parts of the roles `view`, `edit` and `admin` of every cluster, which
//! are bound in namespaces. `edit` has what `view` has, `admin` what `edit` has
//! (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles>).

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceSubresources,
};
use kube::api::ObjectMeta;

/// The roles for the resources of `crds`, each part of the cluster's role of the same name.
#[must_use]
pub fn user_roles(crds: &[CustomResourceDefinition]) -> Vec<ClusterRole> {
    let change = ["create", "update", "patch", "delete", "deletecollection"];
    [
        role(
            "view",
            crds,
            &[
                ("", &["get", "list", "watch"]),
                ("/status", &["get"]),
                ("/scale", &["get"]),
            ],
        ),
        role(
            "edit",
            crds,
            &[("", &change), ("/scale", &["update", "patch"])],
        ),
        // An owner reference that blocks the deletion of its owner needs it.
        role("admin", crds, &[("/finalizers", &["update"])]),
    ]
    .into()
}

fn role(name: &str, crds: &[CustomResourceDefinition], rights: &[(&str, &[&str])]) -> ClusterRole {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    let rules = rights.iter().flat_map(|(subresource, verbs)| {
        crds.iter()
            .filter(move |crd| has(crd, subresource))
            .map(move |crd| PolicyRule {
                api_groups: Some(vec![crd.spec.group.clone()]),
                resources: Some(vec![format!("{}{subresource}", crd.spec.names.plural)]),
                verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
                ..PolicyRule::default()
            })
    });
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(format!("dittofs-{name}")),
            labels: Some([(label, "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        rules: Some(rules.collect()),
        aggregation_rule: None,
    }
}

/// Whether a resource has this subresource; every one has finalizers.
fn has(crd: &CustomResourceDefinition, subresource: &str) -> bool {
    let served = |find: fn(&CustomResourceSubresources) -> bool| {
        crd.spec
            .versions
            .iter()
            .any(|version| version.subresources.as_ref().is_some_and(find))
    };
    match subresource {
        "/status" => served(|subresources| subresources.status.is_some()),
        "/scale" => served(|subresources| subresources.scale.is_some()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;
    use crate::{DittoFSShare, DittoServer};

    #[test]
    fn nobody_writes_status_and_only_what_scales_is_scaled() {
        let rights: Vec<(String, String)> = user_roles(&[DittoServer::crd(), DittoFSShare::crd()])
            .into_iter()
            .flat_map(|role| role.rules.unwrap_or_default())
            .flat_map(|rule| {
                let resource = rule.resources.unwrap_or_default().concat();
                rule.verbs
                    .into_iter()
                    .map(move |verb| (resource.clone(), verb))
            })
            .collect();
        let has =
            |resource: &str, verb: &str| rights.contains(&(resource.to_owned(), verb.to_owned()));
        assert!(has("dittoservers/scale", "patch") && has("dittofsshares", "delete"));
        assert!(has("dittofsshares/status", "get") && !has("dittofsshares/status", "patch"));
        assert!(
            !rights
                .iter()
                .any(|(resource, _)| resource == "dittofsshares/scale")
        );
    }
}
