//! The stores of a share: which there shall be, and how they are told from those of others.

use adapter_client::{
    BlockStore, BlockStoreConfig, Compression, Encryption, EncryptionKey, FsConfig, MetadataStore,
    MetadataStoreConfig, S3Config, Tier,
};
use api_types::DittoFSShare;
use api_types::v1alpha1::{self as spec, Aead, LocalBlockStoreType, MetadataStoreType};
use secrecy::SecretString;
use serde_json::Value;

use crate::declared::{Unusable, size};

/// Folder of the server's volume for metadata.
const METADATA: &str = "/data/store/metadata";
/// Folder of the server's volume for contents.
const CONTENTS: &str = "/data/store/block";

/// A connection to a PostgreSQL database, from a Secret.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Name or address.
    pub host: String,
    /// TCP port; 5432 when absent.
    pub port: Option<u16>,
    /// Name of the database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Mode of TLS; `require` when absent.
    pub sslmode: Option<String>,
}

/// Credentials of a bucket, from a Secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Access key.
    pub access_key_id: SecretString,
    /// Secret key.
    pub secret_access_key: SecretString,
}

/// What the stores need from Secrets.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// For a metadata store in PostgreSQL.
    pub postgres: Option<Connection>,
    /// For a bucket.
    pub s3: Option<Credentials>,
}

/// Why the stores cannot be told yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// The connection to the database is not known.
    #[error("the connection to the PostgreSQL database is not known")]
    Connection,
    /// The credentials of the bucket are not known.
    #[error("the credentials of the bucket are not known")]
    Credentials,
    /// A value of the spec cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// The stores that there shall be.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Name of the metadata store, and its configuration unless it is one that exists already.
    pub metadata: (String, Option<MetadataStoreConfig>),
    /// Name and configuration of the local block store.
    pub local: (String, BlockStoreConfig),
    /// Name and configuration of the remote block store.
    pub remote: Option<(String, BlockStoreConfig)>,
}

impl Stores {
    /// The stores of `share`. They are called like the share.
    ///
    /// # Errors
    /// When a Secret is missing, or a size does not fit 64 bits.
    pub fn of(share: &DittoFSShare, secrets: &Secrets) -> Result<Self, NotYet> {
        let name = share.share_name();
        let spec::BlockStore { local, remote } = &share.spec.block_store;
        let remote = match remote {
            None => None,
            Some(spec::RemoteBlockStore { s3 }) => {
                let credentials = secrets.s3.as_ref().ok_or(NotYet::Credentials)?;
                let config = BlockStoreConfig::S3(Box::new(bucket(s3, credentials)));
                Some((name.to_owned(), config))
            }
        };
        Ok(Stores {
            metadata: metadata(name, &share.spec.metadata_store, secrets)?,
            local: (name.to_owned(), local_store(local)?),
            remote,
        })
    }
}

fn metadata(
    share: &str,
    store: &spec::MetadataStore,
    secrets: &Secrets,
) -> Result<(String, Option<MetadataStoreConfig>), NotYet> {
    let spec::MetadataStore {
        kind,
        path,
        // Where the connection comes from is settled in `secrets`.
        postgres: _,
        existing,
    } = store;
    let at = |default: String| path.clone().unwrap_or(default);
    let config = match kind {
        MetadataStoreType::Badger => MetadataStoreConfig::Badger {
            path: at(format!("{METADATA}/{share}")),
            block_cache_mb: None,
            index_cache_mb: None,
            relaxed_durability: None,
        },
        // The server makes no folder for it, so it lies on the volume itself.
        MetadataStoreType::Sqlite => MetadataStoreConfig::Sqlite {
            path: at(format!("{METADATA}/{share}.db")),
        },
        MetadataStoreType::Memory => MetadataStoreConfig::Memory {},
        MetadataStoreType::Postgres => {
            let Connection {
                host,
                port,
                database,
                user,
                password,
                sslmode,
            } = secrets.postgres.clone().ok_or(NotYet::Connection)?;
            MetadataStoreConfig::Postgres {
                host,
                port,
                database,
                user,
                password,
                sslmode: Some(sslmode.unwrap_or_else(|| "require".to_owned())),
                max_conns: None,
                min_conns: None,
                relaxed_durability: None,
            }
        }
        MetadataStoreType::Existing => {
            let name = existing.as_ref().map(|existing| existing.name.clone());
            return Ok((name.unwrap_or_default(), None));
        }
    };
    Ok((share.to_owned(), Some(config)))
}

fn local_store(local: &spec::LocalBlockStore) -> Result<BlockStoreConfig, NotYet> {
    let spec::LocalBlockStore {
        kind,
        path,
        // Options of the share.
        max_size: _,
        max_log_size,
        read_buffer_size: _,
    } = local;
    Ok(match kind {
        LocalBlockStoreType::Fs => BlockStoreConfig::Fs(FsConfig {
            path: path.clone().unwrap_or_else(|| CONTENTS.to_owned()),
            max_log_bytes: size("blockStore.local.maxLogSize", max_log_size.as_ref())?
                .map(|size| size.0),
            ..FsConfig::default()
        }),
        LocalBlockStoreType::Memory => BlockStoreConfig::Memory { tier: Tier::Local },
    })
}

