//! The planner over arbitrary worlds: what it never does, and that it comes to rest.

mod api_server;
mod worlds;

use std::collections::BTreeMap;

use api_types::v1alpha1::Retention;
use kube::Resource;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use resources::{Children, Instance};

use super::*;
use crate::observe::SecretState;
use crate::testing::{instance, planned};
use crate::validate::validate;
use api_server::{others, visit, writes};
use worlds::{is_held, recipe};

/// Worlds that are the same in every run. Each state of [`REACHED`] must be among them several times.
const KNOWN_WORLDS: u32 = 1000;
/// Worlds that are new in every run.
const NEW_WORLDS: u32 = 200;
/// Visits after which a world must be at rest: the longest way is a growth whose StatefulSet is replaced.
const VISITS: usize = 10;

/// The states that the worlds must reach, and how often at least.
const REACHED: [(&str, u32); 28] = [
    ("a Secret is made", 10),
    ("a password is not made anew", 2),
    ("an input is missing", 10),
    ("an input is missing and the pod stays", 10),
    ("a name is somebody else's", 10),
    ("a child of the predecessor", 10),
    ("a child is removed", 10),
    ("an unwanted child of somebody else stays", 3),
    ("the StatefulSet is leaving", 5),
    ("a newer rendering waits", 3),
    ("a pod left behind runs on", 3),
    ("a stuck pod goes", 2),
    ("a claim grows", 10),
    ("the claim templates wait for claims", 5),
    ("the claim templates wait for a rollout", 2),
    ("the StatefulSet is replaced", 5),
    ("a claim is terminating", 10),
    ("a pod without a controller", 10),
    ("paused", 10),
    ("the finalizer comes", 10),
    ("the finalizer goes", 10),
    ("deletion: RemoveStatefulSet", 10),
    ("deletion: AwaitPod", 3),
    ("deletion: RemovePod", 1),
    ("deletion: RemoveClaims", 5),
    ("deletion: AwaitClaims", 3),
    ("deletion: RemoveAdminSecret", 2),
    ("deletion: Release", 10),
];

#[derive(Default)]
struct Coverage(BTreeMap<String, u32>);

impl Coverage {
    fn saw(&mut self, what: impl Into<String>, seen: bool) {
        if seen {
            *self.0.entry(what.into()).or_default() += 1;
        }
    }

    fn note(&mut self, world: &Observed, plan: &Plan) {
        let validated = validate(world).unwrap();
        let running = world.live.stateful_set.is_some();
        let missing = !validated.problems.is_empty();
        self.saw("a Secret is made", !plan.make.is_empty());
        let burnt = |problem: &crate::validate::Problem| {
            problem.reason == api_types::conditions::Reason::AdminSecretMissing
        };
        self.saw(
            "a password is not made anew",
            validated.problems.iter().any(burnt),
        );
        self.saw("an input is missing", missing);
        let stays = matches!(plan.children.stateful_set, Wish::Apply(_)) && running && missing;
        self.saw("an input is missing and the pod stays", stays);
        self.saw("a name is somebody else's", !validated.conflicts.is_empty());
        self.saw(
            "a child of the predecessor",
            crate::takeover::is_suspected(world),
        );
        let removes = plan.children.metrics == Wish::Remove || plan.children.policy == Wish::Remove;
        self.saw("a child is removed", removes);
        let policy = world.live.policy.as_deref();
        let others = policy.is_some_and(|policy| !validated.instance.owns(policy));
        let unwanted = !world.server.spec.network_policy.enabled;
        self.saw(
            "an unwanted child of somebody else stays",
            others && unwanted,
        );
        self.saw("the StatefulSet is leaving", is_leaving(world));
        self.saw("a newer rendering waits", plan.held_back);
        self.saw("a pod left behind runs on", plan.as_it_runs.is_some());
        self.saw("a stuck pod goes", plan.unstick);
        self.saw("a claim grows", !plan.grow.is_empty());
        self.saw(
            match plan.claim_templates {
                ClaimTemplates::Settled => "the claim templates agree",
                ClaimTemplates::AfterClaims => "the claim templates wait for claims",
                ClaimTemplates::AfterRollout => "the claim templates wait for a rollout",
                ClaimTemplates::Replace(_) => "the StatefulSet is replaced",
            },
            true,
        );
        let mut claims = world.claims.values();
        let terminating = claims.any(|claim| claim.metadata.deletion_timestamp.is_some());
        self.saw("a claim is terminating", terminating);
        let orphan =
            |pod: &k8s_openapi::api::core::v1::Pod| storage::is_orphan(pod, &validated.instance);
        self.saw(
            "a pod without a controller",
            world.pod.as_deref().is_some_and(orphan),
        );
        self.saw("paused", plan.paused);
        self.saw("the finalizer comes", plan.finalizer == Finalizer::Add);
        self.saw("the finalizer goes", plan.finalizer == Finalizer::Remove);
        if let Some(step) = &plan.deletion {
            let step = format!("{step:?}");
            let name = step.split('(').next().unwrap_or_default();
            self.saw(format!("deletion: {name}"), true);
        }
    }
}

