//! The third step, pure: what every child shall be.

mod deletion;
#[cfg(test)]
mod fuzz;
mod monitoring;
mod restoration;
mod storage;
mod template;

use api_types::DittoServer;
use api_types::annotations;
use api_types::v1alpha1::Retention;
use controller_runtime::apply::extract;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use percona_bridge::Source;
use resources::{AdapterPort, Children, Instance, PrometheusRule, ServiceMonitor};

use crate::MANAGER;
use crate::observe::Observed;
use crate::status::{rollout, trouble::trouble};
use crate::validate::{Generated, Validated};
pub use deletion::Deletion;
pub(crate) use storage::is_orphan;
pub use storage::{ClaimTemplates, Growth};
use template::Rendered;

/// The finalizer, named as that of the Go operator. A server carries it only while something must be
/// done at its deletion; an inherited one that nothing needs is removed.
pub const FINALIZER: &str = "dittofs.dittofs.com/finalizer";

/// What a Service is that asks for nothing.
const SINGLE_STACK: &str = "SingleStack";

/// What shall happen to one child.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<T> {
    /// It shall be like this.
    Apply(Box<T>),
    /// It stays as it is: nothing is known that would change it, or it is not ours.
    Leave,
    /// It shall go.
    Remove,
}

/// What shall happen to every child.
pub type Wishes = Children<
    Wish<ConfigMap>,
    Wish<Service>,
    Wish<StatefulSet>,
    Wish<PodDisruptionBudget>,
    Wish<NetworkPolicy>,
    Wish<ServiceMonitor>,
    Wish<PrometheusRule>,
>;

/// What shall become of our finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It stays, or stays away.
    Keep,
    /// It shall be set before anything else: something must be done at the deletion.
    Add,
    /// It shall go, after everything else.
    Remove,
}

/// What shall happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Secrets to make; the plan is made anew once they exist.
    pub make: Vec<Generated>,
    /// The children.
    pub children: Wishes,
    /// A newer rendering of the pod waits for the next restart.
    pub held_back: bool,
    /// The StatefulSet for a pod that lost its own, as that pod runs: it takes the place of the wanted
    /// one where that would restart the pod.
    pub as_it_runs: Option<Box<StatefulSet>>,
    /// The pod is stuck in a revision that is not wanted any more and shall go.
    pub unstick: bool,
    /// The claims that shall grow.
    pub grow: Vec<Growth>,
    /// What shall become of the StatefulSet's claim templates.
    pub claim_templates: ClaimTemplates,
    /// Our finalizer.
    pub finalizer: Finalizer,
    /// The next step of a deletion that our finalizer holds up; nothing else is planned then.
    pub deletion: Option<Deletion>,
    /// Writes are stopped by annotation; everything above is then empty.
    pub paused: bool,
}

impl Plan {
    fn nothing() -> Self {
        Plan {
            make: Vec::new(),
            children: Children {
                config: Wish::Leave,
                headless: Wish::Leave,
                api: Wish::Leave,
                metrics: Wish::Leave,
                stateful_set: Wish::Leave,
                budget: Wish::Leave,
                policy: Wish::Leave,
                monitor: Wish::Leave,
                rule: Wish::Leave,
            },
            held_back: false,
            as_it_runs: None,
            unstick: false,
            grow: Vec::new(),
            claim_templates: ClaimTemplates::Settled,
            finalizer: Finalizer::Keep,
            deletion: None,
            paused: false,
        }
    }
}

