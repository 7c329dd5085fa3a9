//! Conditions of a `DittoServer`: their types, reasons, and how a new verdict meets the old one.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Types of conditions of a `DittoServer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Every input (Secrets and keys, the configuration) is there and valid.
    ConfigReady,
    /// The control-plane database can be used.
    DatabaseReady,
    /// The claims are there and bound.
    StorageReady,
    /// The pod serves, at the current or a previous revision.
    Available,
    /// A rollout is under way.
    Progressing,
    /// Something needs a person.
    Degraded,
    /// All of it together, the adapter-controller's conditions included.
    Ready,
    /// The adapter-controller's account works.
    Authenticated,
    /// The adapter-controller's view is current and every enabled adapter is healthy.
    AdaptersReady,
    /// Every LoadBalancer Service has an address.
    AddressesReady,
    /// Of a share: its server serves, allows it, and can be asked.
    ServerReady,
    /// Of a share: its stores are there as declared.
    StoresReady,
    /// Of a share: the server serves it.
    Exported,
    /// Of a share: permissions, accounts, options and limits are as declared.
    AccessApplied,
}

impl ConditionType {
    /// The conditions that the server-controller writes, all of them from its first visit.
    pub const OF_SERVER_CONTROLLER: [ConditionType; 7] = [
        ConditionType::Available,
        ConditionType::ConfigReady,
        ConditionType::DatabaseReady,
        ConditionType::Degraded,
        ConditionType::Progressing,
        ConditionType::Ready,
        ConditionType::StorageReady,
    ];

    /// The conditions that the adapter-controller writes, all of them from its first visit.
    pub const OF_ADAPTER_CONTROLLER: [ConditionType; 3] = [
        ConditionType::AdaptersReady,
        ConditionType::AddressesReady,
        ConditionType::Authenticated,
    ];

    /// The conditions of a DittoFSShare, all of them from the share-controller's first visit.
    pub const OF_SHARE: [ConditionType; 5] = [
        ConditionType::AccessApplied,
        ConditionType::Exported,
        ConditionType::Ready,
        ConditionType::ServerReady,
        ConditionType::StoresReady,
    ];

    /// The spelling in `status.conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionType::ConfigReady => "ConfigReady",
            ConditionType::DatabaseReady => "DatabaseReady",
            ConditionType::StorageReady => "StorageReady",
            ConditionType::Available => "Available",
            ConditionType::Progressing => "Progressing",
            ConditionType::Degraded => "Degraded",
            ConditionType::Ready => "Ready",
            ConditionType::Authenticated => "Authenticated",
            ConditionType::AdaptersReady => "AdaptersReady",
            ConditionType::AddressesReady => "AddressesReady",
            ConditionType::ServerReady => "ServerReady",
            ConditionType::StoresReady => "StoresReady",
            ConditionType::Exported => "Exported",
            ConditionType::AccessApplied => "AccessApplied",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell at the moment.
    Unknown,
}

impl Status {
    /// The spelling in `status.conditions[].status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition has its status. docs/server.md says for each what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason that the operator uses.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The spelling in `status.conditions[].reason`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)*
                }
            }
        }
    };
}