fn bucket(s3: &spec::S3, credentials: &Credentials) -> S3Config {
    let spec::S3 {
        bucket,
        prefix,
        region,
        endpoint,
        force_path_style,
        allow_private_endpoint,
        // Read before.
        credentials_secret_ref: _,
        compression,
        encryption,
    } = s3;
    S3Config {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        bucket: bucket.clone(),
        region: region.clone(),
        endpoint: endpoint.clone(),
        prefix: prefix.clone(),
        force_path_style: *force_path_style,
        allow_private_endpoint: *allow_private_endpoint,
        parallel_uploads: None,
        compression: compression.map(|algo| Compression {
            algo: match algo {
                spec::Compression::Zstd => "zstd".to_owned(),
                spec::Compression::Lz4 => "lz4".to_owned(),
            },
        }),
        encryption: encryption.as_ref().map(|encryption| {
            let spec::Encryption { aead, key_file } = encryption;
            Encryption {
                aead: match aead {
                    Aead::Aes256Gcm => "aes-256-gcm",
                    Aead::ChaCha20Poly1305 => "chacha20-poly1305",
                    Aead::XChaCha20Poly1305 => "xchacha20-poly1305",
                }
                .to_owned(),
                key: EncryptionKey::Local {
                    file: key_file.clone(),
                },
            }
        }),
    }
}

/// What cannot be changed of a block store that holds something.
const FIXED: [&str; 5] = ["path", "bucket", "prefix", "compression", "encryption"];

/// Whether `live` can be given the configuration `wanted`: what was written to it stays readable.
pub fn may_become(wanted: &BlockStoreConfig, live: &BlockStore) -> bool {
    let Ok(config) = serde_json::to_value(wanted) else {
        return false;
    };
    let shown = live.config.clone().unwrap_or_default();
    wanted.tier().as_str() == live.tier
        && wanted.kind() == live.kind
        && FIXED
            .into_iter()
            .all(|key| config.get(key) == shown.get(key))
}

/// What cannot be changed of a metadata store in PostgreSQL: elsewhere other names and attributes lie, or none.
const PLACE: [&str; 3] = ["host", "port", "database"];

/// Whether `wanted` and `live` are in the same PostgreSQL database. One can be given the configuration of the other
/// then, and two must not be.
pub fn is_in_one_database(wanted: &MetadataStoreConfig, live: &MetadataStore) -> bool {
    matches!(wanted, MetadataStoreConfig::Postgres { .. })
        && wanted.kind() == live.kind
        && place(wanted) == Some(shown_place(live))
}

fn place(config: &MetadataStoreConfig) -> Option<[Value; 3]> {
    let config = serde_json::to_value(config).ok()?;
    Some(PLACE.map(|key| part(config.get(key), key)))
}

fn shown_place(live: &MetadataStore) -> [Value; 3] {
    let config = live.config.as_ref();
    PLACE.map(|key| part(config.and_then(|config| config.get(key)), key))
}

