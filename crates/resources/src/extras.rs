//! What `spec.pod` adds to the pod.
//!
//! Values that Kubernetes keeps as a whole come back from the API server with its defaults in
//! them. Those defaults are written here, so that a live pod template still reads as ours.

use api_types::v1alpha1::ExtraVolume;
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, EnvVar, ObjectFieldSelector, ResourceFieldSelector, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A variable as the API server stores it.
pub(crate) fn variable(mut variable: EnvVar) -> EnvVar {
    if let Some(source) = &mut variable.value_from {
        field(source.field_ref.as_mut());
        amount(source.resource_field_ref.as_mut());
    }
    variable
}

/// A volume as the API server stores it.
pub(crate) fn volume(extra: &ExtraVolume) -> Volume {
    let ExtraVolume {
        name,
        config_map,
        csi,
        downward_api,
        empty_dir,
        ephemeral,
        host_path,
        image,
        nfs,
        persistent_volume_claim,
        projected,
        secret,
    } = extra.clone();
    let mut volume = Volume {
        name,
        config_map,
        csi,
        downward_api,
        empty_dir,
        ephemeral,
        host_path,
        image,
        nfs,
        persistent_volume_claim,
        projected,
        secret,
        ..Volume::default()
    };
    if let Some(files) = volume
        .downward_api
        .as_mut()
        .and_then(|source| source.items.as_mut())
    {
        files.iter_mut().for_each(file);
    }
    for source in volume
        .projected
        .iter_mut()
        .flat_map(|projected| projected.sources.iter_mut().flatten())
    {
        if let Some(token) = &mut source.service_account_token {
            token.expiration_seconds.get_or_insert(3600);
        }
        if let Some(files) = source
            .downward_api
            .as_mut()
            .and_then(|source| source.items.as_mut())
        {
            files.iter_mut().for_each(file);
        }
    }
    volume
}

fn file(file: &mut DownwardAPIVolumeFile) {
    field(file.field_ref.as_mut());
    amount(file.resource_field_ref.as_mut());
}

fn field(selector: Option<&mut ObjectFieldSelector>) {
    if let Some(selector) = selector {
        selector.api_version.get_or_insert_with(|| "v1".to_owned());
    }
}

fn amount(selector: Option<&mut ResourceFieldSelector>) {
    if let Some(selector) = selector {
        selector
            .divisor
            .get_or_insert_with(|| Quantity("0".to_owned()));
    }
}
