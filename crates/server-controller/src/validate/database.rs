//! Whether the database can be used: its cluster, its Secrets, and what a trial login brought.

use api_types::annotations::{ACCEPT_DATABASE, RESTART_DIGEST, SKIP_DATABASE_CHECK};
use api_types::conditions::Reason;
use api_types::v1alpha1::{DatabaseProvider, DatabaseStatus};
use api_types::{labels, names};
use configgen::Concern;
use kube::ResourceExt;
use percona_bridge::{ClusterState, Connection, Lookup, Managed, Parts, Seen, Source};
use resources::Instance;

use super::Problem;
use crate::observe::{Observed, SecretState};

/// What is known of the database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseView {
    /// The connection, where it is complete.
    pub connection: Option<Connection>,
    /// What is wrong and is only said: the running pod goes on, and so does everything else.
    pub notes: Vec<Problem>,
    /// UID of the cluster that the server uses, or shall use.
    pub cluster_uid: Option<String>,
    /// Trial logins that are wanted.
    pub trials: Vec<Parts>,
    /// The running pod would be restarted by what is in force now.
    pub restarts: bool,
}

/// Value of the annotation that has an empty cluster made in the place of one that is gone.
const EMPTY: &str = "empty";

fn problem(reason: Reason, message: impl Into<String>) -> Problem {
    Problem {
        concern: Concern::Database,
        reason,
        message: message.into(),
    }
}

/// Looks at the database that `source` names; adds what keeps the server from being started with it to
/// `problems`.
pub(super) fn view(
    observed: &Observed,
    instance: &Instance<'_>,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> DatabaseView {
    let mut view = DatabaseView::default();
    if let Some(changed) = changed_kind(observed, instance, source) {
        problems.push(changed);
    }
    let before = problems.len();
    if let Source::Managed(managed) = source {
        look_at_cluster(observed, instance, managed, &mut view, problems);
    }
    let read = |name: &str, key: &str| match observed.secrets.get(name) {
        Some(SecretState::Present(secret)) => {
            secret.value(key).map_or(Lookup::NoKey, Lookup::Value)
        }
        Some(SecretState::Refused(why)) => Lookup::Refused(why),
        Some(SecretState::Missing) | None => Lookup::NoSecret,
    };
    match percona_bridge::connection(instance.name, source, read) {
        Ok(connection) => view.connection = connection,
        Err(flaws) => {
            // What the operator of the database makes is there when the cluster is.
            let waits = problems.len() > before;
            let flaws = flaws.into_iter();
            let flaws = flaws.filter(|flaw| !waits || flaw.reason != Reason::SecretMissing);
            problems.extend(flaws.map(|flaw| problem(flaw.reason, flaw.message)));
        }
    }
    if let Some(flaw) = percona_bridge::backups(source, read) {
        let said = problem(flaw.reason, flaw.message);
        if used(observed, instance).is_some() {
            view.notes.push(said);
        } else {
            problems.push(said);
        }
    }
    if let Some(connection) = &view.connection {
        problems.extend(another_name(observed, instance, source, connection));
        let own = &connection.parts.database;
        if source.metadata().contains(own) {
            problems.push(problem(
                Reason::DatabaseInUse,
                format!(
                    "metadataDatabases names {own}, which is the database of the control plane: their tables have the same names. Remove it from the list."
                ),
            ));
        }
    }
    shared(observed, instance, &mut view, problems);
    let derived = names::database_connection(instance.name);
    if let (Some(connection), Some(SecretState::Present(secret))) =
        (&view.connection, observed.secrets.get(&derived))
        && connection.secret == derived
        && !instance.owns(&secret.object)
    {
        problems.push(problem(
            Reason::NameConflict,
            format!("Secret {derived} belongs to somebody else: rename or remove it."),
        ));
    }
    view
}

/// The database that the server uses, as the status tells; `None` before its first start.
pub(crate) fn used<'o>(
    observed: &'o Observed,
    instance: &Instance<'_>,
) -> Option<&'o DatabaseStatus> {
    let set = observed.live.stateful_set.as_deref();
    set.filter(|set| instance.owns(*set))?;
    observed.server.status.as_ref()?.database.as_ref()
}

/// The database with the server's data, as the status tells: also where the StatefulSet was deleted and the claim
/// with the control plane's files was not.
fn known<'o>(observed: &'o Observed, instance: &Instance<'_>) -> Option<&'o DatabaseStatus> {
    let has_run = super::has_data(observed, instance);
    let status = observed.server.status.as_ref().filter(|_| has_run)?;
    status.database.as_ref()
}

