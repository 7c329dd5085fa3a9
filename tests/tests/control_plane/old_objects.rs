//! A rule that a later release adds must not lock anybody out of an object that breaks it: status,
//! annotations, finalizers and deletion go on.

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::yaml_of;
use cluster_tests::world::{merge, none_failed, somebody};
use cluster_tests::{Outcome, Pods, World, random, scenario, until};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use cluster_tests::manifests::violations::{self, Violation};

fn without_rules(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(without_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

/// The CRD under a group of the test's own, without its rules and with them.
struct Schema {
    resource: ApiResource,
    name: String,
    without: Value,
    with: Value,
}

impl Schema {
    fn new() -> Result<Self> {
        let group = format!("t{}.dittofs.test", random::suffix()?);
        let mut with = yaml_of("deploy/crds/dittoservers.yaml")?
            .into_iter()
            .next()
            .context("no document")?;
        let name = format!("dittoservers.{group}");
        with["metadata"]["name"] = name.clone().into();
        with["spec"]["group"] = group.clone().into();
        let mut without = with.clone();
        without_rules(&mut without);
        let kind = GroupVersionKind::gvk(&group, "v1alpha1", "DittoServer");
        Ok(Schema {
            resource: ApiResource::from_gvk_with_plural(&kind, "dittoservers"),
            name,
            without,
            with,
        })
    }

    fn object(&self, world: &World, name: &str, spec: &Value) -> Result<DynamicObject> {
        let mut manifest = world.manifest_of(name, spec.clone());
        manifest["apiVersion"] = self.resource.api_version.clone().into();
        Ok(serde_json::from_value(manifest)?)
    }
}

/// A rule of the schema: the fields that lead to it, what it says, and whether it is about changes.
struct SchemaRule {
    path: Vec<String>,
    message: String,
    about_changes: bool,
}

/// Every rule about the spec. Those about the status are the operator's own affair.
fn rules(schema: &Value, path: &[String], found: &mut Vec<SchemaRule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        let expression = text("rule");
        found.push(SchemaRule {
            path: path.to_vec(),
            message: text("message"),
            // One that asks for an older value only to hold at creation can be broken by an object.
            about_changes: expression.contains("oldSelf.")
                && !expression.contains("oldSelf.hasValue()"),
        });
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        if !(path.is_empty() && name == "status") {
            rules(below, &[path, std::slice::from_ref(name)].concat(), found);
        }
    }
    for below in [&schema["items"], &schema["additionalProperties"]] {
        if below.is_object() {
            rules(below, path, found);
        }
    }
}

/// Changes that rules about changes refuse: the spec before, and the patch.
fn changes() -> Vec<(Value, Value, &'static str)> {
    let volumes = json!({"storageClassName": "expandable", "metadataSize": "1Gi", "contentSize": "1Gi", "controlPlaneSize": "1Gi"});
    let storage = violations::changes().into_iter().map(|(change, message)| {
        (
            json!({"storage": volumes}),
            json!({"storage": change}),
            message,
        )
    });
    let services = ["service", "adapterServices"]
        .into_iter()
        .flat_map(|field| {
            [
                (
                    json!({ field: {"type": "LoadBalancer"} }),
                    json!({ field: {"loadBalancerClass": "example.org/internal"} }),
                    "loadBalancerClass cannot be set, changed or removed",
                ),
                (
                    json!({ field: {"ipFamilies": ["IPv4"]} }),
                    json!({ field: {"ipFamilies": ["IPv6"]} }),
                    "the first of ipFamilies cannot be changed",
                ),
            ]
        });
    let different = |more: Value| {
        let mut one = json!({"adapter": "nfs"});
        merge(&mut one, more);
        json!({"adapterServices": {"overrides": [one]}})
    };
    let overrides = [
        (
            different(json!({"type": "LoadBalancer"})),
            different(json!({"type": "LoadBalancer", "loadBalancerClass": "example.org/internal"})),
            "loadBalancerClass cannot be set, changed or removed",
        ),
        (
            different(json!({"ipFamilies": ["IPv4"]})),
            different(json!({"ipFamilies": ["IPv6"]})),
            "the first of ipFamilies cannot be changed",
        ),
    ];
    // A patch takes nothing away, and so breaks no rule where something goes.
    let databases = violations::changed_databases()
        .into_iter()
        .filter(|(_, after, _)| *after != json!({}))
        .filter_map(|(before, after, message)| Some((before, after, message?)));
    let all = storage.chain(services).chain(overrides);
    all.chain(databases).collect()
}

/// A rule that a later release adds fails here until somebody writes down what breaks it.
#[test]
fn every_rule_has_an_old_object_that_breaks_it() -> Outcome {
    let document = yaml_of("deploy/crds/dittoservers.yaml")?;
    let schema = &document[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    rules(schema, &[], &mut found);
    let objects = violations::all();
    let changes = changes();
    let reaches = |spec: &Value, rule: &SchemaRule| {
        let pointer: String = rule
            .path
            .iter()
            .skip(1)
            .map(|name| format!("/{name}"))
            .collect();
        rule.path.is_empty() || spec.pointer(&pointer).is_some()
    };
    let untried: Vec<String> = found
        .iter()
        .filter(|rule| {
            let by_object = objects
                .iter()
                .any(|case| rule.message.contains(case.message) && reaches(&case.spec, rule));
            let by_change = changes.iter().any(|(_, change, message)| {
                rule.message.contains(message) && reaches(change, rule)
            });
            !(if rule.about_changes {
                by_change
            } else {
                by_object
            })
        })
        .map(|rule| format!("{}: {}", rule.path.join("."), rule.message))
        .collect();
    if found.len() < 60 {
        return Ok(Err(anyhow::anyhow!(
            "only {} rules were found",
            found.len()
        ))?);
    }
    Ok(none_failed(&untried)?)
}

async fn stored_under_older_schema(
    world: &World,
    schema: &Schema,
    cases: &[Violation],
) -> Result<Vec<String>> {
    let api = world.objects(&schema.resource);
    let mut names = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = case.name.clone().unwrap_or_else(|| format!("v{number}"));
        let mut object = schema.object(world, &name, &case.spec)?;
        object.metadata.finalizers = Some(vec!["dittofs.dittofs.com/finalizer".to_owned()]);
        // The API server may serve a new CRD a moment later than it says.
        until("an object is taken", async || {
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => Ok(Ok(())),
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    Ok(Err(status.message.clone()))
                }
                Err(error) => {
                    Err(anyhow::Error::from(error).context(format!("{name} {}", case.spec)))
                }
            }
        })
        .await?;
        names.push(name);
    }
    Ok(names)
}

