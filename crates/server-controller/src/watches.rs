//! Everything that wakes the controller, and the stores it reads from.

use api_types::{DittoServer, labels};
use controller_runtime::{
    Context, Installable, Primaries, Primary, Readable, References, Remembered, Target, Triggers,
    WatchOptions, Watched, cluster_reference_triggers, reference_triggers,
};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use percona_bridge::{CnpgCluster, PerconaPGCluster, Source};
use resources::{PrometheusRule, ServiceMonitor};

use crate::check::Checks;
use crate::observe::{self, ClassState, HeldSecret, Served};
use crate::{MANAGERS, rights};

/// The stores of everything that the controller reads.
#[derive(Clone, Debug)]
pub struct Watches {
    /// The servers themselves.
    pub servers: Primaries<DittoServer>,
    /// Their configuration files.
    pub config_maps: Watched<ConfigMap>,
    /// Their Services, those of the adapters included.
    pub services: Watched<Service>,
    /// Their StatefulSets.
    pub stateful_sets: Watched<StatefulSet>,
    /// Their disruption budgets.
    pub budgets: Watched<PodDisruptionBudget>,
    /// Their network policies.
    pub policies: Watched<NetworkPolicy>,
    /// Their claims.
    pub claims: Watched<PersistentVolumeClaim>,
    /// Their pods.
    pub pods: Watched<Pod>,
    /// Their ServiceMonitors; `None` where the role does not grant them.
    pub monitors: Option<Installable<ServiceMonitor>>,
    /// Their PrometheusRules; `None` where the role does not grant them.
    pub rules: Option<Installable<PrometheusRule>>,
    /// Their PerconaPGClusters; `None` where the role does not grant them.
    pub perconas: Option<Installable<PerconaPGCluster>>,
    /// Their Clusters of CloudNativePG; `None` where the role does not grant them.
    pub cnpgs: Option<Installable<CnpgCluster>>,
    /// Trial logins to their databases.
    pub checks: Checks,
    /// The Secrets, StorageClasses and database clusters that each server refers to, generated Secrets included.
    pub references: References<DittoServer>,
    /// What was read of those Secrets.
    pub secrets: Remembered<HeldSecret>,
    /// What was read of those StorageClasses.
    pub class_states: Remembered<ClassState>,
    /// Whether StorageClasses may be read.
    pub classes: bool,
}

/// What the role of this process grants, of what it may lack.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    /// StorageClasses may be read.
    classes: bool,
    /// ServiceMonitors may be managed, and their CRD watched.
    monitors: bool,
    /// PrometheusRules may be managed, and their CRD watched.
    rules: bool,
    /// PerconaPGClusters may be managed, and their CRD watched.
    perconas: bool,
    /// Clusters of CloudNativePG may be managed, and their CRD watched.
    cnpgs: bool,
}

impl Rights {
    /// Asks the API server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn of(context: &Context) -> Result<Self, kube::Error> {
        let (classes, monitors, rules, perconas, cnpgs) = futures::try_join!(
            observe::may_read_classes(context),
            rights::may_manage::<ServiceMonitor>(context, ServiceMonitor::CRD),
            rights::may_manage::<PrometheusRule>(context, PrometheusRule::CRD),
            rights::may_manage::<PerconaPGCluster>(context, PerconaPGCluster::CRD),
            rights::may_manage::<CnpgCluster>(context, CnpgCluster::CRD),
        )?;
        Ok(Rights {
            classes,
            monitors,
            rules,
            perconas,
            cnpgs,
        })
    }
}

impl Watches {
    /// Prepares every watch that `rights` allow; they run while the returned parts are polled by
    /// the run loop.
    pub fn start(
        context: &Context,
        rights: Rights,
    ) -> (Self, Primary<DittoServer>, Vec<Triggers<DittoServer>>) {
        let Rights {
            classes,
            monitors,
            rules,
            perconas,
            cnpgs,
        } = rights;
        let primary = Primary::new(context, MANAGERS);
        let references = References::new();
        let (config_maps, config_map) = Watched::start(context, owned(), instance);
        let (services, service) = Watched::start(context, owned(), instance);
        let (stateful_sets, stateful_set) = Watched::start(context, owned(), instance);
        let (budgets, budget) = Watched::start(context, owned(), instance);
        let (policies, policy) = Watched::start(context, owned(), instance);
        let (claims, claim) = Watched::start(context, owned(), instance);
        let (pods, pod) = Watched::start(context, owned(), instance);
        let (secrets, class_states) = (Remembered::new(), Remembered::new());
        let secret = reference_triggers::<Secret, _, _>(
            context,
            WatchOptions::all().named("secrets (metadata)"),
            references.clone(),
            secrets.clone(),
        );
        let servers = primary.store();
        let (monitors, monitor) = installable(context, monitors, ServiceMonitor::CRD, &servers);
        let (rules, rule) = installable(context, rules, PrometheusRule::CRD, &servers);
        let (perconas, percona) = databases(
            context,
            perconas,
            PerconaPGCluster::CRD,
            &servers,
            &references,
        );
        let (cnpgs, cnpg) = databases(context, cnpgs, CnpgCluster::CRD, &servers, &references);
        let (checks, checked) = Checks::new(context);
        let watches = Watches {
            servers: primary.store(),
            config_maps,
            services,
            stateful_sets,
            budgets,
            policies,
            claims,
            pods,
            monitors,
            rules,
            perconas,
            cnpgs,
            checks,
            references,
            secrets,
            class_states,
            classes,
        };
        let mut triggers = vec![
            config_map,
            service,
            stateful_set,
            budget,
            policy,
            claim,
            pod,
            secret,
            checked,
        ];
        let optional = [monitor, rule, percona, cnpg];
        triggers.extend(optional.into_iter().flatten());
        if classes {
            triggers.push(cluster_reference_triggers::<StorageClass, _, _>(
                context,
                WatchOptions::all()
                    .optional()
                    .named("storageclasses (metadata)"),
                watches.references.clone(),
                watches.class_states.clone(),
            ));
        }
        (watches, primary, triggers)
    }

