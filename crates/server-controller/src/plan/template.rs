//! The pod template and the configuration file, and when a live one stays although we would
//! write it differently today.
//!
//! A restart costs clients their sessions. So the live rendering stays
//! - while an input is missing: nothing is known that would justify a restart;
//! - while the restart digest is the same and the live rendering is one that we wrote: a new
//!   release of the operator waits for the next real restart.
//!
//! A pod whose StatefulSet is gone tells by its revision what the live rendering was.

use api_types::annotations::{RENDERING, RESTART_DIGEST};
use api_types::names::Volume;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use kube::ResourceExt;
use resources::{Instance, rendering};
use serde_json::Value;

use super::{PlanError, owned_part, usable};
use crate::observe::Observed;
use crate::validate::Validated;

/// A pod template and the digest of its rendering.
pub(super) struct Template {
    pub(super) pod: PodTemplateSpec,
    pub(super) rendering: String,
}

/// What the pod is made of.
pub(super) struct Rendered {
    /// `None`: stays as it is.
    pub(super) config: Option<ConfigMap>,
    /// `None`: there is no StatefulSet yet, and there shall be none.
    pub(super) template: Option<Template>,
    /// What a pod without a StatefulSet runs, where nothing asks for a restart.
    pub(super) as_it_runs: Option<Template>,
    pub(super) held_back: bool,
}

pub(super) fn render(
    observed: &Observed,
    validated: &Validated<'_>,
) -> Result<Rendered, PlanError> {
    let instance = &validated.instance;
    let live = Live::of(observed, instance)?;
    // A pod never starts with somebody else's configuration.
    let foreign_config = validated
        .conflicts
        .iter()
        .any(|conflict| conflict.kind == "ConfigMap");
    let digest = validated.digest.as_deref().filter(|_| !foreign_config);
    let connection = validated.database.connection.as_ref();
    let wiring = connection.map(|connection| connection.wiring.clone());
    let (Some(source), Some(digest)) = (usable(validated), digest) else {
        // Without its inputs a pod that lost its StatefulSet gets one for what it runs.
        let template = match live {
            Some(live) => Some(live.template),
            None => orphaned(observed)?,
        };
        return Ok(Rendered {
            config: None,
            template,
            as_it_runs: None,
            held_back: false,
        });
    };
    let wiring = wiring.unwrap_or_default();
    let pod = resources::pod_template(instance, &wiring, &claims(observed, instance), digest);
    let config = |text| resources::config_map(instance, text, digest);
    let text = configgen::config_file(instance.spec, source)?;
    let rendering = rendering(&serde_json::to_value(&pod)?);
    if let Some(live) = live
        && live.digest.as_deref() == Some(digest)
        && live.intact
        && !stopped(observed)
    {
        let kept = live_text(observed, digest)?;
        let held_back =
            live.template.rendering != rendering || kept.as_ref().is_some_and(|kept| *kept != text);
        return Ok(Rendered {
            config: Some(config(kept.unwrap_or(text))),
            template: Some(live.template),
            as_it_runs: None,
            held_back,
        });
    }
    let as_it_runs = orphaned(observed)?
        .filter(|left| annotation(&left.pod, RESTART_DIGEST).as_deref() == Some(digest));
    let kept = match &as_it_runs {
        Some(_) => live_text(observed, digest)?,
        None => None,
    };
    Ok(Rendered {
        config: Some(config(kept.unwrap_or(text))),
        template: Some(Template { pod, rendering }),
        as_it_runs,
        held_back: false,
    })
}

/// The template that a pod without a StatefulSet runs.
fn orphaned(observed: &Observed) -> Result<Option<Template>, PlanError> {
    let Some(pod) = observed.orphaned_template.clone() else {
        return Ok(None);
    };
    let rendering = rendering(&serde_json::to_value(&pod)?);
    Ok(Some(Template { pod, rendering }))
}

/// The claims that the pod mounts: those of a live StatefulSet, else those that the spec asks for.
fn claims(observed: &Observed, instance: &Instance<'_>) -> Vec<Volume> {
    let live = observed
        .live
        .stateful_set
        .as_ref()
        .and_then(|set| set.spec.as_ref());
    match live.and_then(|spec| spec.volume_claim_templates.as_ref()) {
        Some(templates) => Volume::ALL
            .into_iter()
            .filter(|volume| {
                templates
                    .iter()
                    .any(|claim| claim.metadata.name.as_deref() == Some(volume.name()))
            })
            .collect(),
        None => resources::volumes_of(instance.spec),
    }
}

/// A stopped server has no sessions to lose.
fn stopped(observed: &Observed) -> bool {
    let replicas = observed
        .live
        .stateful_set
        .as_ref()
        .and_then(|set| set.spec.as_ref())
        .and_then(|spec| spec.replicas);
    replicas == Some(0) && observed.pod.is_none()
}

/// The live StatefulSet's template, reduced to what we own.
struct Live {
    template: Template,
    digest: Option<String>,
    /// The template is the one that we wrote.
    intact: bool,
}

impl Live {
    fn of(observed: &Observed, instance: &Instance<'_>) -> Result<Option<Self>, PlanError> {
        let Some(set) = observed
            .live
            .stateful_set
            .as_deref()
            .filter(|set| instance.owns(*set))
        else {
            return Ok(None);
        };
        let part = owned_part::<StatefulSet>(set)?
            .map(|mut owned| owned["spec"]["template"].take())
            .filter(Value::is_object);
        let recorded = set.annotations().get(RENDERING).cloned();
        Ok(match part {
            Some(part) => {
                let found = rendering(&part);
                let pod: PodTemplateSpec = serde_json::from_value(part)?;
                Some(Live {
                    digest: annotation(&pod, RESTART_DIGEST),
                    intact: recorded.as_ref() == Some(&found),
                    template: Template {
                        pod,
                        rendering: recorded.unwrap_or(found),
                    },
                })
            }
            // Nothing of it is ours by apply: it cannot be kept by applying it again.
            None => None,
        })
    }
}

/// The live configuration file, if we wrote it for the same restart: then it stays, whatever we
/// would write today.
fn live_text(observed: &Observed, digest: &str) -> Result<Option<String>, PlanError> {
    let Some(live) = &observed.live.config else {
        return Ok(None);
    };
    let annotation = |key| live.annotations().get(key).map(String::as_str);
    let owned = owned_part::<ConfigMap>(live)?;
    let text = owned
        .as_ref()
        .map(|owned| &owned["data"][configgen::paths::CONFIG_KEY]);
    Ok(text
        .filter(|text| {
            annotation(RESTART_DIGEST) == Some(digest)
                && annotation(RENDERING) == Some(&rendering(text))
        })
        .and_then(Value::as_str)
        .map(str::to_owned))
}

fn annotation(pod: &PodTemplateSpec, key: &str) -> Option<String> {
    pod.metadata
        .as_ref()?
        .annotations
        .as_ref()?
        .get(key)
        .cloned()
}
