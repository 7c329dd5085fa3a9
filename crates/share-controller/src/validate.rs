//! The second step: what is to be done about the share, or why nothing can be. Pure.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use api_types::annotations;
use api_types::conditions::{ConditionType, Reason, find};
use api_types::names::Volume;
use api_types::reference::SecretKeyRef;
use api_types::v1alpha1::{
    ClaimStatus, LocalBlockStoreType, MetadataStoreType, PostgresStore, S3, UserAccess,
};
use api_types::{DittoFSShare, DittoServer};
use controller_runtime::{HeldSecret, SecretState};
use kube::ResourceExt;
use secrecy::SecretString;

use crate::declared::{Declared, Unusable};
use crate::observe::{Consent, Observed, database_of};
use crate::server::Target;
use crate::stores::{Connection, Credentials, NotYet, Secrets, Stores};
use crate::wish::{self, Account, BUCKET, DATABASE, Goal, Obstacle, Pushed, Version, Wish};

/// Whether the annotation `name` of `share` says yes.
pub fn says_yes(share: &DittoFSShare, name: &str) -> bool {
    share
        .annotations()
        .get(name)
        .is_some_and(|value| value == "true")
}

/// The server that can be asked, or why there is none.
pub fn gate(observed: &Observed) -> Result<Target, Obstacle> {
    let reference = &observed.share.spec.server_ref;
    let name = &reference.name;
    let Some(server) = &observed.server else {
        return Err(Obstacle::new(
            Reason::ServerMissing,
            match &reference.namespace {
                Some(namespace) => format!(
                    "There is no DittoServer {name} in namespace {namespace}, or the operator does not serve that namespace: create it, or delete the share and create it with the right serverRef."
                ),
                None => format!(
                    "There is no DittoServer {name} in this namespace: create it, or delete the share and create it with the right serverRef."
                ),
            },
        ));
    };
    match observed.consent {
        Consent::Given => {}
        Consent::Refused => {
            return Err(Obstacle::new(
                Reason::NamespaceNotAllowed,
                format!(
                    "DittoServer {name} takes no shares of this namespace, and nothing is changed on it: have spec.shares.allowedNamespaces of the server take the namespace."
                ),
            ));
        }
        Consent::Unreadable => {
            return Err(Obstacle::new(
                Reason::NamespacesNotReadable,
                format!(
                    "DittoServer {name} takes shares of namespaces with certain labels, and the operator may not read them: bind the ClusterRole dittofs-share-controller in this namespace, or set spec.shares.allowedNamespaces.from to All."
                ),
            ));
        }
    }
    target(server)
}

/// The server, if it can be asked, or why it cannot.
pub fn target(server: &DittoServer) -> Result<Target, Obstacle> {
    let name = server.name_any();
    if server.metadata.deletion_timestamp.is_some() {
        return Err(Obstacle::new(
            Reason::ServerDeleting,
            format!("DittoServer {name} is being deleted."),
        ));
    }
    let status = server.status.as_ref();
    let available = status.and_then(|status| find(&status.conditions, ConditionType::Available));
    let api = status.and_then(|status| status.api.clone());
    match (available, api) {
        (Some(available), Some(api)) if available.status == "True" => Ok(Target {
            namespace: server.namespace().unwrap_or_default(),
            name: server.name_any(),
            uid: server.uid().unwrap_or_default(),
            api,
            available_since: available.last_transition_time.0.to_string(),
            spec: Box::new(server.spec.clone()),
            paused: server
                .annotations()
                .get(annotations::PAUSED)
                .is_some_and(|value| value == "true"),
        }),
        _ if server.spec.replicas == 0 => Err(Obstacle::new(
            Reason::ServerNotAvailable,
            format!("DittoServer {name} is stopped: set its spec.replicas to 1 to start it."),
        )),
        _ => Err(Obstacle::new(
            Reason::ServerNotAvailable,
            format!(
                "DittoServer {name} does not serve at the moment: see its condition Available."
            ),
        )),
    }
}

/// What is to be done about the share on its server.
///
/// # Errors
/// When a value of the spec cannot be used.
pub fn wish(observed: &Observed, server: &DittoServer) -> Result<Wish, Unusable> {
    let share = &observed.share;
    let mut versions = Pushed::new();
    let deleted = share.metadata.deletion_timestamp.is_some();
    let stores = stores(observed, server, &mut versions);
    let accounts: Vec<Account> = share
        .spec
        .access
        .users
        .iter()
        .filter_map(|user| account(observed, user))
        .collect();
    let status = share.status.as_ref();
    let mut wish = Wish {
        namespace: share.namespace().unwrap_or_default(),
        name: share.name_any(),
        uid: share.uid().unwrap_or_default(),
        generation: share.metadata.generation.unwrap_or_default(),
        fingerprint: 0,
        goal: if deleted {
            Goal::Remove
        } else if says_yes(share, annotations::PAUSED) {
            Goal::Look
        } else {
            Goal::Keep
        },
        declared: Declared::of(share)?,
        stores,
        accounts,
        versions,
        pushed: wish::pushed_of(status.and_then(|status| status.pushed.as_ref())),
        own_connection: share
            .spec
            .metadata_store
            .postgres
            .as_ref()
            .is_some_and(|postgres| postgres.secret_ref.is_some()),
        awaited: wish::awaited_of(status.and_then(|status| status.awaiting_restart.as_ref())),
        known_id: status.and_then(|status| status.share_id.clone()),
        claims_before: status
            .and_then(|status| status.claims.clone())
            .unwrap_or_default(),
        claims: claims(share, server),
        adopt: says_yes(share, annotations::ADOPT),
        recreate_empty: says_yes(share, annotations::RECREATE_EMPTY),
    };
    wish.fingerprint = fingerprint(&wish);
    Ok(wish)
}

