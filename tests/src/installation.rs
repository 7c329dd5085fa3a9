//! What `kubectl apply -k` installs: the overlays of the checkout, and others made of its components.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use crate::cluster::checkout;
use crate::kubectl::kubectl;
use crate::random;

/// The namespace of the controllers.
pub const OPERATOR: &str = controller_runtime::rbac::NAMESPACE;

/// Ending of the components that stand for others where the controllers serve single namespaces.
pub const NAMESPACED: &str = "-namespaced";

/// One right: group, resource, name (empty for all) and verb.
pub type Right = (String, String, String, String);

/// Rights by the namespace that they hold in; without one they hold everywhere.
pub type Rights = BTreeMap<Option<String>, BTreeSet<Right>>;

/// A kustomization of the tests' own; its folder goes with it.
#[derive(Debug)]
pub struct Composed(PathBuf);

impl Composed {
    /// The base with these components, serving these namespaces where the component `namespaced` is one of them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn of(components: &[&str], namespaces: &[&str]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("dittofs-overlay-{}", random::suffix()?));
        std::fs::create_dir(&folder)?;
        let composed = Composed(folder.canonicalize()?);
        let deploy = composed.path_to(&checkout().join("deploy"))?;
        let mut text = format!("resources:\n- {deploy}/base\n");
        // What a component of this ending needs in each namespace.
        let databases: String = components
            .iter()
            .filter_map(|component| component.strip_suffix(NAMESPACED))
            .map(|database| format!("- ../{deploy}/namespace/{database}\n"))
            .collect();
        for namespace in namespaces {
            let inner = composed.0.join(namespace);
            std::fs::create_dir(&inner)?;
            let kustomization =
                format!("namespace: {namespace}\nresources:\n- ../{deploy}/namespace\n{databases}");
            std::fs::write(inner.join("kustomization.yaml"), kustomization)?;
            text.push_str(&format!("- {namespace}\n"));
        }
        text.push_str("components:\n");
        for component in components {
            text.push_str(&format!("- {deploy}/components/{component}\n"));
        }
        if !namespaces.is_empty() {
            text.push_str(&format!(
                "configMapGenerator:\n- name: dittofs-operator-scope\n  namespace: {OPERATOR}\n  literals:\n  - namespaces={}\n",
                namespaces.join(",")
            ));
        }
        text.push_str(
            "images:\n- name: dittofs-operator\n  newName: localhost/dittofs-operator\n  newTag: dev\n",
        );
        std::fs::write(composed.0.join("kustomization.yaml"), text)?;
        Ok(composed)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A relative path: kustomize takes no other.
    fn path_to(&self, target: &Path) -> Result<String> {
        let ups = self.0.components().count().saturating_sub(1);
        let target = target.canonicalize()?;
        let target = target.strip_prefix("/").context("no absolute path")?;
        Ok(format!("{}{}", "../".repeat(ups), target.display()))
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The objects that a kustomization gives.
///
/// # Errors
/// When kustomize refuses it.
pub async fn build(folder: &Path) -> Result<Vec<Value>> {
    let text = kubectl(&["kustomize", &folder.to_string_lossy()], "")
        .await
        .with_context(|| format!("{} cannot be built", folder.display()))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    ensure!(!objects.is_empty(), "{} gives nothing", folder.display());
    Ok(objects)
}

/// Names of the folders in `deploy/<kind>`, sorted.
///
/// # Errors
/// When they cannot be read.
pub fn shipped(kind: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(checkout().join("deploy").join(kind))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// Name of an object.
#[must_use]
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Namespace of an object, if it has one.
#[must_use]
pub fn namespace(object: &Value) -> Option<String> {
    object["metadata"]["namespace"].as_str().map(str::to_owned)
}

/// What the bindings among `objects` grant to the ServiceAccount `account` of the operator's namespace.
///
/// # Errors
/// When a binding names a role that is not among them, or somebody else.
pub fn granted(objects: &[Value], account: &str) -> Result<Rights> {
    let mut rights = Rights::new();
    let bindings = objects.iter().filter(|object| !object["roleRef"].is_null());
    for binding in bindings {
        let subjects = binding["subjects"].as_array().context("no subjects")?;
        for subject in subjects {
            ensure!(
                subject["kind"] == "ServiceAccount" && subject["namespace"] == OPERATOR,
                "bound to a stranger: {binding}"
            );
        }
        if !subjects.iter().any(|subject| subject["name"] == account) {
            continue;
        }
        let place = namespace(binding);
        let reference = &binding["roleRef"];
        let role = objects
            .iter()
            .find(|role| {
                role["kind"] == reference["kind"]
                    && role["metadata"]["name"] == reference["name"]
                    && (role["kind"] == "ClusterRole" || namespace(role) == place)
            })
            .with_context(|| format!("no such role: {binding}"))?;
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone())?;
        rights.entry(place).or_default().extend(rights_of(&rules));
    }
    Ok(rights)
}

/// Rules taken apart.
#[must_use]
pub fn rights_of(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        let names = rule.resource_names.clone().unwrap_or_default();
        let names = if names.is_empty() {
            vec![String::new()]
        } else {
            names
        };
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for name in &names {
                    for verb in &rule.verbs {
                        let right = (group, resource, name, verb);
                        let (group, resource, name, verb) = right;
                        rights.insert((
                            group.clone(),
                            resource.clone(),
                            name.clone(),
                            verb.clone(),
                        ));
                    }
                }
            }
        }
    }
    rights
}
