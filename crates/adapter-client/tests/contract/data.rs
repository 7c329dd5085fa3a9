//! What lies in the stores: uploads, caches, garbage, the recycle bin.

use std::time::Duration;

use adapter_client::{
    BlockStoreConfig, Error, Evict, GcOptions, JobState, S3Config, Seconds, ShareOptions,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    rig::{Rig, conflict, invalid, not_found},
    stores::{self, Kind},
};

const SIZE: usize = 300_000;

/// A share with a remote store and one file in it.
async fn filled(rig: &Rig) {
    stores::share(rig, "far", Kind::Remote).await;
    let file = rig.server.folder.join("file");
    let content: Vec<u8> = (0..SIZE).map(|byte| (byte * byte % 251) as u8).collect();
    std::fs::write(&file, content).unwrap();
    stores::nfs_copy(rig, &file, "/far/file").await;
}

pub(crate) async fn system(rig: &Rig) {
    filled(rig).await;
    let drained = rig
        .ask(async |c| c.system().drain_uploads().await)
        .await
        .unwrap();
    assert_eq!(drained.status, "drained");
    assert!(drained.duration.0 < Duration::from_secs(60), "{drained:?}");
    let stats = rig.admin.blocks().share_stats("far").await.unwrap().totals;
    assert_eq!(
        (stats.pending_uploads, stats.unsynced_bytes),
        (0, 0),
        "{stats:?}"
    );

    // A bucket that takes nothing.
    let bucket = BlockStoreConfig::S3(Box::new(S3Config {
        bucket: "b".into(),
        access_key_id: "access-key".into(),
        secret_access_key: "secret-key".into(),
        region: None,
        endpoint: Some(stuck_bucket().await),
        prefix: None,
        force_path_style: None,
        allow_private_endpoint: Some(true),
        parallel_uploads: None,
        compression: None,
        encryption: None,
    }));
    rig.admin
        .block_stores()
        .create("stuck", &bucket)
        .await
        .unwrap();
    stores::share_on(
        rig,
        "slow",
        Kind::Disk,
        Some("stuck"),
        ShareOptions::default(),
    )
    .await;
    stores::nfs_copy(rig, &rig.server.folder.join("file"), "/slow/file").await;
    let error = rig.admin.system().drain_uploads().await.unwrap_err();
    assert!(
        matches!(&error, Error::ServerError { status: 504, detail, .. } if detail.contains("stalled")),
        "{error:?}"
    );
}

/// URL of a bucket that can be looked at, while everything that is written hangs.
async fn stuck_bucket() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = connection.read(&mut request).await.unwrap_or(0);
            if request[..length].starts_with(b"PUT") {
                held.push(connection);
                continue;
            }
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            // Whoever went away needs no answer.
            let _ = connection.write_all(answer).await;
        }
    });
    url
}

pub(crate) async fn blocks(rig: &Rig) {
    let admin = rig.admin.blocks();
    filled(rig).await;
    rig.admin.system().drain_uploads().await.unwrap();
    let share = rig
        .ask(async |c| c.blocks().share_stats("far").await)
        .await
        .unwrap();
    let stats = &share.totals;
    assert!(
        stats.has_remote && stats.remote_healthy && !stats.eviction_suspended,
        "{stats:?}"
    );
    assert!(
        stats.local_disk_used > 0 && stats.blocks_total > 0,
        "{stats:?}"
    );
    assert_eq!(
        (
            share.per_share.len(),
            share.per_share[0].share_name.as_str()
        ),
        (1, "/far")
    );
    not_found(admin.share_stats("nothing").await);
    let all = rig.ask(async |c| c.blocks().stats().await).await.unwrap();
    assert_eq!(all.per_share[0].stats.blocks_total, stats.blocks_total);

    let everything = Evict::default();
    let evicted = rig
        .ask(async |c| c.blocks().share_evict("far", everything).await)
        .await
        .unwrap();
    assert!(evicted.bytes_freed > 0, "{evicted:?}");
    rig.ask(async |c| c.blocks().evict(everything).await)
        .await
        .unwrap();
    invalid(admin.share_evict("nothing", everything).await);
    stores::share(rig, "near", Kind::Disk).await;
    invalid(admin.evict(everything).await);
    invalid(admin.share_evict("near", everything).await);
    let memory = Evict {
        read_buffer_only: true,
        local_only: false,
    };
    assert_eq!(
        admin.share_evict("near", memory).await.unwrap().bytes_freed,
        0
    );

    let started = rig
        .ask(async |c| c.blocks().warm("far").await)
        .await
        .unwrap();
    assert_eq!(
        (started.status.id.as_str(), started.status.share.as_str()),
        (started.job_id.as_str(), "/far")
    );
    let job = stores::until("the blocks are fetched", async || {
        let job = rig
            .ask(async |c| c.blocks().warm_job("far", &started.job_id).await)
            .await
            .unwrap();
        (job.state != JobState::Running).then_some(job)
    })
    .await;
    assert_eq!((&job.state, job.error.as_str()), (&JobState::Done, ""));
    assert_eq!(job.blocks_done, job.blocks_total);
    assert!(
        job.finished_at >= job.started_at && job.started_at.is_some(),
        "{job:?}"
    );
    not_found(admin.warm("nothing").await);
    not_found(admin.warm_job("far", "x").await);
}