/// Runs `property` on arbitrary worlds; the smallest one that breaks it is shown.
fn on_worlds(worlds: Worlds, mut property: impl FnMut(Observed) -> Result<(), String>) {
    let config = |cases| Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match worlds {
        Worlds::Known => TestRunner::new_with_rng(
            config(KNOWN_WORLDS),
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        ),
        Worlds::New => TestRunner::new(config(NEW_WORLDS)),
    };
    let property = std::cell::RefCell::new(&mut property);
    let result = runner.run(&recipe(), |recipe| {
        let mut property = property.borrow_mut();
        property(recipe.world()).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, recipe)) => panic!("{why}\nin {recipe:#?}"),
        Err(error) => panic!("{error}"),
    }
}

#[derive(Clone, Copy)]
enum Worlds {
    Known,
    New,
}

/// Whether the visit that carried out `done` leaves something to a next one; all else is done in one.
fn goes_on(world: &Observed, done: &Plan) -> bool {
    let deletes = done.deletion.is_some();
    let replaces = matches!(done.claim_templates, ClaimTemplates::Replace(_));
    // A server that has just been stopped has no sessions to lose any more.
    let renders = done.held_back && world.server.spec.replicas == 0;
    // What is set back is given up once it is so.
    let sets_back = |service: &Service| {
        let policy = service
            .spec
            .as_ref()
            .and_then(|spec| spec.ip_family_policy.as_deref());
        policy == Some(SINGLE_STACK)
    };
    let gives_up = matches!(&done.children.api, Wish::Apply(service) if sets_back(service));
    // The finalizer that a pod without a StatefulSet needs goes after the pod.
    let releases = done.unstick && is_leaving(world);
    deletes || replaces || renders || gives_up || releases
}

/// What the plan must never do in `world`.
fn forbidden(world: &Observed, plan: &Plan) -> Vec<String> {
    let instance = instance(world);
    let mut found = Vec::new();
    let server = &world.server;
    let leaving = server.metadata.deletion_timestamp.is_some();
    let whole = instance.spec.storage.retention_policy.when_deleted == Retention::Delete;
    match &plan.deletion {
        Some(step) if !leaving || !is_held(server) => {
            found.push(format!(
                "{step:?} of a server that is not being deleted, or not held"
            ));
        }
        Some(step @ (Deletion::RemoveClaims(_) | Deletion::RemoveAdminSecret)) if !whole => {
            found.push(format!("{step:?} against the retention policy"));
        }
        Some(Deletion::RemoveClaims(volumes)) => {
            for volume in volumes {
                let claim = &world.claims[volume];
                if !crate::claims::is_labelled(claim, &instance)
                    || claim.metadata.uid.as_deref() == Some("another")
                {
                    found.push(format!("{volume:?} is somebody else's claim"));
                }
            }
        }
        Some(Deletion::RemoveAdminSecret) => {
            let left = world
                .claims
                .contains_key(&api_types::names::Volume::ControlPlane);
            match world.secrets.get("files-admin-bootstrap-credentials") {
                Some(SecretState::Present(secret)) if instance.owns(&secret.object) && !left => {}
                other => found.push(format!("RemoveAdminSecret with {other:?}, claim {left}")),
            }
        }
        Some(Deletion::RemovePod)
            if !world.pod.as_deref().is_some_and(|pod| instance.owns(pod)) =>
        {
            found.push("RemovePod of somebody else's pod".to_owned());
        }
        _ => {}
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
    } = &plan.children;
    let live = &world.live;
    foreign(&instance, config, live.config.as_deref(), &mut found);
    foreign(&instance, headless, live.headless.as_deref(), &mut found);
    foreign(&instance, api, live.api.as_deref(), &mut found);
    foreign(&instance, metrics, live.metrics.as_deref(), &mut found);
    foreign(
        &instance,
        stateful_set,
        live.stateful_set.as_deref(),
        &mut found,
    );
    foreign(&instance, budget, live.budget.as_deref(), &mut found);
    foreign(&instance, policy, live.policy.as_deref(), &mut found);
    foreign(&instance, monitor, live.monitor.as_deref(), &mut found);
    foreign(&instance, rule, live.rule.as_deref(), &mut found);
    if matches!(stateful_set, Wish::Remove) {
        found.push("the StatefulSet is removed with its pod".to_owned());
    }
    let set = live.stateful_set.as_deref();
    if matches!(plan.claim_templates, ClaimTemplates::Replace(_))
        && !set.is_some_and(|set| instance.owns(set))
    {
        found.push("somebody else's StatefulSet is replaced".to_owned());
    }
    let controller = |pod: &k8s_openapi::api::core::v1::Pod| {
        let mut owners = pod
            .metadata
            .owner_references
            .clone()
            .unwrap_or_default()
            .into_iter();
        owners
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid)
    };
    if plan.unstick
        && world.pod.as_deref().and_then(controller) != set.and_then(|set| set.metadata.uid.clone())
    {
        found.push("a pod that is not of our StatefulSet goes".to_owned());
    }
    let data = world
        .claims
        .contains_key(&api_types::names::Volume::ControlPlane);
    if plan.make.contains(&Generated::Admin) && data {
        found.push("a password is made over data that another one opens".to_owned());
    }
    for growth in &plan.grow {
        if growth.claim.metadata.deletion_timestamp.is_some() {
            found.push("a claim grows that is being deleted".to_owned());
        }
    }
    if (plan.paused || leaving) && plan.children != Plan::nothing().children {
        found.push("children are written while nothing may be".to_owned());
    }
    found
}

