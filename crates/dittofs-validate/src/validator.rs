//! The steps in their order.

use std::collections::BTreeMap;

use api_types::{DittoFSShare, DittoServer};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::schema::Patterns;
use crate::{defaults, lists, prune, schema};

/// Lower-case names with dots, as <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/validation#IsDNS1123Subdomain>.
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_LENGTH: usize = 253;

/// The schemas of the CRDs that are shipped, ready for use.
#[derive(Debug)]
pub struct Validator {
    kinds: BTreeMap<(String, String), Kind>,
    name: regex::Regex,
}

struct Kind {
    schema: Value,
    /// Path of the number of replicas that `kubectl scale` sets, where there is one: `.spec.replicas`.
    scale: Option<String>,
    patterns: Patterns,
    rules: Rules,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kind").finish_non_exhaustive()
    }
}

/// A schema that this program cannot read, which no released one is.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSchema {
    /// A pattern is not a regular expression.
    #[error(transparent)]
    Pattern(#[from] regex::Error),
    /// A CEL rule cannot be parsed.
    #[error("a rule cannot be parsed: {0}")]
    Rule(String),
    /// The CRD cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Validator {
    /// Reads the schemas of this release.
    ///
    /// # Errors
    /// [`UnreadableSchema`], which no release brings about.
    pub fn new() -> Result<Self, UnreadableSchema> {
        let mut kinds = BTreeMap::new();
        for crd in [DittoServer::crd(), DittoFSShare::crd()] {
            let crd = serde_json::to_value(crd)?;
            let spec = &crd["spec"];
            let group = spec["group"].as_str().unwrap_or_default();
            let kind = spec["names"]["kind"].as_str().unwrap_or_default();
            for version in spec["versions"].as_array().into_iter().flatten() {
                let name = version["name"].as_str().unwrap_or_default();
                let key = (format!("{group}/{name}"), kind.to_owned());
                kinds.insert(key, Kind::of(version)?);
            }
        }
        Ok(Validator {
            kinds,
            name: regex::Regex::new(NAME)?,
        })
    }

    /// Whether `manifest` is of a kind that can be judged.
    #[must_use]
    pub fn knows(&self, manifest: &Value) -> bool {
        self.kind(manifest).is_some()
    }

    fn kind(&self, manifest: &Value) -> Option<&Kind> {
        let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
        self.kinds.get(&(text("apiVersion"), text("kind")))
    }

    /// What the API server would have against creating `manifest`; nothing if it would take it. Fields
    /// come in the order of their names.
    #[must_use]
    pub fn create(&self, manifest: &Value) -> Vec<Refusal> {
        self.judge(manifest, None)
    }

    /// What the API server would have against replacing `old`, which is stored, by `manifest`; nothing
    /// if it would take it.
    #[must_use]
    pub fn update(&self, old: &Value, manifest: &Value) -> Vec<Refusal> {
        self.judge(manifest, Some(old))
    }

    fn judge(&self, manifest: &Value, old: Option<&Value>) -> Vec<Refusal> {
        let Some(kind) = self.kind(manifest) else {
            let detail = format!(
                "no resource of {} of this release has this apiVersion and kind",
                api_types::v1alpha1::GROUP
            );
            return vec![Refusal::invalid("kind", &manifest["kind"], &detail)];
        };
        let mut found = Vec::new();
        prune::unknown(&kind.schema, manifest, "", &mut found);
        if found.is_empty() {
            let new = kind.stored(manifest, old);
            let old = old.map(|old| kind.stored(old, None));
            found = kind.judge(&new, old.as_ref());
            if old.is_none() {
                found.extend(self.name_of(manifest));
            }
        }
        found.sort();
        found
    }

    fn name_of(&self, manifest: &Value) -> Option<Refusal> {
        let name = manifest.pointer("/metadata/name").unwrap_or(&Value::Null);
        let Some(text) = name.as_str().filter(|text| !text.is_empty()) else {
            let why = "name or generateName is required";
            return Some(Refusal::required_because("metadata.name", why));
        };
        if text.len() > NAME_LENGTH {
            let detail = format!("must be no more than {NAME_LENGTH} bytes");
            return Some(Refusal::invalid("metadata.name", name, &detail));
        }
        (!self.name.is_match(text)).then(|| Refusal::invalid("metadata.name", name, NAME_RULE))
    }
}

impl Kind {
    fn of(version: &Value) -> Result<Self, UnreadableSchema> {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        let scale = version.pointer("/subresources/scale/specReplicasPath");
        // The API server knows these of every object, and checks them by itself.
        for key in ["apiVersion", "kind"] {
            schema["properties"][key] = json!({"type": "string"});
        }
        schema["properties"]["metadata"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        Ok(Kind {
            patterns: Patterns::of(&schema)?,
            rules: Rules::of(&schema).map_err(UnreadableSchema::Rule)?,
            scale: scale.and_then(Value::as_str).map(str::to_owned),
            schema,
        })
    }

    /// What the API server has against the number of replicas, beside the schema.
    fn scale(&self, new: &Value) -> Option<Refusal> {
        let path = self.scale.as_deref()?;
        let replicas = new.pointer(&path.replace('.', "/"))?;
        match replicas.as_i64() {
            Some(negative) if negative < 0 => {
                let detail = "should be a non-negative integer";
                Some(Refusal::invalid(path, replicas, detail))
            }
            Some(large) if large > i64::from(i32::MAX) => {
                let detail = format!("should be less than or equal to {}", i32::MAX);
                Some(Refusal::invalid(path, replicas, &detail))
            }
            _ => None,
        }
    }

    /// What the API server makes of `manifest` before it judges it: without a status of the caller's,
    /// and with defaults.
    fn stored(&self, manifest: &Value, old: Option<&Value>) -> Value {
        let mut stored = manifest.clone();
        if let Some(fields) = stored.as_object_mut() {
            fields.remove("status");
            if let Some(status) = old.and_then(|old| old.get("status")) {
                fields.insert("status".to_owned(), status.clone());
            }
        }
        defaults::apply(&self.schema, &mut stored);
        stored
    }

    fn judge(&self, new: &Value, old: Option<&Value>) -> Vec<Refusal> {
        let mut found = Vec::new();
        schema::check(&self.patterns, &self.schema, new, old, "", &mut found);
        found.extend(self.scale(new));
        let duplicates = |value: &Value| {
            let mut found = Vec::new();
            lists::duplicates(&self.schema, value, "", &mut found);
            found
        };
        if old.is_none_or(|old| duplicates(old).is_empty()) {
            found.extend(duplicates(new));
        }
        if found.iter().any(|refusal| refusal.blocks_rules) {
            found.push(Refusal::rules_not_checked());
        } else {
            self.rules.check(&self.schema, new, old, &mut found);
        }
        found
    }
}
