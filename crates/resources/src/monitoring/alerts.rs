//! The alerts on one server.

use api_types::names;

use crate::Instance;

/// How urgent an alert is; value of its label `severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Clients are cut off, or data is damaged: now.
    Critical,
    /// It gets worse: today.
    Warning,
}

impl Severity {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// When it fires, in PromQL.
    pub expression: String,
    /// For how long the expression must hold, as Prometheus writes durations.
    pub hold: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// What is, in one line.
    pub summary: String,
    /// What it means.
    pub description: String,
    /// What to do.
    pub action: String,
}

/// The alerts on `instance`. Metrics and labels are those that a scrape by our ServiceMonitor has:
/// the server's own (contract 3.18), and `namespace` and `job`, the Service's name, of the
/// Prometheus operator.
pub fn alerts(instance: &Instance<'_>) -> Vec<Alert> {
    let Instance {
        name,
        namespace,
        spec,
        ..
    } = instance;
    let of_server = format!(
        "namespace=\"{namespace}\",job=\"{}\"",
        names::metrics_service(name)
    );
    let server = format!("DittoFS server {namespace}/{name}");
    let pod = names::pod(name);
    let monitored = spec
        .metrics
        .as_ref()
        .is_some_and(|metrics| metrics.wanted_monitor().is_some());
    let mut alerts = Vec::new();
    // One that is stopped on purpose is down, and nobody needs to hear of it.
    if spec.replicas > 0 {
        alerts.push(Alert {
            name: "DittoFSDown",
            expression: format!("up{{{of_server}}} == 0"),
            hold: "5m",
            severity: Severity::Critical,
            summary: format!("{server} cannot be scraped."),
            description: "The pod exists, and its metrics endpoint does not answer: the server is starting, crashes or hangs, or Prometheus may not reach it.".to_owned(),
            action: format!("See `kubectl describe dittoserver {name} -n {namespace}`: the conditions Degraded and Available say what is wrong. If the server is well, look at Prometheus' targets: the error there names the token, the certificate or the NetworkPolicy (networkPolicy.metricsFrom)."),
        });
    }
    // Without our ServiceMonitor nobody knows under which labels the server is scraped, if at all.
    if spec.replicas > 0 && monitored {
        alerts.push(Alert {
            name: "DittoFSAbsent",
            expression: format!("absent(up{{{of_server}}})"),
            hold: "10m",
            severity: Severity::Critical,
            summary: format!("{server} has no pod to scrape."),
            description: "Prometheus finds no endpoint of the metrics Service: the pod does not exist or has no address yet, or Prometheus does not select the ServiceMonitor any more.".to_owned(),
            action: format!("See `kubectl describe dittoserver {name} -n {namespace}` and `kubectl describe pod {pod} -n {namespace}`. If the pod runs, compare serviceMonitor.labels with the serviceMonitorSelector of your Prometheus."),
        });
    }
    alerts.extend([
        Alert {
            name: "DittoFSRestarting",
            expression: format!("changes(process_start_time_seconds{{{of_server}}}[30m]) > 2"),
            hold: "1m",
            severity: Severity::Warning,
            summary: format!("{server} restarts again and again."),
            description: "The server's process started more than twice within 30 minutes. Each restart costs clients their sessions.".to_owned(),
            action: format!("Read the last words of the process: the condition Degraded of the DittoServer, and `kubectl logs {pod} -n {namespace} --previous`."),
        },
        Alert {
            name: "DittoFSDataCorruption",
            expression: format!("increase(dittofs_datapath_local_corruption_total{{{of_server}}}[1h]) > 0 or increase(dittofs_datapath_remote_corruption_total{{{of_server}}}[1h]) > 0"),
            hold: "0m",
            severity: Severity::Critical,
            summary: format!("{server} read damaged data."),
            description: "Chunks did not have the checksum with which they were written. Damage on the volume is repaired from the remote store where the share has one; damage in the remote store makes reads fail.".to_owned(),
            action: format!("Find the files in `kubectl logs {pod} -n {namespace}`, check the storage below the content volume or the bucket, and restore the files from a snapshot or a backup."),
        },
        Alert {
            name: "DittoFSWritesStalled",
            expression: format!("rate(dittofs_localstore_backpressure_total{{{of_server}}}[5m]) > 0"),
            hold: "15m",
            severity: Severity::Warning,
            summary: format!("Writes to {server} wait for room on its volume."),
            description: "The local store is full of data that cannot be evicted yet: clients see slow writes, and errors in the end.".to_owned(),
            action: "If the share has a remote store, see whether it is up and fast enough (DittoFSRemoteStoreDown). Else make room, or raise storage.contentSize.".to_owned(),
        },
        Alert {
            name: "DittoFSRemoteStoreDown",
            expression: format!("dittofs_remote_up{{{of_server}}} == 0"),
            hold: "5m",
            severity: Severity::Warning,
            summary: format!("Share {{{{ $labels.share }}}} of {server} cannot reach its remote store."),
            description: "New data stays on the content volume until the store is back, and what is only in the store cannot be read.".to_owned(),
            action: "Check endpoint, bucket and credentials of the remote store, and the network between. The share recovers by itself.".to_owned(),
        },
        Alert {
            name: "DittoFSUploadsFailing",
            expression: format!("increase(dittofs_sync_upload_failures_total{{{of_server}}}[15m]) > 0"),
            hold: "15m",
            severity: Severity::Warning,
            summary: format!("Uploads of share {{{{ $labels.share }}}} of {server} fail."),
            description: "The remote store refuses or loses data: it has one copy only, on the content volume, until it is uploaded.".to_owned(),
            action: format!("Read the error in `kubectl logs {pod} -n {namespace}`: credentials that may not write, a full bucket, or a network that breaks off."),
        },
    ]);
    alerts
}