fn part(value: Option<&Value>, key: &str) -> Value {
    const DEFAULT_PORT: u16 = 5432;
    match value {
        None if key == "port" => DEFAULT_PORT.into(),
        value => value.cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stores(spec: Value, secrets: &Secrets) -> Result<Stores, NotYet> {
        let mut whole = json!({"serverRef": {"name": "files"}});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let share: DittoFSShare = serde_json::from_value(json!({
            "apiVersion": "dittofs.dittofs.com/v1alpha1", "kind": "DittoFSShare",
            "metadata": {"name": "films"}, "spec": whole}))
        .unwrap();
        Stores::of(&share, secrets)
    }

    fn sent(config: impl serde::Serialize) -> Value {
        serde_json::to_value(config).unwrap()
    }

    #[test]
    fn a_share_without_wishes_has_its_own_folders_on_the_servers_volumes() {
        let found = stores(json!({}), &Secrets::default()).unwrap();
        let (name, config) = found.metadata;
        assert_eq!(name, "films");
        assert_eq!(sent(config), json!({"path": "/data/store/metadata/films"}));
        assert_eq!(found.local.0, "films");
        assert_eq!(sent(found.local.1), json!({"path": "/data/store/block"}));
        assert!(found.remote.is_none());
        let sqlite = stores(
            json!({"metadataStore": {"type": "sqlite"}}),
            &Secrets::default(),
        );
        let config = sqlite.unwrap().metadata.1;
        assert_eq!(
            sent(config),
            json!({"path": "/data/store/metadata/films.db"})
        );
    }

    #[test]
    fn an_existing_store_is_neither_named_nor_made_by_us() {
        let spec = json!({"metadataStore": {"type": "existing", "existing": {"name": "old"}}});
        let (name, config) = stores(spec, &Secrets::default()).unwrap().metadata;
        assert_eq!(name, "old");
        assert!(config.is_none());
    }

    #[test]
    fn nothing_is_made_before_its_secrets_are_known() {
        let spec =
            json!({"metadataStore": {"type": "postgres", "postgres": {"database": "films"}}});
        let found = stores(spec.clone(), &Secrets::default());
        assert_eq!(found.err(), Some(NotYet::Connection));
        let postgres = Some(Connection {
            host: "pg".into(),
            port: None,
            database: "films".into(),
            user: "films".into(),
            password: "hidden".into(),
            sslmode: None,
        });
        let secrets = Secrets { postgres, s3: None };
        let config = stores(spec, &secrets).unwrap().metadata.1;
        assert_eq!(sent(config)["sslmode"], "require");

        let spec = json!({"blockStore": {"remote": {"s3": {"bucket": "b", "compression": "lz4",
            "encryption": {"keyFile": "/k"}, "credentialsSecretRef": {"name": "s3"}}}}});
        let found = stores(spec.clone(), &Secrets::default());
        assert_eq!(found.err(), Some(NotYet::Credentials));
        let s3 = Some(Credentials {
            access_key_id: "id".into(),
            secret_access_key: "hidden".into(),
        });
        let secrets = Secrets { postgres: None, s3 };
        let found = stores(spec, &secrets).unwrap();
        assert!(!format!("{found:?}").contains("hidden"));
        assert_eq!(
            sent(found.remote.unwrap().1),
            json!({"bucket": "b", "access_key_id": "id", "secret_access_key": "hidden", "compression": {"algo": "lz4"},
                "encryption": {"aead": "aes-256-gcm", "key": {"kind": "local", "file": "/k"}}})
        );
    }

    #[test]
    fn a_metadata_store_keeps_its_place_and_takes_another_login() {
        let config = |host: &str, port: Option<u16>, database: &str, user: &str| {
            let postgres = Some(Connection {
                host: host.into(),
                port,
                database: database.into(),
                user: user.into(),
                password: "hidden".into(),
                sslmode: Some(format!("of-{user}")),
            });
            let spec = json!({"metadataStore": {"type": "postgres", "postgres": {"secretRef": {"name": "pg"}}}});
            let secrets = Secrets { postgres, s3: None };
            stores(spec, &secrets).unwrap().metadata.1.unwrap()
        };
        let live = |config: &MetadataStoreConfig, kind: &str| -> MetadataStore {
            serde_json::from_value(json!({"id": "m", "name": "films", "type": kind,
                "config": serde_json::to_value(config).unwrap(), "created_at": "2026-11-21T16:58:39Z",
                "status": {"status": "healthy", "checked_at": "2026-11-21T16:58:39Z"}}))
            .unwrap()
        };
        let shown = live(&config("pg", None, "films", "a"), "postgres");
        for (wanted, same) in [
            (config("pg", None, "films", "a"), true),
            (config("pg", Some(5432), "films", "b"), true),
            (config("other", None, "films", "a"), false),
            (config("pg", Some(5433), "films", "a"), false),
            (config("pg", None, "music", "a"), false),
        ] {
            assert_eq!(is_in_one_database(&wanted, &shown), same, "{wanted:?}");
        }
        let path = MetadataStoreConfig::Sqlite { path: "/x".into() };
        let file = live(&path, "sqlite");
        assert!(!is_in_one_database(
            &config("pg", None, "films", "a"),
            &file
        ));
        assert!(!is_in_one_database(&path, &file));
    }

    #[test]
    fn what_holds_something_is_never_pointed_somewhere_else() {
        let bucket = |bucket: &str, endpoint: &str| {
            let share = json!({"blockStore": {"remote": {"s3": {"bucket": bucket, "endpoint": endpoint,
                "credentialsSecretRef": {"name": "s3"}}}}});
            let secrets = Secrets {
                s3: Some(Credentials {
                    access_key_id: SecretString::from("AKIA"),
                    secret_access_key: SecretString::from("geheim"),
                }),
                ..Secrets::default()
            };
            stores(share, &secrets).unwrap().remote.unwrap().1
        };
        let config = sent(bucket("films", "http://one"));
        let live: BlockStore =
            serde_json::from_value(json!({"id": "b", "name": "films", "kind": "remote",
            "type": "s3", "config": config, "created_at": "2026-11-21T16:58:39Z",
            "status": {"status": "healthy", "checked_at": "2026-11-21T16:58:39Z"}}))
            .unwrap();
        assert!(may_become(&bucket("films", "http://one"), &live));
        assert!(may_become(&bucket("films", "http://two"), &live));
        assert!(!may_become(&bucket("music", "http://one"), &live));
    }
}