/// The kinds as the spec spells them.
fn spelled(provider: DatabaseProvider) -> &'static str {
    match provider {
        DatabaseProvider::Sqlite => "sqlite",
        DatabaseProvider::Secret => "secret",
        DatabaseProvider::Percona => "percona",
        DatabaseProvider::CloudNativePg => "cloudnativePG",
    }
}

/// The schema refuses most changes of the kind; what it cannot see (whether a server was taken over) is
/// guarded here.
fn changed_kind(observed: &Observed, instance: &Instance<'_>, source: &Source) -> Option<Problem> {
    let before = known(observed, instance)?.provider;
    let database = instance.spec.database.as_ref();
    let moved = database.and_then(|database| database.migrated_from) == Some(before);
    (before != source.provider() && !moved).then(|| {
        problem(
            Reason::DatabaseKindChanged,
            format!(
                "The control plane is in a database of the kind {}, and the spec names one of the kind {}: the running pod stays as it is. Move the data and set spec.database.migratedFrom to {}, or set the spec back.",
                spelled(before),
                spelled(source.provider()),
                spelled(before),
            ),
        )
    })
}

/// The schema fixes the name in each of its spellings, and not from one to the other.
fn another_name(
    observed: &Observed,
    instance: &Instance<'_>,
    source: &Source,
    connection: &Connection,
) -> Option<Problem> {
    let Source::Managed(_) = source else {
        return None;
    };
    let known = known(observed, instance)?;
    let before = known.name.as_ref()?;
    let now = &connection.parts.database;
    (known.provider == source.provider() && before != now).then(|| {
        problem(
            Reason::DatabaseNameChanged,
            format!(
                "The control plane is in the database {before}, and the spec names {now}: the running pod stays as it is. Set databaseName to {before}."
            ),
        )
    })
}

/// Two servers with one database destroy each other's data: the younger one is not started, and one that runs is
/// told of.
fn shared(
    observed: &Observed,
    instance: &Instance<'_>,
    view: &mut DatabaseView,
    problems: &mut Vec<Problem>,
) {
    let rivals = &observed.database.rivals;
    if rivals.is_empty() {
        return;
    }
    let said = problem(
        Reason::DatabaseInUse,
        format!(
            "DittoServer {} uses the same database, and each writes as if it were alone: name another database.",
            rivals.join(", ")
        ),
    );
    if used(observed, instance).is_some() {
        view.notes.push(said);
    } else {
        problems.push(said);
    }
}

fn look_at_cluster(
    observed: &Observed,
    instance: &Instance<'_>,
    managed: &Managed,
    view: &mut DatabaseView,
    problems: &mut Vec<Problem>,
) {
    let of_kind = |status: &DatabaseStatus| {
        let uid = status.cluster_uid.clone();
        uid.filter(|_| status.provider == managed.provider().provider())
    };
    let known = known(observed, instance).and_then(of_kind);
    let used = used(observed, instance).and_then(of_kind);
    let seen = observed.database.cluster(managed);
    let found = seen.and_then(|seen| seen.meta.uid.clone());
    if let (Some(known), Some(found)) = (&known, &found)
        && known != found
        && observed.server.annotations().get(ACCEPT_DATABASE) != Some(found)
    {
        view.cluster_uid = Some(known.clone());
        problems.push(replaced(instance, managed, found));
        return;
    }
    view.cluster_uid = found.or(known);
    if let Some(said) = state(observed, instance, managed, seen, used.is_some()) {
        // What has answered once may come and go: the pod has its connections, and takes them up again.
        let fatal = said.reason == Reason::NameConflict;
        if used.is_some() && !fatal {
            view.notes.push(said);
        } else {
            problems.push(said);
        }
    }
}

fn replaced(instance: &Instance<'_>, managed: &Managed, uid: &str) -> Problem {
    let (kind, cluster) = (managed.provider().kind(), &managed.cluster);
    problem(
        Reason::DatabaseReplaced,
        format!(
            "{kind} {cluster} was deleted and made again: it may be empty, and the running pod stays as it is. If it holds the server's data, say so: kubectl annotate -n {} dittoserver {} {ACCEPT_DATABASE}={uid} --overwrite",
            instance.namespace, instance.name
        ),
    )
}