reasons! {
    /// All inputs are there and valid.
    InputsComplete,
    /// All inputs are there; the API asks for client certificates, and none is named for the
    /// operator's other controllers.
    ClientCertificateNotNamed,
    /// A referenced Secret does not exist.
    SecretMissing,
    /// A referenced Secret lacks the key.
    SecretKeyMissing,
    /// A referenced value cannot be used (too short, empty, too long).
    SecretInvalid,
    /// The data of a server exists, and the Secret with its administrator's password does not.
    AdminSecretMissing,
    /// An object with a name that we need belongs to somebody else.
    NameConflict,
    /// A referenced object could not be read.
    InputUnreadable,
    /// An adapter has the port of the API or of the metrics endpoint.
    PortConflict,
    /// The running server uses a file that the spec no longer asks for.
    StillInUse,
    /// The database is a file on the control-plane volume.
    SqliteOnVolume,
    /// The Secret with the database's connection is complete.
    ConnectionComplete,
    /// The database is ready, and takes the server's login.
    DatabaseAnswers,
    /// The cluster does not have the kind of the database's operator, or the controller may not use it.
    DatabaseOperatorMissing,
    /// The operator of the database says nothing about the cluster.
    DatabaseOperatorNotResponding,
    /// The database cluster that the spec names does not exist.
    DatabaseClusterMissing,
    /// The database cluster is on its way; the server has not used it yet.
    DatabasePending,
    /// The database cluster is paused.
    DatabasePaused,
    /// The database cluster is being deleted.
    DatabaseDeleting,
    /// The database cluster was deleted and made again under the same name.
    DatabaseReplaced,
    /// Metadata stores have not been given the new credentials yet.
    MetadataStoresPending,
    /// The spec names another kind of database than the one with the data.
    DatabaseKindChanged,
    /// The spec names another database than the one with the data.
    DatabaseNameChanged,
    /// Another server, or another store, uses the database.
    DatabaseInUse,
    /// The database cluster has another major version of PostgreSQL than the spec asks for.
    DatabaseVersionDiffers,
    /// The text with the connection cannot be understood.
    DSNInvalid,
    /// A login is being tried.
    DatabaseCheckPending,
    /// The database's host name has no address.
    DatabaseHostUnknown,
    /// Nothing answers at the database's address.
    DatabaseUnreachable,
    /// No secure connection to the database.
    DatabaseTLSFailed,
    /// The database does not accept role and password.
    DatabaseLoginRefused,
    /// The database server has no database of that name.
    DatabaseNotFound,
    /// The database server ends the connection for another reason.
    DatabaseRefused,
    /// This release cannot provide the requested database.
    ProviderNotSupported,
    /// A server of the Go operator has its data in SQLite although it asks for a managed database.
    DataStillInSQLite,
    /// All claims are bound.
    ClaimsBound,
    /// A claim is not bound yet.
    ClaimPending,
    /// A claim has lost its volume.
    ClaimLost,
    /// A claim is being deleted.
    ClaimTerminating,
    /// The claims do not exist yet.
    ClaimsNotCreated,
    /// The live claims are of another class, or are not those that the spec asks for.
    ClaimTemplatesDiffer,
    /// The claims have grown; the StatefulSet's claim templates follow later.
    ClaimTemplatesPending,
    /// A claim is bound when the pod is scheduled.
    ClaimWaitsForPod,
    /// The StorageClass of a claim does not exist.
    StorageClassMissing,
    /// The spec names no StorageClass and the cluster has no default one.
    NoDefaultStorageClass,
    /// A claim shall grow, and its StorageClass does not allow it.
    ExpansionNotSupported,
    /// The API server refuses to let a claim grow.
    ExpansionRefused,
    /// A claim is growing.
    ExpansionPending,
    /// A claim could not grow.
    ExpansionFailed,
    /// The pod serves.
    PodServing,
    /// The pod does not serve.
    PodNotServing,
    /// The pod is not created before its inputs are complete.
    WaitingForInputs,
    /// The server is stopped on request.
    Stopped,
    /// The rollout is complete.
    RolloutComplete,
    /// A new revision is being rolled out.
    RollingOut,
    /// A newer rendering of the pod waits for the next restart.
    TemplateUpdatePending,
    /// The rollout waits for inputs.
    RolloutBlocked,
    /// Nothing needs a person.
    AsExpected,
    /// The container ends again and again.
    CrashLooping,
    /// The server was killed because it used more memory than it may.
    OutOfMemory,
    /// The server panics.
    ServerPanicked,
    /// A block directory must be migrated by hand.
    LegacyLayout,
    /// A volume cannot be mounted.
    MountFailed,
    /// The rollout takes longer than it may.
    ProgressDeadlineExceeded,
    /// The image cannot be had.
    ImagePullFailed,
    /// No node takes the pod.
    Unschedulable,
    /// The container cannot be made.
    ContainerConfigInvalid,
    /// Every part is ready.
    AllReady,
    /// The adapter-controller has not spoken for this generation.
    AdapterStatusMissing,
    /// A condition of the adapter-controller does not hold.
    AdaptersNotReady,
    /// The API server refuses a child, by validation, admission or lack of rights.
    ChildRefused,
    /// Writes are stopped by annotation.
    Paused,
    /// The object is being deleted.
    Deleting,
    /// The server does not serve at the moment, so nothing can be asked.
    ServerNotAvailable,
    /// The server is about to be asked for the first time.
    NotPolledYet,
    /// The adapter-controller's account works.
    AccountWorks,
    /// Nothing answers at the address of the API.
    Unreachable,
    /// No secure connection to the API.
    TLSError,
    /// The server does not accept the account.
    Unauthorized,
    /// The server does not allow the account what it needs.
    Forbidden,
    /// The server asks for fewer requests.
    RateLimited,
    /// The server answers with an error of its own.
    ServerError,
    /// The answer is not one that this server gives.
    UnexpectedAnswer,
    /// Every enabled adapter is healthy.
    AdaptersHealthy,
    /// The server serves no adapter.
    NoAdapterEnabled,
    /// An adapter is being started.
    AdapterStarting,
    /// An enabled adapter does not listen.
    AdapterUnhealthy,
    /// The last look at the server failed; what is known is from before.
    ViewOutdated,
    /// What the spec declares is not in force.
    SettingsNotApplied,
    /// What the spec declares is stored in the server, which takes it at a later start.
    RestartAwaited,
    /// No load balancer is asked for.
    NoLoadBalancer,
    /// Every load balancer has an address.
    AddressesAssigned,
    /// A load balancer has no address yet.
    AddressPending,
    /// A load balancer has had no address for longer than it may take.
    ExternalIPPending,
    /// The server of a share can be asked.
    ServerAnswers,
    /// There is no DittoServer of that name.
    ServerMissing,
    /// The server is being deleted.
    ServerDeleting,
    /// The server does not take shares of this namespace.
    NamespaceNotAllowed,
    /// The labels of namespaces cannot be read.
    NamespacesNotReadable,
    /// The stores of a share are as declared.
    StoresInPlace,
    /// A store that shall exist does not.
    StoreMissing,
    /// A store is not as declared, and cannot be changed.
    StoreDiffers,
    /// The server does not take a store.
    StoreRefused,
    /// A store does not work at the moment.
    StoreUnhealthy,
    /// The server has a store's new password, and uses it from its next start on.
    ServerRestartNeeded,
    /// There is no volume for contents.
    NoContentVolume,
    /// A database for metadata cannot be used yet.
    DatabaseNotReady,
    /// A value of the spec cannot be used.
    ValueUnusable,
    /// The server serves the share.
    Served,
    /// The spec switches the share off.
    SwitchedOff,
    /// Something else is waited for first.
    WaitingForStores,
    /// The server has the share and could not load it.
    ShareNotLoaded,
    /// The server does not take the share.
    ShareRefused,
    /// The volumes that held the files were replaced.
    DataVolumeReplaced,
    /// What the spec declares about access is in force.
    AccessInForce,
    /// It is in force; ranges of addresses hold back NFSv3 only.
    NFSv3Only,
    /// A user, group or netgroup of the spec does not exist in the server.
    GranteeMissing,
    /// Another share of the namespace keeps the account, and describes it otherwise.
    AccountDiffers,
    /// The server does not take something of what the spec declares.
    AccessRefused,
    /// The share is being removed from the server.
    RemovingShare,
}