fn foreign<K: Resource<DynamicType = ()>>(
    instance: &Instance<'_>,
    wish: &Wish<K>,
    live: Option<&K>,
    found: &mut Vec<String>,
) {
    if let (Wish::Apply(_) | Wish::Remove, Some(live)) = (wish, live)
        && !instance.owns(live)
    {
        found.push(format!(
            "somebody else's {} is written or removed",
            K::kind(&())
        ));
    }
}

/// Visits `world` until it is at rest, and checks each plan on the way.
fn comes_to_rest(mut world: Observed, coverage: &mut Coverage) -> Result<(), String> {
    for number in 1..=VISITS {
        let plan = planned(&world);
        coverage.note(&world, &plan);
        let never = forbidden(&world, &plan);
        if !never.is_empty() {
            return Err(format!("visit {number}: {never:?}"));
        }
        let done;
        (world, done) = visit(world);
        let goes_on = goes_on(&world, &done);
        if world.server.metadata.deletion_timestamp.is_some() && !is_held(&world.server) {
            return Ok(());
        }
        let again = planned(&world);
        coverage.note(&world, &again);
        let left = writes(&world, &again);
        if !goes_on && !left.is_empty() {
            return Err(format!(
                "visit {number}: the plan after the plan is not empty: {left:?}"
            ));
        }
        let moved = others(world.clone());
        let waiting = writes(&moved, &planned(&moved));
        if left.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        if number == VISITS {
            return Err(format!(
                "after {VISITS} visits still {left:?}, then {waiting:?}"
            ));
        }
        world = moved;
    }
    Ok(())
}

#[test]
fn the_planner_never_touches_what_it_must_not_and_comes_to_rest() {
    let mut coverage = Coverage::default();
    on_worlds(Worlds::Known, |world| comes_to_rest(world, &mut coverage));
    let rare: Vec<String> = REACHED
        .iter()
        .map(|(what, least)| {
            let seen = coverage.0.get(*what).copied().unwrap_or_default();
            (what, least, seen)
        })
        .filter(|(_, least, seen)| seen < least)
        .map(|(what, least, seen)| format!("{what}: {seen} times, at least {least} wanted"))
        .collect();
    assert!(
        rare.is_empty(),
        "the worlds do not reach: {rare:#?}\nof {:#?}",
        coverage.0
    );
}

#[test]
fn the_planner_does_so_in_worlds_that_nobody_has_seen() {
    on_worlds(Worlds::New, |world| {
        comes_to_rest(world, &mut Coverage::default())
    });
}
