//! Where the server finds its files in the pod. They are the same as those of the Go operator.

/// Folder of the configuration file.
pub const CONFIG: &str = "/config";
/// Key of the ConfigMap, and name of the configuration file.
pub const CONFIG_KEY: &str = "config.yaml";
/// Folder of the API's certificate: `tls.crt` and `tls.key`.
pub const TLS: &str = "/tls";
/// Folder of the CA that signs client certificates: `ca.crt`.
pub const CLIENT_CA: &str = "/tls-client-ca";
/// Folder of the Prometheus endpoint's certificate: `tls.crt` and `tls.key`.
pub const METRICS_TLS: &str = "/metrics-tls";
/// Folder of the CA of the database server's certificate: `ca.crt`.
pub const DATABASE_CA: &str = "/database-ca";
/// Folder of the token that scrapers present: `token`.
pub const METRICS_TOKEN: &str = "/metrics-token";
/// Folder of the certificate of NFS over TLS: `tls.crt` and `tls.key`.
pub const NFS_TLS: &str = "/nfs-tls";
/// Folder of the service keytab: `dittofs.keytab`.
pub const KEYTAB: &str = "/kerberos";
/// Folder of `krb5.conf`.
pub const KRB5: &str = "/kerberos-krb5";
/// Folder of the machine account's keytab: `machine.keytab`.
pub const MACHINE_KEYTAB: &str = "/kerberos-machine";