    /// Forgets what was read of objects to which no server refers any more.
    pub fn forget(&self, left: Vec<Target>) {
        for (kind, namespace, name) in left {
            if kind == Secret::kind(&()) {
                self.secrets.forget(&namespace, &name);
            } else if kind == StorageClass::kind(&()) {
                self.class_states.forget(&namespace, &name);
            }
        }
    }
}

impl Watches {
    /// The ServiceMonitors, while the cluster has the kind.
    pub fn monitors(&self) -> Option<&Watched<ServiceMonitor>> {
        self.monitors.as_ref()?.served()
    }

    /// The PrometheusRules, while the cluster has the kind.
    pub fn rules(&self) -> Option<&Watched<PrometheusRule>> {
        self.rules.as_ref()?.served()
    }

    /// The PerconaPGClusters, while the cluster has the kind.
    pub fn perconas(&self) -> Option<&Watched<PerconaPGCluster>> {
        self.perconas.as_ref()?.served()
    }

    /// The Clusters of CloudNativePG, while the cluster has the kind.
    pub fn cnpgs(&self) -> Option<&Watched<CnpgCluster>> {
        self.cnpgs.as_ref()?.served()
    }

    /// Which kinds that the cluster may not have can be read and written now.
    pub fn served(&self) -> Served {
        Served {
            monitors: self.monitors().is_some(),
            rules: self.rules().is_some(),
        }
    }
}

/// The watch of a kind that the cluster may not have, if the role grants it. When the kind comes or
/// goes, the servers with metrics are visited.
fn installable<K: Readable>(
    context: &Context,
    granted: bool,
    crd: &'static str,
    servers: &Primaries<DittoServer>,
) -> (Option<Installable<K>>, Option<Triggers<DittoServer>>) {
    if !granted {
        return (None, None);
    }
    let servers = servers.clone();
    let measured = move || {
        let all = servers.list_cached().into_iter();
        let measured = all.filter(|server| {
            let metrics = server.spec.metrics.as_ref();
            metrics.is_some_and(|metrics| metrics.enabled)
        });
        measured
            .map(|server| ObjectRef::from_obj(&*server))
            .collect()
    };
    let (kind, triggers) = Installable::start(context, crd, owned(), instance, measured);
    (Some(kind), Some(triggers))
}

/// The watch of a kind of database clusters that the cluster may not have, if the role grants it. Those that
/// are not ours and are named in a spec are only followed as metadata. When the kind comes or goes, the servers
/// with a managed database are visited.
fn databases<K: Readable>(
    context: &Context,
    granted: bool,
    crd: &'static str,
    servers: &Primaries<DittoServer>,
    references: &References<DittoServer>,
) -> (Option<Installable<K>>, Option<Triggers<DittoServer>>) {
    if !granted {
        return (None, None);
    }
    let servers = servers.clone();
    let managed = move || {
        let all = servers.list_cached().into_iter();
        let managed =
            all.filter(|server| matches!(observe::source(server), Some(Source::Managed(_))));
        managed
            .map(|server| ObjectRef::from_obj(&*server))
            .collect()
    };
    let (kind, triggers) = Installable::start_with_references(
        context,
        crd,
        owned(),
        instance,
        managed,
        references.clone(),
    );
    (Some(kind), Some(triggers))
}

fn owned() -> WatchOptions {
    WatchOptions::owned(MANAGERS)
}

/// The server that an object belongs to by its labels or its controller.
fn instance(meta: &ObjectMeta) -> Vec<ObjectRef<DittoServer>> {
    let by_label = meta
        .labels
        .as_ref()
        .and_then(|labels| labels.get(labels::INSTANCE));
    let by_owner = meta
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.kind == "DittoServer" && owner.controller == Some(true))
        .map(|owner| &owner.name);
    let mut names: Vec<&String> = by_label.into_iter().chain(by_owner).collect();
    names.dedup();
    names
        .into_iter()
        .map(|name| ObjectRef::new(name).within(meta.namespace.as_deref().unwrap_or_default()))
        .collect()
}