/// The configuration file could not be written, which no accepted spec brings about.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// See [`configgen::ConfigError`].
    #[error(transparent)]
    Config(#[from] configgen::ConfigError),
    /// A child is not JSON.
    #[error("a child cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Plans what shall happen for a validated server.
///
/// # Errors
/// [`PlanError`], which no accepted spec brings about.
pub fn plan(observed: &Observed, validated: &Validated<'_>) -> Result<Plan, PlanError> {
    let server = &observed.server;
    let instance = &validated.instance;
    if server.metadata.deletion_timestamp.is_some() {
        let source = usable(validated);
        return Ok(Plan {
            deletion: is_held(server).then(|| deletion::next(observed, instance, source)),
            ..Plan::nothing()
        });
    }
    if is_paused(server) {
        return Ok(Plan {
            paused: true,
            ..Plan::nothing()
        });
    }
    if !validated.make.is_empty() {
        return Ok(Plan {
            make: validated.make.clone(),
            finalizer: finalizer(observed, instance, &ClaimTemplates::Settled),
            ..Plan::nothing()
        });
    }
    let ours = |name: &str, kind: &str| {
        !validated
            .conflicts
            .iter()
            .any(|conflict| conflict.kind == kind && conflict.name == name)
    };
    let rendered = template::render(observed, validated)?;
    let claim_templates = storage::templates(observed, validated, &rendered);
    let Rendered {
        config,
        template,
        as_it_runs,
        held_back,
    } = rendered;
    let stateful_set = template
        .filter(|_| !is_leaving(observed))
        .map(|template| stateful_set(observed, instance, template));
    let as_it_runs =
        as_it_runs.map(|template| Box::new(self::stateful_set(observed, instance, template)));
    let metrics = resources::metrics_service(instance);
    let wishes = Children {
        config: config.map_or(Wish::Leave, |config| Wish::Apply(Box::new(config))),
        headless: Wish::Apply(Box::new(resources::headless_service(
            instance,
            &adapters(server),
        ))),
        api: Wish::Apply(Box::new(api_service(observed, instance)?)),
        metrics: match metrics {
            Some(service) => Wish::Apply(Box::new(service)),
            None => unwanted(observed.live.metrics.as_deref(), instance),
        },
        stateful_set: stateful_set.map_or(Wish::Leave, |set| Wish::Apply(Box::new(set))),
        budget: Wish::Apply(Box::new(resources::disruption_budget(instance))),
        policy: match resources::baseline_policy(instance) {
            Some(policy) => Wish::Apply(Box::new(policy)),
            None => unwanted(observed.live.policy.as_deref(), instance),
        },
        monitor: monitoring::monitor(observed, instance),
        rule: monitoring::rule(observed, instance),
    };
    Ok(Plan {
        make: Vec::new(),
        children: only_ours(wishes, ours),
        held_back,
        as_it_runs,
        unstick: is_stuck(observed, instance),
        grow: storage::growths(observed, instance),
        finalizer: finalizer(observed, instance, &claim_templates),
        claim_templates,
        deletion: None,
        paused: false,
    })
}

/// Whether `server` carries our finalizer.
pub fn is_held(server: &DittoServer) -> bool {
    server
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER)
}

/// Whether `server` is being deleted and our finalizer holds it up.
pub fn is_leaving_by_steps(server: &DittoServer) -> bool {
    server.metadata.deletion_timestamp.is_some() && is_held(server)
}

/// The finalizer is needed while the data shall go with the server, and while its pod is without a
/// StatefulSet, with which it would go otherwise.
fn finalizer(
    observed: &Observed,
    instance: &Instance<'_>,
    claim_templates: &ClaimTemplates,
) -> Finalizer {
    let needed = instance.spec.storage.retention_policy.when_deleted == Retention::Delete
        || matches!(claim_templates, ClaimTemplates::Replace(_))
        || storage::is_bereft(observed, instance);
    match (needed, is_held(&observed.server)) {
        (true, false) => Finalizer::Add,
        (false, true) => Finalizer::Remove,
        (true, true) | (false, false) => Finalizer::Keep,
    }
}

/// Whether the live StatefulSet is being deleted: another one is made once it is gone.
fn is_leaving(observed: &Observed) -> bool {
    observed
        .live
        .stateful_set
        .as_deref()
        .is_some_and(|set| set.metadata.deletion_timestamp.is_some())
}

/// Whether a person stopped all writes for `server`.
pub fn is_paused(server: &DittoServer) -> bool {
    server
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(annotations::PAUSED))
        .is_some_and(|value| value == "true")
}