/// Everything of a wish that is no result of the work on it.
fn fingerprint(wish: &Wish) -> u64 {
    let Wish {
        namespace: _,
        name: _,
        uid,
        generation,
        fingerprint: _,
        goal,
        // The generation stands for the spec.
        declared: _,
        stores,
        accounts,
        versions,
        pushed: _,
        // Part of the spec, and a result.
        own_connection: _,
        awaited: _,
        known_id: _,
        claims_before: _,
        claims,
        adopt,
        recreate_empty,
    } = wish;
    let mut hasher = DefaultHasher::new();
    (
        uid,
        generation,
        *goal as u8,
        versions,
        adopt,
        recreate_empty,
    )
        .hash(&mut hasher);
    let obstacle = |obstacle: &Obstacle| (obstacle.reason, obstacle.message.clone());
    stores.as_ref().err().map(obstacle).hash(&mut hasher);
    for account in accounts {
        (&account.name, &account.source).hash(&mut hasher);
        let version = account.password.as_ref().map(|(_, version)| version);
        version.map_err(obstacle).hash(&mut hasher);
    }
    for claim in claims {
        (&claim.name, &claim.uid).hash(&mut hasher);
    }
    hasher.finish()
}

/// Those of the server's claims that the share lies on.
fn claims(share: &DittoFSShare, server: &DittoServer) -> Vec<ClaimStatus> {
    let name = server.name_any();
    let spec = &share.spec;
    let on_metadata = matches!(
        spec.metadata_store.kind,
        MetadataStoreType::Badger | MetadataStoreType::Sqlite
    );
    let on_content = spec.block_store.local.kind == LocalBlockStoreType::Fs;
    let mut wanted = Vec::new();
    if on_metadata {
        wanted.push(Volume::Metadata.claim(&name));
    }
    if on_content && spec.block_store.remote.is_none() {
        // With a bucket it is a cache.
        wanted.push(Volume::Content.claim(&name));
    }
    let storage = server
        .status
        .as_ref()
        .and_then(|status| status.storage.as_ref());
    storage
        .into_iter()
        .flat_map(|storage| &storage.claims)
        .filter(|claim| wanted.contains(&claim.name))
        .cloned()
        .collect()
}

fn stores(
    observed: &Observed,
    server: &DittoServer,
    versions: &mut Pushed,
) -> Result<Stores, Obstacle> {
    let share = &observed.share;
    let block = &share.spec.block_store;
    if block.local.kind == LocalBlockStoreType::Fs && server.spec.storage.content_size.is_none() {
        return Err(Obstacle::new(
            Reason::NoContentVolume,
            format!(
                "DittoServer {} has no volume for contents, so files would be lost with its pod: create a server with spec.storage.contentSize, which cannot be set later, or use blockStore.local.type memory with a remote store.",
                share.spec.server_ref.name
            ),
        ));
    }
    let mut secrets = Secrets::default();
    if let Some(remote) = &block.remote {
        let name = &remote.s3.credentials().0;
        let secret = present(observed.secrets.get(name), name)?;
        secrets.s3 = Some(Credentials {
            access_key_id: text(secret, name, S3::ACCESS_KEY_ID)?,
            secret_access_key: text(secret, name, S3::SECRET_ACCESS_KEY)?,
        });
        versions.insert(BUCKET.to_owned(), version(secret));
    }
    if let Some(postgres) = &share.spec.metadata_store.postgres {
        let (connection, version) = connection(observed, server, postgres)?;
        secrets.postgres = Some(connection);
        versions.insert(DATABASE.to_owned(), version);
    }
    Stores::of(share, &secrets).map_err(|error| match error {
        NotYet::Unusable(unusable) => unusable_value(&unusable),
        NotYet::Connection | NotYet::Credentials => {
            Obstacle::new(Reason::SecretMissing, format!("{error}."))
        }
    })
}

/// What is said of a value that the schema lets through and that cannot be used.
pub fn unusable_value(unusable: &Unusable) -> Obstacle {
    Obstacle::new(
        Reason::ValueUnusable,
        format!("spec.{unusable}: correct it."),
    )
}

