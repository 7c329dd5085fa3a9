//! The StatefulSet: the pod template and the claims.

use std::collections::BTreeMap;

use api_types::labels::{self, Component};
use api_types::names::Volume as Claim;
use api_types::size::VolumeSize;
use api_types::{DittoServerSpec, annotations, names};
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{Instance, volumes_of};

/// The claim templates of a new StatefulSet. Those of a live one cannot be changed.
pub fn claim_templates(instance: &Instance<'_>) -> Vec<PersistentVolumeClaim> {
    volumes_of(instance.spec)
        .into_iter()
        .filter_map(|volume| {
            let size = size_of(instance.spec, volume)?;
            Some(PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(volume.name().to_owned()),
                    labels: Some(labels::standard(instance.name, Component::Server)),
                    ..ObjectMeta::default()
                },
                spec: Some(PersistentVolumeClaimSpec {
                    access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                    resources: Some(VolumeResourceRequirements {
                        requests: Some(BTreeMap::from([(
                            "storage".to_owned(),
                            Quantity(size.0.clone()),
                        )])),
                        limits: None,
                    }),
                    storage_class_name: instance
                        .spec
                        .storage
                        .storage_class_name
                        .as_ref()
                        .map(|name| name.0.clone()),
                    ..PersistentVolumeClaimSpec::default()
                }),
                status: None,
            })
        })
        .collect()
}

/// The size that the spec asks for, where it asks for that volume.
pub fn size_of(spec: &DittoServerSpec, volume: Claim) -> Option<&VolumeSize> {
    match volume {
        Claim::Metadata => Some(&spec.storage.metadata_size),
        Claim::Content => spec.storage.content_size.as_ref(),
        Claim::ControlPlane => Some(&spec.storage.control_plane_size),
    }
}

/// The StatefulSet around `template`, whose [`crate::rendering`] is recorded beside it, and
/// `claims`, which are a live one's own where there is one.
pub fn stateful_set(
    instance: &Instance<'_>,
    template: PodTemplateSpec,
    rendering: String,
    claims: Vec<PersistentVolumeClaim>,
) -> StatefulSet {
    let mut metadata = instance.owned(
        names::stateful_set(instance.name),
        instance.labels(Component::Server),
    );
    metadata.annotations = Some(BTreeMap::from([(
        annotations::RENDERING.to_owned(),
        rendering,
    )]));
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(instance.spec.replicas),
            service_name: Some(names::headless_service(instance.name)),
            selector: LabelSelector {
                match_labels: Some(labels::selector(instance.name)),
                ..LabelSelector::default()
            },
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some("Retain".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: None,
            }),
            template,
            volume_claim_templates: Some(claims),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn without_a_content_size_there_is_no_content_claim() {
        let server = crate::instance::tests::server(json!({"storage": {"metadataSize": "1Gi"}}));
        let names: Vec<_> = claim_templates(&Instance::of(&server).unwrap())
            .into_iter()
            .filter_map(|claim| claim.metadata.name)
            .collect();
        assert_eq!(names, ["metadata", "controlplane"]);
    }
}