/// What keeps the cluster from being used; `None` when it is ready.
fn state(
    observed: &Observed,
    instance: &Instance<'_>,
    managed: &Managed,
    seen: Option<Seen<'_>>,
    used: bool,
) -> Option<Problem> {
    let provider = managed.provider();
    let (kind, cluster, operator) = (provider.kind(), &managed.cluster, provider.operator());
    if !observed.database.serves(managed) {
        return Some(problem(
            Reason::DatabaseOperatorMissing,
            format!(
                "The cluster does not serve {}, or the server-controller may not use it: install the {operator}, and the component deploy/components/{} of this operator.",
                provider.crd(),
                component(provider.provider()),
            ),
        ));
    }
    if managed.is_ours()
        && let Some((wanted, of_image)) = provider.mismatch()
    {
        return Some(problem(
            Reason::DatabaseVersionDiffers,
            format!(
                "spec.database.percona.postgresVersion is {wanted}, and image has PostgreSQL {of_image}: the database would not start, so nothing is written to {kind} {cluster}. Set both to the same major version."
            ),
        ));
    }
    let pending = if used {
        Reason::DatabaseNotReady
    } else {
        Reason::DatabasePending
    };
    let Some(seen) = seen else {
        return Some(if is_lost(observed, instance, managed) {
            problem(
                Reason::DatabaseClusterMissing,
                format!(
                    "{kind} {cluster} is gone, and its volumes with it. Nothing is made in its place, so that you can restore it: make it from a backup under this name, with {}. To begin with an empty one instead: kubectl annotate -n {} dittoserver {} {ACCEPT_DATABASE}={EMPTY} --overwrite",
                    own_labels(instance),
                    instance.namespace,
                    instance.name
                ),
            )
        } else if managed.is_ours() {
            problem(pending, format!("{kind} {cluster} is being made."))
        } else {
            problem(
                Reason::DatabaseClusterMissing,
                format!("{kind} {cluster}, which clusterRef names, does not exist: create it."),
            )
        });
    };
    if managed.is_ours() && !is_ours(observed, instance, managed) {
        return Some(problem(
            Reason::NameConflict,
            format!(
                "{kind} {cluster} belongs to somebody else: rename or remove it. If it holds this server's data, give it {}.",
                own_labels(instance)
            ),
        ));
    }
    if let Some((live, wanted)) = managed.other_version(seen) {
        let remedy = match provider.provider() {
            DatabaseProvider::CloudNativePg => format!(
                "its operator would move the data at once, with the database stopped, so nothing is written to it. Set spec.database.cloudnativePG.imageName to an image of PostgreSQL {live}; to move the data, change imageName of the Cluster yourself first."
            ),
            _ => format!(
                "its data would not open with another major version, so nothing is written to it. Set spec.database.percona.postgresVersion to {live} and image to one of that version, or let a PerconaPGUpgrade move the data first."
            ),
        };
        return Some(problem(
            Reason::DatabaseVersionDiffers,
            format!(
                "{kind} {cluster} has PostgreSQL {live}, and the spec asks for {wanted}: {remedy}"
            ),
        ));
    }
    if seen.meta.deletion_timestamp.is_some() {
        return Some(problem(
            Reason::DatabaseDeleting,
            format!("{kind} {cluster} is being deleted."),
        ));
    }
    match provider.state(seen) {
        ClusterState::Ready => None,
        ClusterState::Paused => Some(problem(
            Reason::DatabasePaused,
            format!("{kind} {cluster} is paused: let it go on."),
        )),
        ClusterState::Starting(said) => Some(problem(
            pending,
            format!("{kind} {cluster} is not ready: {said}."),
        )),
        ClusterState::Silent if observed.database.is_silent => {
            let warning = observed.database.warning.as_deref();
            let warning = warning.map_or_else(
                || "There is no warning event about it".to_owned(),
                |warning| {
                    format!(
                        "The newest warning about it: {}",
                        warning.trim_end_matches('.')
                    )
                },
            );
            Some(problem(
                Reason::DatabaseOperatorNotResponding,
                format!(
                    "The {operator} has said nothing about {kind} {cluster}: see that it runs and watches this namespace. {warning}."
                ),
            ))
        }
        ClusterState::Silent => Some(problem(
            pending,
            format!("The {operator} has said nothing about {kind} {cluster} yet."),
        )),
    }
}

fn component(provider: DatabaseProvider) -> &'static str {
    match provider {
        DatabaseProvider::CloudNativePg => "cloudnative-pg",
        DatabaseProvider::Sqlite | DatabaseProvider::Secret | DatabaseProvider::Percona => {
            "percona"
        }
    }
}

/// Whether a cluster with the server's data is gone for good: what is made anew under its name would be empty.
/// Volumes of a PerconaPGCluster stay, and it finds them again.
pub(crate) fn is_lost(observed: &Observed, instance: &Instance<'_>, managed: &Managed) -> bool {
    let provider = managed.provider().provider();
    let had = known(observed, instance)
        .is_some_and(|known| known.provider == provider && known.cluster_uid.is_some());
    provider == DatabaseProvider::CloudNativePg
        && managed.is_ours()
        && had
        && observed.database.cluster(managed).is_none()
        && observed
            .server
            .annotations()
            .get(ACCEPT_DATABASE)
            .is_none_or(|value| value != EMPTY)
}

