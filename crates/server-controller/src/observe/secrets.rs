//! The Secrets that a server refers to: read once for each of their versions.

use std::collections::BTreeMap;

use controller_runtime::Remembered;
pub(crate) use controller_runtime::watch::keep;
pub use controller_runtime::{HeldSecret, SecretState};
use kube::Client;

use super::{ObserveError, failed};

/// The Secrets of these names.
///
/// # Errors
/// When the API server neither shows nor refuses one.
pub(crate) async fn secrets(
    client: &Client,
    remembered: &Remembered<HeldSecret>,
    namespace: &str,
    names: &[String],
) -> Result<BTreeMap<String, SecretState>, ObserveError> {
    controller_runtime::watch::secrets(client, remembered, namespace, names)
        .await
        .map_err(|(name, error)| failed(format!("Secret {name}"))(error))
}
