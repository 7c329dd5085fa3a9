//! What the operator itself puts into the pod, and the rules that keep a spec from naming it again.

/// Labels of the operator and of the StatefulSet controller.
const LABELS: [&str; 8] = [
    "app",
    "instance",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "controller-revision-hash",
];

/// Variables that the operator sets, or that overrule a setting which the spec has a field for, as
/// a regular expression. Environment wins over the configuration file (server contract 1.3).
const VARIABLES: &str = "^(KRB5_CONFIG|DITTOFS_(\
ADMIN_.*|\
CONTROLPLANE_(HOST|PORT|SECRET|WRITE_TIMEOUT|JWT_.*|TLS_(CERT_FILE|KEY_FILE|CLIENT_CA))|\
DATABASE_(TYPE|SQLITE_PATH|POSTGRES_(HOST|PORT|DATABASE|USER|PASSWORD|SSLMODE))|\
KERBEROS_(ENABLED|KEYTAB.*|PRINCIPAL|SERVICE_PRINCIPAL|KRB5.*|MACHINE_ACCOUNT_.*)|\
LDAP_(ENABLED|URL|BIND_.*)|\
LOGGING_(LEVEL|FORMAT|OUTPUT)|\
METRICS_(ENABLED|HOST|PORT|PATH|AUTH|TOKEN_FILE|TLS_(CERT_FILE|KEY_FILE|CLIENT_CA))|\
SHUTDOWN_TIMEOUT|\
SNAPSHOT_RESTORE_HTTP_TIMEOUT))$";

/// Names of the pod's volumes.
pub const VOLUMES: [&str; 14] = [
    "config",
    "content",
    "controlplane",
    "database-ca",
    "kerberos-keytab",
    "kerberos-krb5",
    "kerberos-machine-keytab",
    "metadata",
    "metrics-tls",
    "metrics-token",
    "nfs-tls",
    "tls-cert",
    "tls-client-ca",
    "tmp",
];

/// Folders of the pod that hold the program, its volumes and its files.
pub const FOLDERS: [&str; 14] = [
    "/app",
    "/config",
    "/data/controlplane",
    "/data/store",
    "/database-ca",
    "/kerberos",
    "/kerberos-krb5",
    "/kerberos-machine",
    "/metrics-tls",
    "/metrics-token",
    "/nfs-tls",
    "/tls",
    "/tls-client-ca",
    "/tmp",
];

/// The items as a list in CEL.
fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| format!("'{}'", item.as_ref()))
        .collect();
    format!("[{}]", items.join(", "))
}

/// Holds for maps whose keys are qualified names.
pub(crate) fn key_syntax() -> String {
    "self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))".to_owned()
}

/// Holds for labels that are nobody else's.
pub(crate) fn labels() -> String {
    format!(
        "!self.exists(k, k in {} || k.startsWith('dittofs.io/') || k.startsWith('apps.kubernetes.io/') || k.startsWith('statefulset.kubernetes.io/'))",
        list(LABELS)
    )
}

/// Holds for annotations that are not the operator's.
pub(crate) fn annotations() -> String {
    "!self.exists(k, k.startsWith('dittofs.io/'))".to_owned()
}

/// Holds for variables that no field of the spec sets.
pub(crate) fn variables() -> String {
    format!("!self.exists(e, e.name.matches('{VARIABLES}'))")
}

/// Holds for volumes whose names are free.
pub(crate) fn volumes() -> String {
    format!("!self.exists(v, v.name in {})", list(VOLUMES))
}

/// Holds for mounts whose paths have one spelling only.
pub(crate) fn path_syntax() -> String {
    "self.all(m, m.mountPath.matches('^(/[^/:]+)+$') && !(m.mountPath + '/').contains('/./') && !(m.mountPath + '/').contains('/../'))".to_owned()
}

/// Holds for mounts that neither lie in a folder of the operator's nor hold one.
pub(crate) fn mounts() -> String {
    let folders = list(FOLDERS.map(|folder| format!("{folder}/")));
    format!(
        "!self.exists(m, {folders}.exists(f, (m.mountPath + '/').startsWith(f) || f.startsWith(m.mountPath + '/')))"
    )
}

/// What [`mounts`] says.
pub(crate) fn mounts_message() -> String {
    format!(
        "mountPath must neither be, nor lie in, nor hold one of the server's own folders {}",
        FOLDERS.join(", ")
    )
}
