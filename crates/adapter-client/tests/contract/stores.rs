//! Metadata and block stores, and the shares on them that other tests need.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use adapter_client::{
    AdapterType, BlockStoreConfig, ByteSize, Error, FsConfig, HealthStatus, MetadataStoreConfig,
    NewShare, NfsOptionsChange, PermissionLevel, S3Config, Share, ShareOptions, Squash, Tier,
};
use tokio::process::{Child, Command};

use crate::{
    protocols::admin_port,
    rig::{Rig, conflict, invalid, not_found},
};

/// On what a share is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything in memory.
    Memory,
    /// Badger and a folder.
    Disk,
    /// Badger, a folder, and a remote store in memory.
    Remote,
}

fn badger(rig: &Rig, name: &str) -> MetadataStoreConfig {
    MetadataStoreConfig::Badger {
        path: rig
            .server
            .folder
            .join(format!("meta-{}", name.replace('/', "_")))
            .display()
            .to_string(),
        // The machine's memory is shared by many servers here.
        block_cache_mb: Some(8),
        index_cache_mb: Some(8),
        relaxed_durability: Some(false),
    }
}

fn folder(rig: &Rig, name: &str) -> FsConfig {
    FsConfig {
        path: rig
            .server
            .folder
            .join(format!("blocks-{}", name.replace('/', "_")))
            .display()
            .to_string(),
        ..FsConfig::default()
    }
}

/// A share open to everybody, with stores of its own that have its name.
pub(crate) async fn share(rig: &Rig, name: &str, kind: Kind) -> Share {
    share_with(rig, name, kind, ShareOptions::default()).await
}

pub(crate) async fn share_with(rig: &Rig, name: &str, kind: Kind, options: ShareOptions) -> Share {
    if kind != Kind::Remote {
        return share_on(rig, name, kind, None, options).await;
    }
    let remote = BlockStoreConfig::Memory { tier: Tier::Remote };
    rig.admin
        .block_stores()
        .create(name, &remote)
        .await
        .unwrap();
    share_on(rig, name, kind, Some(name), options).await
}

/// The same, with this remote store.
pub(crate) async fn share_on(
    rig: &Rig,
    name: &str,
    kind: Kind,
    remote: Option<&str>,
    options: ShareOptions,
) -> Share {
    let admin = &rig.admin;
    let (metadata, local) = match kind {
        Kind::Memory => (
            MetadataStoreConfig::Memory {},
            BlockStoreConfig::Memory { tier: Tier::Local },
        ),
        Kind::Disk | Kind::Remote => (badger(rig, name), BlockStoreConfig::Fs(folder(rig, name))),
    };
    admin
        .metadata_stores()
        .create(name, &metadata)
        .await
        .unwrap();
    admin.block_stores().create(name, &local).await.unwrap();
    let new = NewShare {
        name: name.into(),
        metadata_store: name.into(),
        local_block_store: name.into(),
        remote_block_store: remote.map(str::to_owned),
        owner: None,
        options: ShareOptions {
            default_permission: Some(PermissionLevel::ReadWrite),
            // An eighth of the machine's memory otherwise, for each of many servers.
            read_buffer_size: Some(ByteSize(1 << 20)),
            ..options
        },
    };
    let share = admin.shares().create(&new).await.unwrap();
    assert_eq!(share.status.status, HealthStatus::Healthy, "{share:?}");
    let everybody = NfsOptionsChange {
        squash: Some(Squash::None),
        ..NfsOptionsChange::default()
    };
    admin.nfs_options().patch(name, &everybody).await.unwrap();
    share
}

/// Waits for something that the server does in its own time.
pub(crate) async fn until<T>(what: &str, find: impl AsyncFn() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + Duration::from_secs(180);
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "{what}: not within 180 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(180), command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{program}: not done after 180 s"))
        .unwrap_or_else(|error| panic!("{program}, which hack/test installs: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("NT_STATUS"),
        "{program} {arguments:?}: {said}"
    );
}

/// Copies a file into a share as an NFSv3 client with user and group 0.
pub(crate) async fn nfs_copy(rig: &Rig, from: &Path, to: &str) {
    let port = admin_port(rig, &AdapterType::Nfs).await;
    until("the NFS port is open", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok()
    })
    .await;
    let url = format!("nfs://127.0.0.1{to}?version=3&nfsport={port}&mountport={port}&uid=0&gid=0");
    run("nfs-cp", &[&from.display().to_string(), &url]).await;
}