fn connection(
    observed: &Observed,
    server: &DittoServer,
    postgres: &PostgresStore,
) -> Result<(Connection, Version), Obstacle> {
    let (secret, name) = match (&postgres.secret_ref, &postgres.database) {
        (Some(reference), _) => {
            let name = reference.name.0.clone();
            (observed.secrets.get(&name), name)
        }
        (None, database) => {
            let database = database.clone().unwrap_or_default();
            let known = database_of(&observed.share, server);
            let reference = known
                .filter(|known| known.ready)
                .and_then(|known| known.secret_ref.clone());
            let Some(reference) = reference else {
                return Err(Obstacle::new(
                    Reason::DatabaseNotReady,
                    format!(
                        "The server's status shows no database {database} that can be used: have spec.database.metadataDatabases of the DittoServer name it and wait for it, or use metadataStore.postgres.secretRef."
                    ),
                ));
            };
            (observed.database.as_ref(), reference.name.0)
        }
    };
    let secret = present(secret, &name)?;
    let plain = |key: &str| -> Result<String, Obstacle> {
        let value = secret.value(key).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| key_missing(&name, key))?;
        String::from_utf8(value.to_vec()).map_err(|_| not_text(&name, key))
    };
    let optional = |key: &str| match secret.value(key) {
        Some(value) if !value.is_empty() => plain(key).map(Some),
        _ => Ok(None),
    };
    let port = optional("port")?;
    let port = port
        .map(|port| {
            port.trim().parse::<u16>().map_err(|_| {
                Obstacle::new(
                    Reason::SecretInvalid,
                    format!("The port in Secret {name} is not a number from 1 to 65535."),
                )
            })
        })
        .transpose()?;
    // Other names are those that other operators give the keys.
    let either = |key: &str, other: &str| match optional(key)? {
        Some(value) => Ok(value),
        None => optional(other)?.ok_or_else(|| key_missing(&name, key)),
    };
    // The server's own spec may say it too, and goes before the Secret.
    let of_server = database_of(&observed.share, server).and_then(|known| known.sslmode);
    let sslmode = match of_server.filter(|_| postgres.secret_ref.is_none()) {
        Some(mode) => Some(mode.as_str().to_owned()),
        None => optional("sslmode")?,
    };
    let connection = Connection {
        host: plain("host")?,
        port,
        // The Secret of the server's databases names that of the control plane.
        database: match &postgres.database {
            Some(database) => database.clone(),
            None => either("database", "dbname")?,
        },
        user: either("user", "username")?,
        password: SecretString::from(plain("password")?),
        sslmode: match &postgres.database {
            // A store takes no CA of its own, so the server could not tell whose certificate it is.
            Some(_) => sslmode.filter(|mode| !mode.starts_with("verify-")),
            None => sslmode,
        },
    };
    Ok((connection, version(secret)))
}

fn account(observed: &Observed, user: &UserAccess) -> Option<Account> {
    let UserAccess {
        name,
        permission: _,
        password_secret_ref,
        uid,
        gid,
    } = user;
    let reference = password_secret_ref.as_ref()?;
    Some(Account {
        name: name.clone(),
        uid: *uid,
        gid: *gid,
        source: format!("{}/{}", reference.name, reference.key),
        password: password(observed, reference),
    })
}

fn password(
    observed: &Observed,
    reference: &SecretKeyRef,
) -> Result<(SecretString, Version), Obstacle> {
    let name = &reference.name.0;
    let secret = present(observed.secrets.get(name), name)?;
    let password = text(secret, name, &reference.key.0)?;
    let length = secrecy::ExposeSecret::expose_secret(&password).len();
    // The bounds of the server (server contract 3.4).
    if !(8..=72).contains(&length) {
        return Err(Obstacle::new(
            Reason::SecretInvalid,
            format!(
                "The password under {} in Secret {name} does not have 8 to 72 characters: change it.",
                reference.key
            ),
        ));
    }
    Ok((password, version(secret)))
}

fn present<'a>(state: Option<&'a SecretState>, name: &str) -> Result<&'a HeldSecret, Obstacle> {
    match state {
        Some(SecretState::Present(secret)) => Ok(secret),
        Some(SecretState::Refused(message)) => Err(Obstacle::new(
            Reason::InputUnreadable,
            format!("Secret {name} may not be read: {message}"),
        )),
        Some(SecretState::Missing) | None => Err(Obstacle::new(
            Reason::SecretMissing,
            format!("Secret {name} does not exist: create it."),
        )),
    }
}

fn key_missing(name: &str, key: &str) -> Obstacle {
    Obstacle::new(
        Reason::SecretKeyMissing,
        format!("Secret {name} has no value under {key}: add it."),
    )
}

fn not_text(name: &str, key: &str) -> Obstacle {
    Obstacle::new(
        Reason::SecretInvalid,
        format!("The value under {key} in Secret {name} is not text: correct it."),
    )
}

fn text(secret: &HeldSecret, name: &str, key: &str) -> Result<SecretString, Obstacle> {
    let value = secret.value(key).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| key_missing(name, key))?;
    let value = String::from_utf8(value.to_vec()).map_err(|_| not_text(name, key))?;
    Ok(SecretString::from(value))
}

fn version(secret: &HeldSecret) -> Version {
    let meta = &secret.object.metadata;
    Version {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
    }
}
