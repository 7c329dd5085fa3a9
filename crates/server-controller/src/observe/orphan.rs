//! What a pod runs whose StatefulSet is gone: the revision that the StatefulSet left behind.

use api_types::annotations::RESTART_DIGEST;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::{Api, Client, ResourceExt};
use resources::Instance;

use super::{ObserveError, failed};
use crate::plan::is_orphan;
use crate::status::rollout::REVISION;

/// The template of which `pod` was made, if no StatefulSet is there to tell it: `None` where there
/// is one, where the pod is not an orphan of ours, or where its revision is gone.
///
/// The StatefulSet controller keeps each template, with the defaults of the API server and what
/// others set in it, in a ControllerRevision whose name the pod carries as a label; it outlives a
/// StatefulSet that is deleted without its dependents
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#revision-history>).
pub(super) async fn template(
    client: &Client,
    instance: &Instance<'_>,
    set: Option<&StatefulSet>,
    pod: Option<&Pod>,
) -> Result<Option<PodTemplateSpec>, ObserveError> {
    let Some(pod) = pod.filter(|pod| {
        set.is_none() && pod.metadata.deletion_timestamp.is_none() && is_orphan(pod, instance)
    }) else {
        return Ok(None);
    };
    let Some(name) = pod.labels().get(REVISION) else {
        return Ok(None);
    };
    let revisions: Api<ControllerRevision> = Api::namespaced(client.clone(), instance.namespace);
    let revision = revisions
        .get_opt(name)
        .await
        .map_err(failed("the revision of the pod"))?;
    Ok(revision.and_then(|revision| of(revision, pod)))
}

/// The template in `revision`, if `pod` is made of it.
fn of(revision: ControllerRevision, pod: &Pod) -> Option<PodTemplateSpec> {
    let mut data = revision.data?.0;
    let template: PodTemplateSpec = serde_json::from_value(data["spec"]["template"].take()).ok()?;
    let digest = template
        .metadata
        .as_ref()?
        .annotations
        .as_ref()?
        .get(RESTART_DIGEST);
    (digest.is_some() && digest == pod.annotations().get(RESTART_DIGEST)).then_some(template)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(digest: &str) -> ControllerRevision {
        serde_json::from_value(json!({
            "metadata": {"name": "files-1"}, "revision": 1,
            "data": {"spec": {"template": {
                "$patch": "replace",
                "metadata": {"creationTimestamp": null, "annotations": {RESTART_DIGEST: digest}},
                "spec": {"containers": [{"name": "dittofs"}], "dnsPolicy": "ClusterFirst"},
            }}},
        }))
        .unwrap()
    }

    #[test]
    fn the_template_is_that_of_the_pods_revision_and_of_no_other() {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "files-0", "annotations": {RESTART_DIGEST: "one"}}}),
        )
        .unwrap();
        let template = of(revision("one"), &pod).unwrap();
        assert_eq!(
            template.spec.unwrap().dns_policy.as_deref(),
            Some("ClusterFirst")
        );
        assert_eq!(of(revision("two"), &pod), None);
        assert_eq!(of(revision("one"), &Pod::default()), None);
    }
}
