//! The API reference as Markdown, made from the schema of the CRD.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Core types whose fields are documented by Kubernetes and not repeated.
const EXTERNAL: [&str; 12] = [
    ".spec.networkPolicy.apiFrom",
    ".spec.networkPolicy.metricsFrom",
    ".spec.pod.affinity",
    ".spec.pod.dnsConfig",
    ".spec.pod.env",
    ".spec.pod.hostAliases",
    ".spec.pod.tolerations",
    ".spec.pod.topologySpreadConstraints",
    ".spec.pod.volumeMounts",
    ".spec.podSecurityContext",
    ".spec.resources",
    ".spec.securityContext",
];

/// A list whose items are a name and the sources of a core volume.
const VOLUMES: &str = ".spec.pod.volumes[].";

fn external(path: &str) -> bool {
    EXTERNAL.contains(&path)
        || path
            .strip_prefix(VOLUMES)
            .is_some_and(|field| field != "name")
}

/// A Markdown page with one row for each field of `crd`.
pub fn reference(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let mut page = format!(
        "# {} ({})\n\nGenerated from the schema by `cargo run -p api-types --bin generate`; do not edit.\n",
        names.kind, crd.spec.group
    );
    for version in &crd.spec.versions {
        page.push_str(&format!("\n## {}\n", version.name));
        let Some(schema) = version
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        for part in ["spec", "status"] {
            let Some(root) = schema.properties.as_ref().and_then(|p| p.get(part)) else {
                continue;
            };
            page.push_str(&format!(
                "\n### {part}\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
            ));
            rows(&format!(".{part}"), root, &mut page);
        }
    }
    page
}

fn rows(path: &str, schema: &JSONSchemaProps, page: &mut String) {
    let Some(properties) = &schema.properties else {
        return;
    };
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        let mark = if required.contains(name) {
            " (required)"
        } else {
            ""
        };
        let rules: String = property
            .x_kubernetes_validations
            .iter()
            .flatten()
            .filter_map(|rule| rule.message.as_deref())
            .map(|message| format!(" *Rule: {message}.*"))
            .collect();
        let external = external(&path);
        let origin = if external {
            " As in the Kubernetes core API."
        } else {
            ""
        };
        page.push_str(&format!(
            "| `{path}`{mark} | {} | {} | {}{rules}{origin} |\n",
            type_of(property),
            property
                .default
                .as_ref()
                .map(|v| format!("`{}`", v.0))
                .unwrap_or_default(),
            cell(property.description.as_deref().unwrap_or_default()),
        ));
        if external {
            continue;
        }
        rows(&path, property, page);
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &property.items {
            rows(&format!("{path}[]"), item, page);
        }
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let Some(values) = &schema.enum_ {
        let values: Vec<String> = values
            .iter()
            .filter_map(|value| value.0.as_str())
            .map(|value| format!("`{value}`"))
            .collect();
        return values.join(", ");
    }
    let kind = schema.type_.clone().unwrap_or_else(|| "any".to_owned());
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => format!("list of {}", type_of(item)),
        _ => kind,
    }
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