/// The adapters as last seen by the adapter-controller; the headless Service's ports follow them.
fn adapters(server: &DittoServer) -> Vec<AdapterPort> {
    server
        .status
        .iter()
        .flat_map(|status| status.adapters.iter().flatten())
        .filter(|adapter| adapter.enabled)
        .filter_map(|adapter| {
            Some(AdapterPort {
                kind: adapter.kind.clone(),
                port: u16::try_from(adapter.listen_port?).ok()?,
            })
        })
        .collect()
}

/// Whether the pod is in trouble in a revision that is being replaced. The StatefulSet controller
/// waits for it to become ready before it replaces it, for ever (kubernetes/kubernetes#67250).
/// A pod that serves, or that is only slow, is not touched.
fn is_stuck(observed: &Observed, instance: &Instance<'_>) -> bool {
    let (Some(set), Some(pod)) = (
        observed.live.stateful_set.as_deref(),
        observed.pod.as_deref(),
    ) else {
        return false;
    };
    let of_set = pod.metadata.owner_references.iter().flatten().any(|owner| {
        owner.controller == Some(true) && Some(&owner.uid) == set.metadata.uid.as_ref()
    });
    instance.owns(set)
        && of_set
        && rollout::is_current(set, pod) == Some(false)
        && (trouble(pod).is_some() || observed.mount_failure.is_some())
}

/// The API Service. A Service keeps the number of IP families that it once had when nobody asks for
/// one any more: what we set is set back to the default first, and given up once it is so.
fn api_service(observed: &Observed, instance: &Instance<'_>) -> Result<Service, PlanError> {
    let mut service = resources::api_service(instance);
    if let Some(live) = observed.live.api.as_deref()
        && let Some(spec) = &mut service.spec
        && spec.ip_family_policy.is_none()
        && live
            .spec
            .as_ref()
            .and_then(|live| live.ip_family_policy.as_deref())
            != Some(SINGLE_STACK)
        && owned_part(live)?.is_some_and(|owned| !owned["spec"]["ipFamilyPolicy"].is_null())
    {
        spec.ip_family_policy = Some(SINGLE_STACK.to_owned());
    }
    Ok(service)
}

/// A child that the spec does not want goes if it is ours.
fn unwanted<K: kube::Resource>(live: Option<&K>, instance: &Instance<'_>) -> Wish<K> {
    match live {
        Some(live) if instance.owns(live) => Wish::Remove,
        _ => Wish::Leave,
    }
}

/// Leaves alone what is somebody else's.
fn only_ours(wishes: Wishes, ours: impl Fn(&str, &str) -> bool) -> Wishes {
    fn guard<K: kube::Resource<DynamicType = ()>>(
        wish: Wish<K>,
        ours: impl Fn(&str, &str) -> bool,
    ) -> Wish<K> {
        match wish {
            Wish::Apply(object)
                if !ours(
                    object.meta().name.as_deref().unwrap_or_default(),
                    &K::kind(&()),
                ) =>
            {
                Wish::Leave
            }
            other => other,
        }
    }
    let Children {
        config,
        headless,
        api,
        metrics,
        stateful_set,
        budget,
        policy,
        monitor,
        rule,
    } = wishes;
    Children {
        config: guard(config, &ours),
        headless: guard(headless, &ours),
        api: guard(api, &ours),
        metrics: guard(metrics, &ours),
        stateful_set: guard(stateful_set, &ours),
        budget: guard(budget, &ours),
        policy: guard(policy, &ours),
        monitor: guard(monitor, &ours),
        rule: guard(rule, &ours),
    }
}

/// The StatefulSet around `template`. Claim templates cannot be changed: those of a live one stay.
fn stateful_set(
    observed: &Observed,
    instance: &Instance<'_>,
    template: template::Template,
) -> StatefulSet {
    let claims = live_claims(observed).unwrap_or_else(|| resources::claim_templates(instance));
    resources::stateful_set(instance, template.pod, template.rendering, claims)
}