/// The labels by which a cluster is known as that of the server.
fn own_labels(instance: &Instance<'_>) -> String {
    format!(
        "the labels {}={} and {}={}",
        labels::MANAGED_BY,
        labels::OPERATOR,
        labels::INSTANCE,
        instance.name
    )
}

/// Whether the live cluster of `managed` carries our labels.
pub(crate) fn is_ours(observed: &Observed, instance: &Instance<'_>, managed: &Managed) -> bool {
    let live = &observed.database.live;
    match managed.provider().provider() {
        DatabaseProvider::CloudNativePg => {
            let live = live.cloudnative_pg.as_deref();
            live.is_some_and(|live| instance.owns(live))
        }
        _ => {
            let live = live.percona.as_deref();
            live.is_some_and(|live| instance.owns(live))
        }
    }
}

/// Asks for trial logins where something would be started with what was not tried, and judges by what they
/// brought. `digest` is that of the pod that would be made.
pub(super) fn try_logins(
    observed: &Observed,
    instance: &Instance<'_>,
    source: &Source,
    digest: Option<&str>,
    view: &mut DatabaseView,
    problems: &mut Vec<Problem>,
) {
    let by_older_field = matches!(source, Source::Secret(secret) if secret.by_older_field);
    let skipped = observed.server.annotations().get(SKIP_DATABASE_CHECK);
    let (Some(connection), Some(digest)) = (&view.connection, digest) else {
        return;
    };
    let set = observed.live.stateful_set.as_deref();
    let live = set.filter(|set| instance.owns(*set)).and_then(|set| {
        let template = set.spec.as_ref()?.template.metadata.as_ref()?;
        template.annotations.as_ref()?.get(RESTART_DIGEST)
    });
    let changed = live.is_none_or(|live| live != digest);
    view.restarts = changed && live.is_some();
    if by_older_field || skipped.is_some_and(|value| value == "true") {
        return;
    }
    let trials = &observed.database.trials;
    let parts = &connection.parts;
    if changed {
        view.trials.push(parts.clone());
        match trials.get(&parts.database) {
            Some(Ok(())) => {}
            Some(Err(trouble)) => problems.push(problem(trouble.reason, &trouble.message)),
            None => problems.push(problem(
                Reason::DatabaseCheckPending,
                format!("A login to {}:{} is being tried.", parts.host, parts.port),
            )),
        }
    }
    for name in source.metadata() {
        if is_metadata_ready(observed, instance, name) {
            continue;
        }
        view.trials.push(parts.of_database(name));
        if let Some(Err(trouble)) = trials.get(name) {
            let late = trouble.reason == Reason::DatabaseNotFound
                && matches!(source, Source::Managed(managed) if !managed.provider().adds_databases());
            let late = if late {
                format!(
                    " A Cluster makes such databases when it is made itself: create {name} with the owner {} by hand, or with a Database object.",
                    parts.user
                )
            } else {
                String::new()
            };
            view.notes.push(problem(
                trouble.reason,
                format!("metadataDatabases: {}{late}", trouble.message),
            ));
        }
    }
}

/// A server opens its metadata stores at its start, and ends where it cannot. So it is not restarted with new
/// credentials before it has them for its stores too.
pub(super) fn await_stores(observed: &Observed, problems: &mut Vec<Problem>) {
    let outdated = &observed.database.outdated;
    if !outdated.is_empty() {
        problems.push(problem(
            Reason::MetadataStoresPending,
            format!(
                "The running server goes on with its old connections until the share-controller has given its metadata stores the new ones: DittoFSShare {}. If this does not pass, see to the share-controller.",
                outdated.join(", ")
            ),
        ));
    }
}

/// Whether the database `name` for a metadata store has taken a login.
pub(crate) fn is_metadata_ready(observed: &Observed, instance: &Instance<'_>, name: &str) -> bool {
    let skipped = observed.server.annotations().get(SKIP_DATABASE_CHECK);
    if skipped.is_some_and(|value| value == "true")
        || matches!(observed.database.trials.get(name), Some(Ok(())))
    {
        return true;
    }
    let before = used(observed, instance).and_then(|used| used.metadata.as_ref());
    let mut before = before.into_iter().flatten();
    before.any(|known| known.name == name && known.ready)
}