/// A verdict about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which condition.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// For people: what is, and what to do. No counters, no times.
    pub message: String,
}

/// Longest message of a condition that the operator writes, in bytes.
const MAX_MESSAGE: usize = 2048;

impl Verdict {
    /// A verdict; the message is cut to 2048 bytes.
    pub fn new(
        kind: ConditionType,
        status: Status,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            let cut = (0..=MAX_MESSAGE)
                .rev()
                .find(|&at| message.is_char_boundary(at))
                .unwrap_or(0);
            message.truncate(cut);
        }
        Verdict {
            kind,
            status,
            reason,
            message,
        }
    }

    /// The condition to write: `lastTransitionTime` is `now` only where the status changes.
    pub fn over(self, previous: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let since = find(previous, self.kind)
            .filter(|condition| condition.status == self.status.as_str())
            .map_or(Time(now), |condition| {
                condition.last_transition_time.clone()
            });
        Condition {
            type_: self.kind.as_str().to_owned(),
            status: self.status.as_str().to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time: since,
        }
    }
}

/// A status with conditions.
pub trait Conditions {
    /// The conditions.
    fn conditions(&self) -> &[Condition];
}

impl Conditions for crate::v1alpha1::DittoServerStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Conditions for crate::v1alpha1::DittoFSShareStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// The condition of the given type, if there is one.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: Status) -> Verdict {
        Verdict::new(
            ConditionType::Available,
            status,
            Reason::PodServing,
            "serves",
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = verdict(Status::True).over(&[], 1, at(100));
        let second = verdict(Status::True).over(std::slice::from_ref(&first), 2, at(200));
        assert_eq!(second.last_transition_time, first.last_transition_time);
        assert_eq!(second.observed_generation, Some(2));
        let third = verdict(Status::False).over(&[second], 2, at(300));
        assert_eq!(third.last_transition_time, Time(at(300)));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "é".repeat(2000);
        let cut = Verdict::new(
            ConditionType::Degraded,
            Status::True,
            Reason::CrashLooping,
            long,
        );
        assert_eq!(cut.message.len(), 2048);
    }

    #[test]
    fn reasons_have_the_form_that_kubernetes_asks_for() {
        for reason in Reason::ALL {
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn every_reason_has_an_entry_in_an_administrators_page() {
        let server = include_str!("../../../docs/server.md");
        let share = include_str!("../../../docs/share.md");
        for reason in Reason::ALL {
            let entry = format!("| `{}` |", reason.as_str());
            assert!(
                server.contains(&entry) || share.contains(&entry),
                "docs/server.md and docs/share.md have no entry for {}",
                reason.as_str()
            );
        }
    }
}
