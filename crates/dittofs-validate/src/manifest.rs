//! Manifests in YAML or JSON, several to a file.

use serde_json::Value;

/// One manifest of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Kind and name, as people write them: `DittoServer files`.
    pub called: String,
    /// What it says.
    pub manifest: Value,
}

/// The text is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("not YAML: {0}")]
pub struct ManifestError(String);

/// The manifests in `text`; those in a `List` one by one, empty ones left out.
///
/// # Errors
/// When it is not YAML.
pub fn documents(text: &str) -> Result<Vec<Document>, ManifestError> {
    let found: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| ManifestError(error.to_string()))?;
    Ok(found
        .into_iter()
        .flat_map(|manifest| match manifest.get("items") {
            Some(Value::Array(items)) if manifest["kind"] == "List" => items.clone(),
            _ => vec![manifest],
        })
        .filter(|manifest| !manifest.is_null())
        .map(|manifest| Document {
            called: format!(
                "{} {}",
                manifest["kind"].as_str().unwrap_or("(no kind)"),
                manifest["metadata"]["name"].as_str().unwrap_or("(no name)")
            ),
            manifest,
        })
        .collect())
}