/// Does something in a share as an SMB client with the administrator's account.
pub(crate) async fn smb(rig: &Rig, share: &str, commands: &str) {
    let mut arguments = smb_arguments(rig, share).await;
    arguments.extend(["-c".into(), commands.into()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("smbclient", &arguments).await;
}

/// The same, staying in the share until it is ended.
pub(crate) async fn smb_session(rig: &Rig, share: &str) -> Child {
    Command::new("smbclient")
        .args(smb_arguments(rig, share).await)
        // Open, so that it waits for commands.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("smbclient, which hack/test installs: {error}"))
}

async fn smb_arguments(rig: &Rig, share: &str) -> Vec<String> {
    let port = admin_port(rig, &AdapterType::Smb).await;
    until("the SMB port is open", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok()
    })
    .await;
    let account = format!("admin%{}", crate::dfs::PASSWORD);
    [
        "-p",
        &port.to_string(),
        "-U",
        &account,
        &format!("//127.0.0.1/{share}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

pub(crate) async fn metadata_stores(rig: &Rig) {
    let admin = rig.admin.metadata_stores();
    let config = badger(rig, "m");
    let made = rig
        .ask(async |c| c.metadata_stores().create("m", &config).await)
        .await
        .unwrap();
    assert_eq!((made.name.as_str(), made.kind.as_str()), ("m", "badger"));
    assert_eq!(made.status.status, HealthStatus::Healthy);
    assert!(config.matches(&made), "{made:?}");
    assert!(!MetadataStoreConfig::Memory {}.matches(&made));
    // The folder is locked by this very process, which is noticed before the name is.
    assert!(invalid(admin.create("m", &config).await).contains("Failed to create metadata store"));
    let memory = MetadataStoreConfig::Memory {};
    assert!(memory.matches(&admin.create("plain", &memory).await.unwrap()));
    assert_eq!(
        conflict(admin.create("plain", &memory).await),
        "Metadata store already exists"
    );
    let sqlite = MetadataStoreConfig::Sqlite {
        path: rig.server.folder.join("meta.db").display().to_string(),
    };
    assert!(sqlite.matches(&admin.create("lite", &sqlite).await.unwrap()));
    let nowhere = MetadataStoreConfig::Postgres {
        host: "127.0.0.1".into(),
        port: Some(crate::dfs::free_port()),
        database: "d".into(),
        user: "u".into(),
        password: "postgres-password".into(),
        sslmode: None,
        max_conns: None,
        min_conns: None,
        relaxed_durability: None,
    };
    let refused = invalid(admin.create("pg", &nowhere).await);
    assert!(
        !refused.contains("postgres-password") && refused.chars().count() <= 401,
        "{refused}"
    );
    assert!(!format!("{nowhere:?}").contains("postgres-password"));

    let got = rig
        .ask(async |c| c.metadata_stores().get("m").await)
        .await
        .unwrap();
    assert_eq!((&got.id, got.created_at), (&made.id, made.created_at));
    not_found(admin.get("nothing").await);
    let all = rig
        .ask(async |c| c.metadata_stores().list().await)
        .await
        .unwrap();
    let kinds: BTreeMap<_, _> = all
        .iter()
        .map(|store| (store.name.as_str(), store.kind.as_str()))
        .collect();
    assert_eq!(
        kinds,
        BTreeMap::from([("lite", "sqlite"), ("m", "badger"), ("plain", "memory")])
    );
    let health = rig
        .ask(async |c| c.metadata_stores().health("m").await)
        .await
        .unwrap();
    assert!(health.healthy, "{health:?}");
    not_found(admin.health("nothing").await);
    let status = rig
        .ask(async |c| c.metadata_stores().status("m").await)
        .await
        .unwrap();
    assert_eq!(status.status, HealthStatus::Healthy);
    not_found(admin.status("nothing").await);

    // Stored as it is, secret and all; what is shown counts as the same.
    let changed = rig
        .ask(async |c| c.metadata_stores().update("lite", &nowhere).await)
        .await
        .unwrap();
    assert!(nowhere.matches(&changed), "{changed:?}");
    assert!(!format!("{changed:?}").contains("postgres-password"));
    assert!(sqlite.matches(&admin.update("lite", &sqlite).await.unwrap()));
    not_found(admin.update("nothing", &sqlite).await);

    share(rig, "used", Kind::Disk).await;
    conflict(admin.delete("used").await);
    rig.ask(async |c| c.metadata_stores().delete("m").await)
        .await
        .unwrap();
    not_found(admin.delete("m").await);
}

pub(crate) async fn block_stores(rig: &Rig) {
    let admin = rig.admin.block_stores();
    let fs = BlockStoreConfig::Fs(FsConfig {
        max_size: Some(1 << 30),
        ..folder(rig, "l")
    });
    let made = rig
        .ask(async |c| c.block_stores().create("l", &fs).await)
        .await
        .unwrap();
    assert_eq!((made.tier.as_str(), made.kind.as_str()), ("local", "fs"));
    assert!(
        fs.matches(&made) && made.status.status == HealthStatus::Healthy,
        "{made:?}"
    );
    assert_eq!(
        conflict(admin.create("l", &fs).await),
        "Block store already exists"
    );
    let relative = BlockStoreConfig::Fs(FsConfig {
        path: "blocks".into(),
        ..FsConfig::default()
    });
    assert!(
        invalid(admin.create("relative", &relative).await).contains("Invalid block store config")
    );
    let memory = BlockStoreConfig::Memory { tier: Tier::Remote };
    assert_eq!(
        admin.create("l", &memory).await.unwrap().tier,
        "remote",
        "names are those of a tier"
    );

    // Nobody answers there: it is made, and reported as it is.
    let s3 = |secret: &str| {
        BlockStoreConfig::S3(Box::new(S3Config {
            bucket: "b".into(),
            access_key_id: "the-access-key".into(),
            secret_access_key: secret.into(),
            region: None,
            endpoint: Some(format!("http://127.0.0.1:{}", crate::dfs::free_port())),
            prefix: Some("p/".into()),
            force_path_style: None,
            allow_private_endpoint: Some(true),
            parallel_uploads: Some(2),
            compression: Some(adapter_client::Compression {
                algo: "zstd".into(),
            }),
            encryption: None,
        }))
    };
    let bucket = s3("the-secret-key");
    let remote = admin.create("bucket", &bucket).await.unwrap();
    assert_eq!(
        (remote.tier.as_str(), remote.kind.as_str()),
        ("remote", "s3")
    );
    assert_eq!(remote.status.status, HealthStatus::Unhealthy);
    assert!(bucket.matches(&remote), "{remote:?}");
    for printed in [format!("{remote:?}"), format!("{bucket:?}")] {
        assert!(!printed.contains("the-secret-key"), "{printed}");
    }
    let BlockStoreConfig::S3(mut bad) = s3("the-secret-key") else {
        unreachable!()
    };
    bad.bucket = String::new();
    bad.endpoint = Some("http://the-secret-key\u{7}".into());
    let refused = invalid(admin.create("bad", &BlockStoreConfig::S3(bad)).await);
    assert!(!refused.contains("the-secret-key"), "{refused}");

    let got = rig
        .ask(async |c| c.block_stores().get(Tier::Local, "l").await)
        .await
        .unwrap();
    assert_eq!((got.id, got.tier), (made.id.clone(), "local".to_owned()));
    not_found(admin.get(Tier::Remote, "nothing").await);
    let locals = rig
        .ask(async |c| c.block_stores().list(Tier::Local).await)
        .await
        .unwrap();
    assert_eq!(locals.len(), 1);
    assert_eq!(admin.list(Tier::Remote).await.unwrap().len(), 2);
    assert_eq!(
        rig.raw_admin("GET", "/api/v1/store/block/zz", serde_json::Value::Null)
            .await,
        400
    );
    let health = rig
        .ask(async |c| c.block_stores().health(Tier::Local, "l").await)
        .await
        .unwrap();
    assert!(health.healthy, "{health:?}");
    not_found(admin.health(Tier::Local, "nothing").await);
    let status = rig
        .ask(async |c| c.block_stores().status(Tier::Local, "l").await)
        .await
        .unwrap();
    assert_eq!(status.status, HealthStatus::Healthy);
    let away = admin.health(Tier::Remote, "bucket").await.unwrap();
    assert!(!away.healthy && !away.details.is_empty(), "{away:?}");
    not_found(admin.status(Tier::Remote, "nothing").await);

    let larger = BlockStoreConfig::Fs(FsConfig {
        max_size: Some(2 << 30),
        ..folder(rig, "l")
    });
    assert!(!larger.matches(&made));
    let changed = rig
        .ask(async |c| c.block_stores().update("l", &larger).await)
        .await
        .unwrap();
    assert!(
        larger.matches(&changed) && changed.id == made.id,
        "{changed:?}"
    );
    not_found(admin.update("nothing", &fs).await);
    let refused: Result<_, Error> = admin.update("l", &relative).await;
    invalid(refused);

    share(rig, "used", Kind::Remote).await;
    conflict(admin.delete(Tier::Local, "used").await);
    conflict(admin.delete(Tier::Remote, "used").await);
    rig.ask(async |c| c.block_stores().delete(Tier::Local, "l").await)
        .await
        .unwrap();
    not_found(admin.delete(Tier::Local, "l").await);
}