/// What must go on working for an object that breaks a rule.
async fn goes_on(api: &Api<DynamicObject>, schema: &Schema, name: &str) -> Result<()> {
    let status = json!({"apiVersion": schema.resource.api_version, "kind": "DittoServer", "metadata": {"name": name}, "status": {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "False", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    let parameters = PatchParams::apply("controller").force();
    api.patch_status(name, &parameters, &Patch::Apply(status))
        .await
        .context("status")?;
    let annotation = json!({"metadata": {"annotations": {"a": "b"}}});
    api.patch(name, &somebody(), &Patch::Merge(annotation))
        .await
        .context("annotation")?;
    // Both in one go and by themselves: deletion waits for the finalizer.
    api.delete(name, &DeleteParams::default())
        .await
        .context("deletion")?;
    let finalizers = json!({"metadata": {"finalizers": []}});
    api.patch(name, &somebody(), &Patch::Merge(finalizers))
        .await
        .context("finalizer")?;
    ensure!(api.get_opt(name).await?.is_none(), "it is still there");
    Ok(())
}

async fn old_objects_go_on(world: &World, schema: &Schema) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    let apply = PatchParams::apply("cluster-tests").force();
    crds.patch(&schema.name, &apply, &Patch::Apply(&schema.without))
        .await?;
    world.cluster.established(&schema.name).await?;
    let cases = violations::all();
    let mut names = stored_under_older_schema(world, schema, &cases).await?;
    let changes = changes();
    let api = world.objects(&schema.resource);
    for (number, (spec, change, _)) in changes.iter().enumerate() {
        let name = format!("c{number}");
        let mut object = schema.object(world, &name, spec)?;
        object.metadata.finalizers = Some(vec!["dittofs.dittofs.com/finalizer".to_owned()]);
        api.create(&PostParams::default(), &object).await?;
        let patch = Patch::Merge(json!({ "spec": change }));
        api.patch(&name, &somebody(), &patch).await?;
        names.push(name);
    }

    crds.patch(&schema.name, &apply, &Patch::Apply(&schema.with))
        .await?;
    let probe = schema.object(world, "probe", &json!({"replicas": 2}))?;
    until("the rules are in force", async || {
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        Ok(match api.create(&parameters, &probe).await {
            Err(kube::Error::Api(status)) if status.message.contains("clustering") => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    let mut failures = Vec::new();
    let specs = cases.iter().map(|case| &case.spec);
    let specs = specs.chain(changes.iter().map(|(_, change, _)| change));
    for (name, spec) in names.iter().zip(specs) {
        if let Err(error) = goes_on(&api, schema, name).await {
            failures.push(format!("{name} {spec}: {error:#}"));
        }
    }
    none_failed(&failures)
}

/// Removes the CRD, and what a failed test left in it: under the schema without rules, so that it
/// can be.
async fn removed(world: &World, schema: &Schema) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    let apply = PatchParams::apply("cluster-tests").force();
    crds.patch(&schema.name, &apply, &Patch::Apply(&schema.without))
        .await?;
    let api = world.objects(&schema.resource);
    let none = json!({"metadata": {"finalizers": []}});
    until("every object is free to go", async || {
        let mut held = Vec::new();
        for object in api.list(&ListParams::default()).await? {
            let name = object.name_any();
            if !object.finalizers().is_empty()
                && let Err(error) = api.patch(&name, &somebody(), &Patch::Merge(&none)).await
            {
                held.push(format!("{name}: {error}"));
            }
        }
        Ok(if held.is_empty() {
            Ok(())
        } else {
            Err(held.join(", "))
        })
    })
    .await?;
    crds.delete(&schema.name, &DeleteParams::background())
        .await?;
    Ok(())
}

#[test]
fn an_object_that_breaks_a_newer_rule_is_no_dead_end() -> Outcome {
    scenario("old", Pods::None, async |world| {
        let schema = Schema::new()?;
        let outcome = old_objects_go_on(world, &schema).await;
        removed(world, &schema).await?;
        outcome
    })
}
