//! The ConfigMap with the server's configuration file.

use std::collections::BTreeMap;

use api_types::labels::Component;
use api_types::{annotations, names};
use configgen::paths;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::{Instance, rendering};

/// The ConfigMap that holds `text` as the server's configuration file, written for the restart
/// `digest`.
pub fn config_map(instance: &Instance<'_>, text: String, digest: &str) -> ConfigMap {
    let mut metadata = instance.owned(
        names::config(instance.name),
        instance.labels(Component::Server),
    );
    metadata.annotations = Some(BTreeMap::from([
        (annotations::RESTART_DIGEST.to_owned(), digest.to_owned()),
        (
            annotations::RENDERING.to_owned(),
            rendering(&text.as_str().into()),
        ),
    ]));
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(paths::CONFIG_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