pub(crate) async fn gc(rig: &Rig) {
    let admin = rig.admin.gc();
    filled(rig).await;
    not_found(admin.last_run("far").await);
    let options = GcOptions {
        dry_run: true,
        reconcile: false,
        grace_period: Some(Seconds(0)),
    };
    let started = rig
        .ask(async |c| c.gc().run("far", &options).await)
        .await
        .unwrap();
    assert_eq!(
        (started.status.share.as_str(), started.status.dry_run),
        ("/far", true)
    );
    let job = stores::until("the collection has ended", async || {
        let job = rig
            .ask(async |c| c.gc().job("far", &started.job_id).await)
            .await
            .unwrap();
        (job.state != JobState::Running).then_some(job)
    })
    .await;
    assert_eq!(
        (job.state, job.error.as_str(), job.objects_swept),
        (JobState::Done, "", 0)
    );
    let last = rig
        .ask(async |c| c.gc().last_run("far").await)
        .await
        .unwrap();
    assert!(
        last.dry_run && last.error_count == 0 && last.completed_at >= last.started_at,
        "{last:?}"
    );
    not_found(admin.run("nothing", &options).await);
    not_found(admin.job("far", "x").await);
    not_found(admin.last_run("nothing").await);
    let both = GcOptions {
        reconcile: true,
        ..options
    };
    assert!(invalid(admin.run("far", &both).await).contains("cannot be combined"));

    let report = rig
        .ask(async |c| c.gc().reconcile_report().await)
        .await
        .unwrap();
    assert_eq!(
        (report.zero_ref_records.count, report.leaked_blocks.count),
        (0, 0)
    );
    let reclaimed = rig.ask(async |c| c.gc().reclaim(true).await).await.unwrap();
    assert!(reclaimed.dry_run && reclaimed.errors == 0, "{reclaimed:?}");
    assert!(!admin.reclaim(false).await.unwrap().dry_run);
    let path = "/api/v1/blockstore/reconcile/reclaim";
    assert_eq!(rig.raw_admin("POST", path, json!("nonsense")).await, 400);
    let audit = rig
        .ask(async |c| c.gc().audit_refcounts("far").await)
        .await
        .unwrap()
        .result;
    assert_eq!(
        (audit.share.as_str(), audit.total_files, audit.dangling_refs),
        ("/far", 1, 0)
    );
    not_found(admin.audit_refcounts("nothing").await);
}

pub(crate) async fn trash(rig: &Rig) {
    let admin = rig.admin.trash();
    let options = ShareOptions {
        trash_enabled: Some(true),
        ..ShareOptions::default()
    };
    stores::share_with(rig, "export", Kind::Disk, options).await;
    let file = rig.server.folder.join("file");
    std::fs::write(&file, vec![1; SIZE]).unwrap();
    let put = |name: &str| format!("put {} {name}", file.display());
    stores::smb(
        rig,
        "export",
        &format!("{}; {}; del one; del two", put("one"), put("two")),
    )
    .await;

    let entries = rig
        .ask(async |c| c.trash().list("export").await)
        .await
        .unwrap();
    let one = entries
        .iter()
        .find(|entry| entry.original_path.ends_with("one"))
        .unwrap();
    assert_eq!(
        (entries.len(), one.size, one.is_dir),
        (2, SIZE as u64, false)
    );
    let status = rig
        .ask(async |c| c.trash().status("export").await)
        .await
        .unwrap();
    assert_eq!(
        (status.enabled, status.item_count, status.total_bytes),
        (true, 2, 2 * SIZE as u64)
    );
    assert_eq!(
        status.oldest,
        entries.iter().map(|entry| entry.deleted_at).min()
    );

    rig.ask(async |c| c.trash().restore("export", &one.bin_path, None).await)
        .await
        .unwrap();
    stores::smb(rig, "export", "get one /dev/null").await;
    not_found(admin.restore("export", &one.bin_path, None).await);
    let two = entries
        .iter()
        .find(|entry| entry.bin_path != one.bin_path)
        .unwrap();
    assert_eq!(
        conflict(admin.restore("export", &two.bin_path, Some("one")).await),
        "restore destination already exists"
    );
    invalid(admin.restore("export", "", None).await);
    not_found(admin.restore("nothing", "x", None).await);
    not_found(admin.list("nothing").await);
    not_found(admin.status("nothing").await);

    assert_eq!(
        rig.ask(async |c| c.trash().empty("export").await)
            .await
            .unwrap()
            .removed,
        1
    );
    assert_eq!(admin.empty("export").await.unwrap().removed, 0);
    not_found(admin.empty("nothing").await);
    assert_eq!(admin.list("export").await.unwrap(), []);
    assert_eq!(admin.status("export").await.unwrap().oldest, None);
}
