//! Adapters, their settings, the settings of the server, and who is connected.

use std::time::Duration;

use adapter_client::{
    AdapterChange, AdapterPort, AdapterType, NewAdapter, NfsSettings, NfsSettingsPatch, Seconds,
    Serving, SmbSettings, SmbSettingsPatch, WriteMode,
};
use serde_json::{Value, json};

use crate::{
    dfs::free_port,
    rig::{Rig, conflict, failed, invalid, not_found},
    stores,
};

const NFS: AdapterType = AdapterType::Nfs;

fn to_port(port: u16) -> AdapterChange {
    AdapterChange {
        port: Some(port),
        ..AdapterChange::default()
    }
}

fn ftp() -> AdapterType {
    AdapterType::Other("ftp".into())
}

pub(crate) async fn adapters(rig: &Rig) {
    let admin = rig.admin.adapters();
    let port = free_port();
    let changed = rig
        .ask(async |c| c.adapters().update(&NFS, &to_port(port)).await)
        .await
        .unwrap();
    assert_eq!(
        (&changed.kind, changed.port, changed.enabled),
        (&NFS, AdapterPort::Fixed(port), true)
    );
    not_found(admin.update(&ftp(), &to_port(port)).await);

    // Reports about the time before the change do not count, then they do.
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let nfs = rig
            .ask(async |c| c.adapters().get(&NFS).await)
            .await
            .unwrap();
        match nfs.serving() {
            Serving::Yes => break,
            Serving::Undecided => {}
            other => panic!("{other:?}: {nfs:?}"),
        }
        assert!(tokio::time::Instant::now() < end, "{nfs:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    rig.ask(async |c| c.adapters().status(&NFS).await)
        .await
        .unwrap();
    not_found(admin.get(&ftp()).await);
    not_found(admin.status(&ftp()).await);

    // Lists need less.
    assert!(rig.user.adapters().list().await.is_err());
    assert_eq!(rig.operator.adapters().list().await.unwrap().len(), 2);
    for client in [&rig.user, &rig.operator, &rig.admin] {
        let ports = client.adapters().ports().await.unwrap();
        let nfs = ports.iter().find(|entry| entry.kind == NFS).unwrap();
        assert_eq!(
            (nfs.port.number(), nfs.enabled, nfs.running),
            (Some(port), true, true)
        );
    }
    assert_eq!(
        rig.raw("GET", "/api/v1/adapters/ports", None, &Value::Null)
            .await
            .status,
        401
    );

    // A number that is no port is stored, with an answer that is no answer; while the server runs
    // another one mends it.
    let path = "/api/v1/adapters/nfs";
    assert_eq!(
        rig.raw_admin("PUT", path, json!({"port": 99999})).await,
        500
    );
    let broken = admin.get(&NFS).await.unwrap();
    assert_eq!(
        (broken.port, broken.port.number()),
        (AdapterPort::Invalid(99999), None)
    );
    admin.update(&NFS, &to_port(port)).await.unwrap();
    assert_eq!(rig.raw_admin("PUT", path, json!({"port": "1"})).await, 400);

    let new = NewAdapter {
        kind: NFS,
        port: free_port(),
        config: Default::default(),
    };
    assert_eq!(
        conflict(rig.ask(async |c| c.adapters().create(&new).await).await),
        "Adapter already exists"
    );
    let unknown = NewAdapter {
        kind: ftp(),
        ..new.clone()
    };
    failed(admin.create(&unknown).await);
    let nothing = NewAdapter {
        kind: AdapterType::Other(String::new()),
        ..new.clone()
    };
    invalid(admin.create(&nothing).await);
    rig.ask(async |c| c.adapters().delete(&NFS).await)
        .await
        .unwrap();
    not_found(admin.delete(&NFS).await);

    // Without any adapter the list is empty, not `null`.
    let smb = admin.get(&AdapterType::Smb).await.unwrap();
    admin.delete(&AdapterType::Smb).await.unwrap();
    assert_eq!(rig.operator.adapters().list().await.unwrap(), []);
    let again = NewAdapter {
        kind: AdapterType::Smb,
        port: smb.port.number().unwrap(),
        config: Default::default(),
    };
    admin.create(&again).await.unwrap();
    let made = admin.create(&new).await.unwrap();
    assert!(
        made.enabled && !made.running && made.id != changed.id,
        "{made:?}"
    );
    assert!(admin.get(&NFS).await.unwrap().running);

    let off = AdapterChange {
        enabled: Some(false),
        ..AdapterChange::default()
    };
    assert_eq!(
        admin.update(&NFS, &off).await.unwrap().serving(),
        Serving::Disabled
    );
    let default = AdapterChange {
        port: Some(0),
        ..AdapterChange::default()
    };
    let nfs = admin.update(&NFS, &default).await.unwrap();
    assert_eq!(
        (nfs.port, nfs.port.number()),
        (AdapterPort::Default(Some(12049)), Some(12049))
    );
}

pub(crate) async fn adapter_settings(rig: &Rig) {
    let admin = rig.admin.adapters();
    let fresh = rig
        .ask(async |c| c.adapters().settings::<NfsSettings>().await)
        .await
        .unwrap();
    let smb = admin.settings::<SmbSettings>().await.unwrap();
    assert_eq!(
        (fresh.lease_time, fresh.max_version.as_str()),
        (Seconds(90), "4.1")
    );
    assert_eq!(
        (smb.session_timeout, smb.max_dialect.as_str()),
        (Seconds(900), "SMB3.1.1")
    );
    let defaults = rig
        .ask(async |c| c.adapters().setting_defaults::<NfsSettings>().await)
        .await
        .unwrap();
    assert_eq!(defaults.defaults.lease_time, fresh.lease_time);
    assert_eq!(defaults.ranges["lease_time"].min, Some(json!(10)));
    assert!(!defaults.ranges["max_version"].values.is_empty());
    let smb_defaults = admin
        .setting_defaults::<SmbSettings>()
        .await
        .unwrap()
        .defaults;
    assert_eq!(
        SmbSettings {
            version: smb.version,
            ..smb_defaults
        },
        smb
    );
    assert_eq!(
        rig.raw_admin("GET", "/api/v1/adapters/zz/settings/defaults", json!(null))
            .await,
        400
    );

    let lease = |seconds| NfsSettingsPatch {
        lease_time: Some(Seconds(seconds)),
        ..NfsSettingsPatch::default()
    };
    let patch = lease(120);
    let dry = admin
        .patch_settings::<NfsSettings>(&patch, WriteMode::DryRun)
        .await
        .unwrap();
    assert_eq!(dry.lease_time, Seconds(120));
    assert_eq!(admin.settings::<NfsSettings>().await.unwrap(), fresh);
    let patched = rig
        .ask(async |c| {
            c.adapters()
                .patch_settings::<NfsSettings>(&patch, WriteMode::Store)
                .await
        })
        .await
        .unwrap();
    assert_eq!(
        (patched.lease_time, patched.version),
        (Seconds(120), fresh.version + 1)
    );
    // What the operator leaves out of its spec: the answer shows the old values.
    let ignored = NfsSettingsPatch {
        v4_min_minor_version: Some(1),
        v4_max_minor_version: Some(1),
        v4_max_connections_per_session: Some(3),
        udp_enabled: Some(true),
        ..NfsSettingsPatch::default()
    };
    let after = admin
        .patch_settings::<NfsSettings>(&ignored, WriteMode::Store)
        .await
        .unwrap();
    assert!(after.udp_enabled);
    assert_eq!(
        (
            after.v4_min_minor_version,
            after.v4_max_minor_version,
            after.v4_max_connections_per_session
        ),
        (0, 2, 16)
    );

    let out_of_range = admin
        .patch_settings::<NfsSettings>(&lease(1), WriteMode::Store)
        .await;
    assert!(
        out_of_range
            .unwrap_err()
            .to_string()
            .contains("lease_time must be between")
    );
    let forced = admin
        .patch_settings::<NfsSettings>(&lease(1), WriteMode::Force)
        .await
        .unwrap();
    assert_eq!(forced.lease_time, Seconds(1));
    let signing = SmbSettingsPatch {
        signing: Some("required".into()),
        ..Default::default()
    };
    let smb = admin
        .patch_settings::<SmbSettings>(&signing, WriteMode::Store)
        .await
        .unwrap();
    assert_eq!(smb.signing, "required");

    let all = NfsSettings {
        grace_period: Seconds(45),
        ..fresh.clone()
    };
    let put = rig
        .ask(async |c| c.adapters().put_settings(&all, WriteMode::Store).await)
        .await
        .unwrap();
    assert_eq!(
        (put.grace_period, put.lease_time),
        (Seconds(45), Seconds(90))
    );
    let bad = NfsSettings {
        callback_timeout: Seconds(0),
        ..all.clone()
    };
    assert!(
        admin
            .put_settings(&bad, WriteMode::Store)
            .await
            .unwrap_err()
            .to_string()
            .contains("422")
    );

    let reset = rig
        .ask(async |c| {
            c.adapters()
                .reset_settings::<NfsSettings>(Some("grace_period"))
                .await
        })
        .await
        .unwrap();
    assert_eq!(reset.grace_period, Seconds(90));
    assert_eq!(
        admin
            .reset_settings::<SmbSettings>(None)
            .await
            .unwrap()
            .signing,
        ""
    );
    invalid(admin.reset_settings::<NfsSettings>(Some("a b&c")).await);

    admin.delete(&NFS).await.unwrap();
    not_found(admin.settings::<NfsSettings>().await);
    not_found(
        admin
            .patch_settings::<NfsSettings>(&patch, WriteMode::Store)
            .await,
    );
    not_found(admin.put_settings(&all, WriteMode::Store).await);
    not_found(admin.reset_settings::<NfsSettings>(None).await);
}

pub(crate) async fn settings(rig: &Rig) {
    let admin = rig.admin.settings();
    assert_eq!(
        rig.ask(async |c| c.settings().get("marker").await)
            .await
            .unwrap(),
        None
    );
    for (key, value) in [
        ("marker", "a \"b\" <c>\n%"),
        ("odd @+ key", "1"),
        ("empty", ""),
    ] {
        rig.ask(async |c| c.settings().put(key, value).await)
            .await
            .unwrap();
    }
    assert_eq!(
        admin.get("marker").await.unwrap().as_deref(),
        Some("a \"b\" <c>\n%")
    );
    assert_eq!(admin.get("odd @+ key").await.unwrap().as_deref(), Some("1"));
    assert_eq!(admin.get("empty").await.unwrap(), None);
    let all = rig.ask(async |c| c.settings().list().await).await.unwrap();
    let marker = all.iter().find(|setting| setting.key == "marker").unwrap();
    assert!(marker.updated_at.is_some());
    assert!(
        all.iter().any(|setting| setting.key == "machine_sid"),
        "{all:?}"
    );
    rig.ask(async |c| c.settings().delete("marker").await)
        .await
        .unwrap();
    admin.delete("marker").await.unwrap();
    assert_eq!(admin.get("marker").await.unwrap(), None);
    assert_eq!(
        rig.raw_admin("PUT", "/api/v1/settings/x", json!(null))
            .await,
        400
    );
    // The server keeps the encoded text of such a name, so it is not sent.
    invalid(admin.put("a/b", "1").await);
}

pub(crate) async fn clients(rig: &Rig) {
    let admin = rig.admin.clients();
    stores::share(rig, "export", stores::Kind::Memory).await;
    let file = rig.server.folder.join("file");
    std::fs::write(&file, "content").unwrap();
    stores::nfs_copy(rig, &file, "/export/file").await;
    let mounts = rig.ask(async |c| c.clients().mounts().await).await.unwrap();
    assert_eq!(
        mounts.len(),
        1,
        "a client that goes away without a word stays"
    );
    for mount in &mounts {
        assert_eq!(
            (&mount.protocol, mount.share_name.as_str()),
            (&NFS, "/export")
        );
    }
    assert_eq!(
        rig.ask(async |c| c.clients().adapter_mounts(&NFS).await)
            .await
            .unwrap(),
        mounts
    );
    assert_eq!(admin.adapter_mounts(&ftp()).await.unwrap(), []);

    // A connection is a client, whatever it says.
    let port = admin_port(rig, &NFS).await;
    let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let address = connection.local_addr().unwrap().to_string();
    let client = stores::until("the client is listed", async || {
        let all = rig.ask(async |c| c.clients().list().await).await.unwrap();
        all.into_iter().find(|client| client.address == address)
    })
    .await;
    assert_eq!(client.protocol, NFS);
    assert!(
        client.smb.is_none() && client.shares.is_empty(),
        "{client:?}"
    );
    rig.ask(async |c| c.clients().disconnect(&client.client_id).await)
        .await
        .unwrap();
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut connection, &mut byte);
    let read = tokio::time::timeout(Duration::from_secs(180), read)
        .await
        .unwrap();
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "the server ended it: {read:?}"
    );
    not_found(admin.disconnect(&client.client_id).await);

    let mut session = stores::smb_session(rig, "export").await;
    let client = stores::until("the SMB client is listed", async || {
        let all = admin.list().await.unwrap();
        all.into_iter()
            // A connection that says nothing has none.
            .find(|client| client.protocol == AdapterType::Smb && client.smb.is_some())
    })
    .await;
    assert_eq!(
        client.client_id,
        format!("smb-{}", client.smb.as_ref().unwrap().session_id)
    );
    let smb = AdapterType::Smb;
    assert_eq!(admin.list_of(Some(&smb), None).await.unwrap().len(), 1);
    assert_eq!(admin.list_of(Some(&NFS), None).await.unwrap(), []);
    assert_eq!(
        admin.list_of(Some(&smb), Some("/nothing")).await.unwrap(),
        []
    );
    admin.disconnect(&client.client_id).await.unwrap();
    stores::until("the SMB client is gone", async || {
        let all = admin.list().await.unwrap();
        all.iter()
            .all(|other| other.client_id != client.client_id)
            .then_some(())
    })
    .await;
    session.kill().await.unwrap();
    assert!(client.nfs.is_none(), "{client:?}");

    assert_eq!(
        rig.ask(async |c| c.clients().durable_handles().await)
            .await
            .unwrap(),
        []
    );
    not_found(
        rig.ask(async |c| c.clients().close_durable_handle("x").await)
            .await,
    );
}

pub(crate) async fn admin_port(rig: &Rig, kind: &AdapterType) -> u16 {
    rig.admin
        .adapters()
        .get(kind)
        .await
        .unwrap()
        .port
        .number()
        .unwrap()
}