fn live_claims(observed: &Observed) -> Option<Vec<PersistentVolumeClaim>> {
    observed
        .live
        .stateful_set
        .as_ref()?
        .spec
        .as_ref()?
        .volume_claim_templates
        .clone()
}

/// The part of `live` that we own, as we would send it again.
fn owned_part<K: serde::Serialize>(live: &K) -> Result<Option<serde_json::Value>, PlanError> {
    Ok(extract(&serde_json::to_value(live)?, MANAGER, None))
}

/// The source of a server whose database this release can provide.
fn usable<'v>(validated: &'v Validated<'_>) -> Option<&'v Source> {
    validated.source.as_ref().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::testing::{
        applied, empty, instance, planned, provisioned, serving, with_pod, with_stateful_set,
    };
    use crate::validate::validate;

    fn template(plan: &Plan) -> &k8s_openapi::api::core::v1::PodTemplateSpec {
        match &plan.children.stateful_set {
            Wish::Apply(set) => &set.spec.as_ref().unwrap().template,
            other => panic!("the StatefulSet shall be applied, not {other:?}"),
        }
    }

    #[test]
    fn secrets_come_first_and_nothing_else_with_them() {
        let plan = planned(&empty(json!({})));
        assert_eq!(plan.make, [Generated::Jwt, Generated::Admin]);
        assert_eq!(plan.children, Plan::nothing().children);
    }

    #[test]
    fn the_pod_is_not_made_before_its_inputs_are_complete() {
        let reference = json!({"name": "mine", "key": "token"});
        let plan = planned(&provisioned(
            json!({"identity": {"jwt": {"secretRef": reference}}}),
        ));
        assert_eq!(plan.children.stateful_set, Wish::Leave);
        assert!(matches!(plan.children.api, Wish::Apply(_)));
    }

    #[test]
    fn a_missing_input_keeps_the_running_pod_and_still_lets_it_be_stopped() {
        let running = with_stateful_set(provisioned(json!({})));
        let before = template(&planned(&running)).clone();
        let mut world = running.clone();
        world.secrets.insert(
            "files-jwt-secret".to_owned(),
            crate::observe::SecretState::Refused(String::new()),
        );
        let mut server = DittoServer::clone(&world.server);
        server.spec.replicas = 0;
        server.spec.image = "other:1".to_owned();
        world.server = Arc::new(server);
        let plan = planned(&world);
        assert_eq!(*template(&plan), before);
        let Wish::Apply(set) = &plan.children.stateful_set else {
            panic!("it shall be stopped")
        };
        assert_eq!(set.spec.as_ref().unwrap().replicas, Some(0));
    }

    /// A world whose StatefulSet was rendered by an older release: same digest, another field.
    fn older_rendering() -> Observed {
        let mut world = with_stateful_set(provisioned(json!({})));
        let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
        let template = &mut set.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().enable_service_links = Some(true);
        let rendering = resources::rendering(&serde_json::to_value(&*template).unwrap());
        set.metadata.annotations = Some([(annotations::RENDERING.to_owned(), rendering)].into());
        world.live.stateful_set = Some(Arc::new(applied(set)));
        world
    }

    #[test]
    fn a_newer_rendering_waits_for_the_next_restart() {
        let world = with_pod(older_rendering(), serving());
        let plan = planned(&world);
        assert!(plan.held_back);
        assert_eq!(
            template(&plan).spec.as_ref().unwrap().enable_service_links,
            Some(true)
        );

        let mut world = world;
        let mut server = DittoServer::clone(&world.server);
        server.spec.image = "other:1".to_owned();
        world.server = Arc::new(server);
        let plan = planned(&world);
        assert!(!plan.held_back);
        assert_eq!(
            template(&plan).spec.as_ref().unwrap().enable_service_links,
            Some(false)
        );
    }

    #[test]
    fn a_template_that_somebody_edited_is_put_right() {
        let mut world = with_pod(with_stateful_set(provisioned(json!({}))), serving());
        let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
        set.spec
            .as_mut()
            .unwrap()
            .template
            .spec
            .as_mut()
            .unwrap()
            .enable_service_links = Some(true);
        world.live.stateful_set = Some(Arc::new(set));
        let plan = planned(&world);
        assert!(!plan.held_back);
        assert_eq!(
            template(&plan).spec.as_ref().unwrap().enable_service_links,
            Some(false)
        );
    }

    #[test]
    fn a_pod_stuck_in_an_unwanted_revision_goes_and_one_that_is_fine_or_slow_stays() {
        let stuck = json!({"containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        let slow = json!({"containerStatuses": [{"name": "dittofs", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]});
        let world = |pod_status, revision: &str| {
            let mut world = with_pod(with_stateful_set(provisioned(json!({}))), pod_status);
            let mut set = StatefulSet::clone(world.live.stateful_set.as_ref().unwrap());
            set.metadata.uid = Some("uid-set".to_owned());
            set.status.as_mut().unwrap().update_revision = Some(revision.to_owned());
            world.live.stateful_set = Some(Arc::new(set));
            let mut pod = k8s_openapi::api::core::v1::Pod::clone(world.pod.as_ref().unwrap());
            pod.metadata.owner_references = serde_json::from_value(json!([{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "files", "uid": "uid-set", "controller": true,
            }]))
            .unwrap();
            world.pod = Some(Arc::new(pod));
            world
        };
        assert!(planned(&world(stuck.clone(), "rev-2")).unstick);
        assert!(
            !planned(&world(stuck, "rev-1")).unstick,
            "the wanted revision itself is in trouble"
        );
        let mut unmounted = world(slow.clone(), "rev-2");
        unmounted.mount_failure = Some("configmap not found".to_owned());
        assert!(planned(&unmounted).unstick, "its volumes cannot be mounted");
        assert!(!planned(&world(slow, "rev-2")).unstick, "it is only slow");
        assert!(!planned(&world(serving(), "rev-2")).unstick, "it serves");
    }

    #[test]
    fn claim_templates_of_a_live_set_stay() {
        let mut world = with_stateful_set(provisioned(json!({})));
        let mut server = DittoServer::clone(&world.server);
        server.spec.storage.content_size = Some("5Gi".into());
        world.server = Arc::new(server);
        let Wish::Apply(set) = planned(&world).children.stateful_set else {
            panic!("applied")
        };
        let spec = set.spec.unwrap();
        assert_eq!(spec.volume_claim_templates.unwrap().len(), 2);
        let mounts = spec.template.spec.unwrap().containers[0]
            .volume_mounts
            .clone()
            .unwrap();
        assert!(mounts.iter().all(|mount| mount.name != "content"));
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone_and_the_rest_goes_on() {
        let mut world = provisioned(json!({}));
        let mut foreign = resources::api_service(&instance(&world));
        foreign.metadata.labels = None;
        foreign.metadata.owner_references = None;
        world.live.api = Some(Arc::new(foreign));
        let plan = planned(&world);
        assert_eq!(plan.children.api, Wish::Leave);
        assert!(matches!(plan.children.headless, Wish::Apply(_)));
        assert!(matches!(plan.children.stateful_set, Wish::Apply(_)));
        assert_eq!(validate(&world).unwrap().conflicts[0].name, "files-api");
    }

    #[test]
    fn no_pod_starts_with_the_configuration_of_somebody_else() {
        let mut world = provisioned(json!({}));
        world.live.config = Some(Arc::new(ConfigMap {
            metadata: kube::api::ObjectMeta {
                name: Some("files-config".to_owned()),
                ..Default::default()
            },
            ..ConfigMap::default()
        }));
        let plan = planned(&world);
        assert_eq!(plan.children.config, Wish::Leave);
        assert_eq!(plan.children.stateful_set, Wish::Leave);
    }

    #[test]
    fn a_paused_server_is_left_alone() {
        let mut world = empty(json!({}));
        let mut server = DittoServer::clone(&world.server);
        server.metadata.annotations =
            Some([(annotations::PAUSED.to_owned(), "true".to_owned())].into());
        world.server = Arc::new(server);
        assert_eq!(
            planned(&world),
            Plan {
                paused: true,
                ..Plan::nothing()
            }
        );
    }

    #[test]
    fn a_server_on_its_way_out_gets_nothing_but_its_release() {
        let mut world = empty(json!({}));
        let mut server = DittoServer::clone(&world.server);
        server.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
        );
        server.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        world.server = Arc::new(server);
        assert_eq!(
            planned(&world),
            Plan {
                deletion: Some(Deletion::Release),
                ..Plan::nothing()
            }
        );
    }

    /// `world` with another spec.
    fn with_spec(mut world: Observed, spec: serde_json::Value) -> Observed {
        world.server = Arc::new(crate::testing::server(spec));
        world
    }

    #[test]
    fn the_policy_goes_when_it_is_not_wanted_unless_it_is_somebody_elses() {
        let mut world = provisioned(json!({}));
        let Wish::Apply(policy) = planned(&world).children.policy else {
            panic!("applied")
        };
        world.live.policy = Some(Arc::from(policy));
        let mut world = with_spec(world, json!({"networkPolicy": {"enabled": false}}));
        assert_eq!(planned(&world).children.policy, Wish::Remove);

        let mut foreign = NetworkPolicy::clone(world.live.policy.as_ref().unwrap());
        foreign.metadata.labels = None;
        foreign.metadata.owner_references = None;
        world.live.policy = Some(Arc::new(foreign));
        assert_eq!(planned(&world).children.policy, Wish::Leave);
        assert!(validate(&world).unwrap().conflicts.is_empty());
    }

    #[test]
    fn a_service_that_we_made_dual_stack_goes_back_to_a_single_one() {
        let policy = |world: &Observed| match planned(world).children.api {
            Wish::Apply(service) => service.spec.unwrap().ip_family_policy,
            other => panic!("the Service shall be applied, not {other:?}"),
        };
        let mut world = provisioned(json!({"service": {"ipFamilyPolicy": "PreferDualStack"}}));
        let Wish::Apply(mut service) = planned(&world).children.api else {
            panic!("applied")
        };
        service.metadata.managed_fields = serde_json::from_value(json!([{
            "manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:ipFamilyPolicy": {}}},
        }]))
        .unwrap();
        world.live.api = Some(Arc::from(service));
        let mut world = with_spec(world, json!({}));
        assert_eq!(policy(&world).as_deref(), Some("SingleStack"));

        let mut back = Service::clone(world.live.api.as_ref().unwrap());
        back.spec.as_mut().unwrap().ip_family_policy = Some("SingleStack".to_owned());
        let before = world.live.api.replace(Arc::new(back));
        assert_eq!(policy(&world), None, "what is set back is given up");
        world.live.api = before;

        let mut others = Service::clone(world.live.api.as_ref().unwrap());
        others.metadata.managed_fields = None;
        world.live.api = Some(Arc::new(others));
        assert_eq!(policy(&world), None, "what others set stays");
    }

    #[test]
    fn a_metrics_service_goes_with_metrics_unless_it_is_somebody_elses() {
        let mut world = provisioned(json!({"metrics": {"enabled": true}}));
        let Wish::Apply(service) = planned(&world).children.metrics else {
            panic!("applied")
        };
        world.live.metrics = Some(Arc::from(service.clone()));
        let mut server = DittoServer::clone(&world.server);
        server.spec.metrics = None;
        world.server = Arc::new(server);
        assert_eq!(planned(&world).children.metrics, Wish::Remove);
        let mut foreign = *service;
        foreign.metadata.owner_references = None;
        foreign.metadata.labels = None;
        world.live.metrics = Some(Arc::new(foreign));
        assert_eq!(planned(&world).children.metrics, Wish::Leave);
    }
}
