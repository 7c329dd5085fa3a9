//! What this process may do where its role may grant less than the whole: asked once, at the start.

use controller_runtime::{Context, Readable, Scope};
use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// Whether all of `wanted` is granted.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn granted(
    client: &Client,
    wanted: impl IntoIterator<Item = ResourceAttributes>,
) -> Result<bool, kube::Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answers = wanted.into_iter().map(|attributes| {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api = api.clone();
        async move {
            let answer = api.create(&PostParams::default(), &review).await?;
            Ok::<_, kube::Error>(answer.status.is_some_and(|status| status.allowed))
        }
    });
    Ok(try_join_all(answers)
        .await?
        .into_iter()
        .all(|granted| granted))
}

/// Whether this process may follow the CRD called `crd`, and read and write its objects everywhere
/// in its scope. What lacks is said once in the log.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn may_manage<K: Readable>(
    context: &Context,
    crd: &str,
) -> Result<bool, kube::Error> {
    let definition = ["list", "watch"].map(|verb| ResourceAttributes {
        group: Some("apiextensions.k8s.io".to_owned()),
        resource: Some("customresourcedefinitions".to_owned()),
        name: Some(crd.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    });
    let namespaces: Vec<Option<String>> = match &context.scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.iter().cloned().map(Some).collect(),
    };
    let objects = namespaces.into_iter().flat_map(|namespace| {
        ["get", "list", "watch", "create", "patch", "delete"].map(|verb| ResourceAttributes {
            group: Some(K::group(&()).into_owned()),
            resource: Some(K::plural(&()).into_owned()),
            namespace: namespace.clone(),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        })
    });
    if !granted(&context.client, definition).await? {
        tracing::info!(
            crd,
            "CustomResourceDefinitions may not be watched, so no objects of this one are made: grant list and watch of this CRD, and restart"
        );
        return Ok(false);
    }
    if !granted(&context.client, objects).await? {
        tracing::info!(
            crd,
            "its objects may not be managed, so none are made: grant get, list, watch, create, patch and delete of them, and restart"
        );
        return Ok(false);
    }
    Ok(true)
}
